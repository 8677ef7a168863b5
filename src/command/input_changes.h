// input_changes: what has changed since something last ran with --cache, in words: `casemate explain --why`.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "action/input_history.h"
#include "action/job_inputs.h"

namespace casemate {

/// The differences between two runs' inputs.
struct InputChanges {
  std::optional<RecordedInputs> last;  ///< nullopt: there was none
  std::vector<InputDifference> differences;
  std::size_t all = 0;  ///< how many there are: of many, not all are in `differences`
};

/// Of `command` asked for in `directory`, as InputHistory has it, to `now`.
[[nodiscard]] InputChanges input_changes(const InputHistory& history, const std::string& directory, const std::vector<std::string>& command,
                                         const JobInputs& now);
/// Lines for people; `none` is the one where there was no other run. Safe for a screen.
[[nodiscard]] std::string text_of(const InputChanges& changes, std::string_view none);
/// Adds last_run, same_arguments, changes and changes_in_all.
void put_changes(nlohmann::ordered_json& object, const InputChanges& changes);

}  // namespace casemate
