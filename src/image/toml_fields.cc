#include "image/toml_fields.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;

// Where a value without quotes is what toml++ stumbled over.
std::string_view hint(std::string_view text, std::size_t line) {
  for (; line > 1 && !text.empty(); --line) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  text = text.substr(0, text.find('\n'));
  for (const std::string_view name : {"memory", "disk", "size", "timeout"}) {
    const std::size_t at = text.find(name);
    if (at == std::string_view::npos) continue;
    std::string_view rest = text.substr(at + name.size());
    const auto skip = [&](std::string_view what) { rest.remove_prefix(std::min(rest.find_first_not_of(what), rest.size())); };
    skip(" \t");
    if (!rest.starts_with('=')) continue;
    skip("= \t");
    if (rest.empty() || rest[0] < '0' || rest[0] > '9') continue;
    skip("0123456789.");
    if (rest.empty() || !((rest[0] | 0x20) >= 'a' && (rest[0] | 0x20) <= 'z')) continue;
    return name == "timeout" ? "; a time with a unit is written in quotes: \"2m\"" : "; a size with a unit is written in quotes: \"512M\"";
  }
  return "";
}

}  // namespace

Result<toml::table> TomlFields::parse(std::string_view text) const {
  if (text.size() > kMostBytes) return problem(1, "is larger than 1 MiB");
  auto table = parse_toml(text);
  if (!table) return problem(table.error().line, table.error().what + std::string(hint(text, table.error().line)));
  return std::move(*table);
}

std::unexpected<Error> TomlFields::problem(std::size_t line, std::string_view what) const {
  return fail(ErrorCode::invalid_input,
              printable_line(has_lines_ ? fmt::format("{}:{}: {}", file_, line, what) : fmt::format("{}: {}", file_, what)));
}

std::unexpected<Error> TomlFields::problem(const toml::node& node, std::string_view what) const {
  return problem(node.source().begin.line, what);
}

std::unexpected<Error> TomlFields::problem(const toml::key& key, std::string_view what) const {
  return problem(key.source().begin.line, what);
}

Result<void> TomlFields::known_name(const toml::key& key, const Names& known, std::string_view what) const {
  if (std::find(known.begin(), known.end(), key.str()) != known.end()) return {};
  return problem(key, fmt::format("{} has no field '{}'{}", what, printable_line(key.str()), did_you_mean(key.str(), known)));
}

Result<void> TomlFields::known_fields(const toml::table& table, const Names& known, std::string_view what) const {
  for (const auto& [key, value] : table) TRY(known_name(key, known, what));
  return {};
}

Result<std::string> TomlFields::string_of(const toml::node& node, std::string_view what) const {
  const auto* value = node.as_string();
  if (!value) return problem(node, fmt::format("{} must be a string, in quotes", what));
  if (value->get().find('\0') != std::string::npos) return problem(node, fmt::format("{} must not hold a NUL character", what));
  return value->get();
}

Result<std::optional<std::string>> TomlFields::text(const toml::table& table, std::string_view name) const {
  const toml::node* node = table.get(name);
  if (!node) return std::nullopt;
  TRY_ASSIGN(std::string value, string_of(*node, name));
  if (value.empty()) return problem(*node, fmt::format("{} is empty", name));
  return value;
}

Result<std::string> TomlFields::needed_text(const toml::table& table, std::string_view name) const {
  TRY_ASSIGN(auto value, text(table, name));
  if (!value) return problem(table, fmt::format("'{}' is missing", name));
  return std::move(*value);
}

Result<std::vector<std::string>> TomlFields::strings_of(const toml::node& node, std::string_view what) const {
  std::vector<std::string> values;
  const toml::array* array = node.as_array();
  if (!array) return problem(node, fmt::format("{} must be a list of strings: [\"...\"]", what));
  for (const toml::node& one : *array) {
    TRY_ASSIGN(std::string value, string_of(one, fmt::format("each of {}", what)));
    values.push_back(std::move(value));
  }
  return values;
}

Result<std::vector<std::string>> TomlFields::texts(const toml::table& table, std::string_view name) const {
  const toml::node* node = table.get(name);
  return node ? strings_of(*node, name) : std::vector<std::string>();
}

Result<std::optional<bool>> TomlFields::flag(const toml::table& table, std::string_view name) const {
  const toml::node* node = table.get(name);
  if (!node) return std::nullopt;
  if (!node->is_boolean()) return problem(*node, fmt::format("{} must be true or false", name));
  return node->as_boolean()->get();
}

Result<void> TomlFields::each_table(const toml::table& table, std::string_view name,
                                    const std::function<Result<void>(const toml::table&)>& take) const {
  const toml::node* node = table.get(name);
  if (!node) return {};
  const toml::array* array = node->as_array();
  if (!array) return problem(*node, fmt::format("{} must be a list of tables: [{{ ... }}]", name));
  for (const toml::node& one : *array) {
    if (!one.is_table()) return problem(one, fmt::format("each of {} must be a table: {{ ... }}", name));
    TRY(take(*one.as_table()));
  }
  return {};
}

Result<std::optional<std::uint32_t>> TomlFields::number(const toml::table& table, std::string_view name, std::uint32_t least,
                                                        std::uint32_t most) const {
  const toml::node* node = table.get(name);
  if (!node) return std::nullopt;
  const auto* number = node->as_integer();
  if (!number || number->get() < least || number->get() > most)
    return problem(*node, fmt::format("{} must be a number from {} to {}", name, least, most));
  return static_cast<std::uint32_t>(number->get());
}

Result<std::optional<std::uint64_t>> TomlFields::size(const toml::table& table, std::string_view name) const {
  const toml::node* node = table.get(name);
  if (!node) return std::nullopt;
  if (const auto* number = node->as_integer(); number && number->get() > 0) return static_cast<std::uint64_t>(number->get());
  const auto parsed = node->is_string() ? parse_bytes(node->as_string()->get()) : fail(ErrorCode::invalid_input, "");
  if (!parsed || *parsed == 0) return problem(*node, fmt::format("{} must be a size: \"512M\", or bytes", name));
  return *parsed;
}

Result<std::optional<std::chrono::milliseconds>> TomlFields::duration(const toml::table& table, std::string_view name) const {
  const toml::node* node = table.get(name);
  if (!node) return std::nullopt;
  const std::string typed = node->is_string() ? node->as_string()->get() : "";
  const double seconds = node->is_string() ? -1 : node->value<double>().value_or(-1);
  auto duration = typed.empty() ? Result<std::chrono::milliseconds>(fail(ErrorCode::invalid_input, "")) : parse_duration(typed);
  if (seconds >= 0 && seconds <= 10.0 * 365 * 86'400) duration = std::chrono::milliseconds(std::llround(std::ceil(seconds * 1000)));
  if (!duration) return problem(*node, fmt::format("{} must be seconds, 0 for none: 30, 1.5 or \"2m\"", name));
  return *duration;
}

}  // namespace casemate
