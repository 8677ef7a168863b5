// toml_fields: the fields of TOML tables by name and type, and errors that say where.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/result.h"
#include "image/toml.h"

namespace casemate {

/// Reads one document and what is in it. All errors are invalid_input, in one line that begins with the place. The functions for one field
/// give nullopt where a table doesn't have it.
class TomlFields {
 public:
  using Names = std::vector<std::string_view>;

  /// `file` begins messages, with a line behind it if `has_lines`.
  TomlFields(std::string file, bool has_lines) : file_(std::move(file)), has_lines_(has_lines) {}

  /// The whole document, at most 1 MiB.
  [[nodiscard]] Result<toml::table> parse(std::string_view text) const;

  /// "FILE:LINE: what", made printable.
  [[nodiscard]] std::unexpected<Error> problem(std::size_t line, std::string_view what) const;
  [[nodiscard]] std::unexpected<Error> problem(const toml::node& node, std::string_view what) const;
  [[nodiscard]] std::unexpected<Error> problem(const toml::key& key, std::string_view what) const;

  /// Fails for a key that is not `known`, with the nearest. `what` has the fields: "a container".
  [[nodiscard]] Result<void> known_name(const toml::key& key, const Names& known, std::string_view what) const;
  [[nodiscard]] Result<void> known_fields(const toml::table& table, const Names& known, std::string_view what) const;

  /// A string without NUL; `what` is its name in messages.
  [[nodiscard]] Result<std::string> string_of(const toml::node& node, std::string_view what) const;
  /// The same by name, not empty.
  [[nodiscard]] Result<std::optional<std::string>> text(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<std::string> needed_text(const toml::table& table, std::string_view name) const;
  /// A list of strings; `what` is its name in messages.
  [[nodiscard]] Result<std::vector<std::string>> strings_of(const toml::node& node, std::string_view what) const;
  /// The same by name; empty where there is none.
  [[nodiscard]] Result<std::vector<std::string>> texts(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<std::optional<bool>> flag(const toml::table& table, std::string_view name) const;
  /// A whole number from `least` to `most`.
  [[nodiscard]] Result<std::optional<std::uint32_t>> number(const toml::table& table, std::string_view name, std::uint32_t least,
                                                            std::uint32_t most) const;
  /// Bytes, more than 0, as a number or as "512M".
  [[nodiscard]] Result<std::optional<std::uint64_t>> size(const toml::table& table, std::string_view name) const;
  /// Seconds as a number, or "2m"; 0 is a value.
  [[nodiscard]] Result<std::optional<std::chrono::milliseconds>> duration(const toml::table& table, std::string_view name) const;
  /// Calls `take` for each table of a list, until an error.
  [[nodiscard]] Result<void> each_table(const toml::table& table, std::string_view name,
                                        const std::function<Result<void>(const toml::table&)>& take) const;

  [[nodiscard]] bool has_lines() const { return has_lines_; }

 private:
  std::string file_;
  bool has_lines_;
};

}  // namespace casemate
