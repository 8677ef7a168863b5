// plan_table: one object of a document, read by whichever of its names a key has; what is wrong is collected, so that all of it is said at
// once.
#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "casemate/result.h"

namespace casemate {

/// What was found wrong or strange while one document was read.
struct ReadingLog {
  std::string name;  ///< of the file
  std::vector<std::string> problems, notes;
  std::size_t more_problems = 0;  ///< beyond the first 20
  std::size_t more_notes = 0;

  /// `place`: "test_cases[3].steps[0]", "" for the whole. Kept on one line and made safe for a screen.
  void problem(const std::string& place, std::string_view what);
  void note(const std::string& place, std::string_view what);
  /// invalid_input with all problems, one a line.
  [[nodiscard]] Result<void> result() const;
};

/// "/test_cases/3/steps/0" as people say it: "test_cases[3].steps[0]".
[[nodiscard]] std::string place_of(std::string_view pointer);
/// A pointer (RFC 6901) to a member or an element of what `pointer` says.
[[nodiscard]] std::string below(std::string_view pointer, std::string_view name);
[[nodiscard]] std::string below(std::string_view pointer, std::size_t index);

/// The names that a key goes by, the plan's own first.
using Names = std::initializer_list<std::string_view>;

/// A view of one object; object and log outlive it. Null counts as absent. Where a value is of another type, that is a problem in the log
/// and the value counts as absent.
class PlanTable {
 public:
  PlanTable(const nlohmann::ordered_json& object, std::string pointer, ReadingLog& log)
      : object_(object), pointer_(std::move(pointer)), log_(log) {}

  /// A member by the first of its names that is there. Names are literals.
  struct Member {
    const nlohmann::ordered_json* value = nullptr;
    std::string_view name;
    explicit operator bool() const { return value != nullptr; }
  };
  [[nodiscard]] Member find(Names names) const;

  /// Numbers and truth values as they are written.
  [[nodiscard]] std::string text(Names names) const;
  [[nodiscard]] std::optional<std::int64_t> whole(Names names, std::int64_t least, std::int64_t most) const;
  [[nodiscard]] std::optional<bool> truth(Names names) const;
  /// A number of seconds over 0, or a text as parse_duration() takes; at most a year.
  [[nodiscard]] std::optional<std::chrono::milliseconds> seconds(Names names) const;
  /// The texts of all the names: each a text or a list of texts. Empty ones are left out.
  [[nodiscard]] std::vector<std::string> texts(Names names) const;
  /// An object of names and values, or a list of "NAME=VALUE".
  [[nodiscard]] std::map<std::string, std::string> environment(Names names) const;

  /// The keys that nobody has asked for, and that are not among `more`, each with the nearest one that was asked for and is not there; "":
  /// none is near.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> unknown_keys(Names more) const;
  /// A note for each of them that is near to one: people's own keys are none of our business.
  void note_misspelt(Names more) const;

  void problem(std::string_view name, std::string_view what) const;
  void note(std::string_view name, std::string_view what) const;
  /// "'soon' is no WANTED".
  void is_no(std::string_view name, const nlohmann::ordered_json& value, std::string_view wanted) const;
  [[nodiscard]] const nlohmann::ordered_json& object() const { return object_; }
  [[nodiscard]] const std::string& pointer() const { return pointer_; }
  [[nodiscard]] ReadingLog& log() const { return log_; }

 private:
  const nlohmann::ordered_json& object_;
  std::string pointer_;
  ReadingLog& log_;
  mutable std::vector<std::string_view> asked_;  // literals
};

/// A text, number or truth value as text; nullopt for anything else.
[[nodiscard]] std::optional<std::string> text_of(const nlohmann::ordered_json& value);
/// Whether a shell could have a variable of that name.
[[nodiscard]] bool is_variable_name(std::string_view name);

}  // namespace casemate
