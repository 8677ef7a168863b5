// document: JSON that somebody else wrote, a registry or whoever made an image: parsed within bounds, and its fields by name and type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/result.h"

namespace casemate {

/// The most bytes of one document; distribution's own bound on manifests (registry/handlers: 4 MiB).
inline constexpr std::size_t kDocumentLimit = 4u << 20;

/// One JSON object from `bytes`, which `what` names in errors ("the image manifest"). invalid_input: more than 4 MiB, no JSON or not UTF-8,
/// nested more than 32 deep, more than 200,000 values, a key twice in one object (readers differ in which they take), no object. Memory
/// stays below about 64 MiB.
Result<nlohmann::json> parse_document(std::string_view bytes, std::string_view what);

/// The fields of one object, each asked for by name and type. null counts as absent. All errors are invalid_input and name the field and
/// the object. Borrows the object.
class Fields {
 public:
  /// `where` names the object in errors ("layer 2 of the image manifest"). Fails if `value` is no object.
  static Result<Fields> of(const nlohmann::json& value, std::string where);

  [[nodiscard]] bool has(const char* name) const { return find(name) != nullptr; }
  /// Text without NUL bytes.
  [[nodiscard]] Result<std::string> text(const char* name) const;
  /// The same, "" if absent.
  [[nodiscard]] Result<std::string> optional_text(const char* name) const;
  /// A whole number from 0 to 2^53, the most that every reader of JSON keeps exact (RFC 8259, section 6).
  [[nodiscard]] Result<std::uint64_t> number(const char* name) const;
  /// A list of texts without NUL bytes, empty if absent.
  [[nodiscard]] Result<std::vector<std::string>> texts(const char* name) const;
  /// A list, nullptr if absent.
  [[nodiscard]] Result<const nlohmann::json*> optional_list(const char* name) const;
  /// An object, `where` in errors; for an absent one an empty object.
  [[nodiscard]] Result<Fields> object(const char* name, std::string where) const;
  /// "WHERE: WHAT" as an error.
  [[nodiscard]] std::unexpected<Error> wrong(const std::string& what) const;
  /// A value of any type, nullptr if absent.
  [[nodiscard]] const nlohmann::json* find(const char* name) const;

 private:
  Fields(const nlohmann::json& object, std::string where) : object_(&object), where_(std::move(where)) {}

  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace casemate
