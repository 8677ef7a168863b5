// script_path: where a script's name leads.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"

namespace casemate::runtime {

/// A script's name without ".py" at its end; ".py" alone stays.
[[nodiscard]] std::string bare_script_name(std::string name);

/// Below the working directory, in this order.
inline constexpr const char* kScriptDirectories[] = {"src/cursus/steps/scripts", "scripts", "dockers/xgboost_atoz/scripts"};

/// The file of script `name` ("x" or "x.py"): in `directories`, then in kScriptDirectories, then as a path by itself if it has a slash. A
/// regular file, or a link to one; its full path. not_found: "Script not found: NAME", then what may have been meant and where it was
/// looked for; invalid_input for "" and names with NUL or "..".
Result<std::string> find_script(const std::string& name, const std::vector<std::string>& directories = {});

/// All scripts of these directories, by name, sorted: for "did you mean".
[[nodiscard]] std::vector<std::string> scripts_there(const std::vector<std::string>& directories = {});

}  // namespace casemate::runtime
