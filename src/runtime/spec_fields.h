// spec_fields: the fields of an object that a user wrote, in a file or in Python, each by its name and type.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// How deep values below one key may be nested.
inline constexpr std::size_t kDeepestValue = 64;

/// A name for a message: printable, on one line, at most some 200 bytes.
[[nodiscard]] std::string named(std::string_view name);

/// "a text", "a number", "a list", ... for messages.
[[nodiscard]] std::string_view kind_of(const Json& value);

/// What is wrong with a text that becomes a path, a name or a variable: "must be UTF-8", "must have no NUL byte in it"; "" if nothing.
[[nodiscard]] std::string problem_of_text(std::string_view text);

/// Whether `value` can be written as JSON and read back the same: depth, finite numbers, UTF-8. invalid_input names the place below
/// `where`.
Result<void> check_value(const Json& value, const std::string& where);

/// Borrows the object. null counts as absent. All errors are invalid_input: "WHERE.KEY: must be WHAT, is a number".
class SpecFields {
 public:
  /// `where` is the object's own place in the document ("" for all of it). Fails if `value` is no object; `name` says what it should be.
  static Result<SpecFields> of(const Json& value, std::string where, std::string_view name);

  [[nodiscard]] const Json* find(std::string_view key) const;
  /// The first of two spellings of a key that is there, for messages and for the getters.
  [[nodiscard]] const char* spelling(const char* key, const char* other) const { return find(key) || !find(other) ? key : other; }
  /// "WHERE.KEY".
  [[nodiscard]] std::string place(std::string_view key) const;

  /// A text of at least one byte.
  [[nodiscard]] Result<std::string> text(const char* key) const;
  [[nodiscard]] Result<std::optional<std::string>> optional_text(const char* key) const;
  [[nodiscard]] Result<bool> flag(const char* key, bool usual) const;
  /// An object of texts; empty if absent.
  [[nodiscard]] Result<NamedTexts> named_texts(const char* key) const;
  /// The same, for names of variables: without '='.
  [[nodiscard]] Result<NamedTexts> variables(const char* key) const;
  /// An object of any values, see check_value(); empty if absent.
  [[nodiscard]] Result<Json> values(const char* key) const;
  /// A list of texts of at least one byte, or one text; empty if absent.
  [[nodiscard]] Result<std::vector<std::string>> texts(const char* key) const;
  /// "WHERE.KEY: must be MUST, is a KIND".
  [[nodiscard]] std::unexpected<Error> wrong(std::string_view key, std::string_view must) const;

 private:
  SpecFields(const Json& object, std::string where) : object_(&object), where_(std::move(where)) {}

  const Json* object_;
  std::string where_;
};

}  // namespace casemate::runtime
