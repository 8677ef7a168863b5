// work_layer: the writable layer over the working directory that --inputs and --outputs ask for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "command/run_arguments.h"

namespace casemate {

/// Puts it over `staged` ("" for none), the directory with the copies of the inputs, which lies over `below` (topmost first). Nothing if
/// neither was asked for. invalid_input where the working directory is /.
Result<void> add_work_layer(RunRequest& request, const std::string& staged, const std::vector<std::string>& below = {});

/// Makes the copies in `staged` the user's: their owner where casemate is root, who may give files away; else, with a user other than the
/// cell's root (who is the caller), what their owner may do everybody may, which none but the job can see.
Result<void> give_to(const User& user, const std::string& staged);

/// What the layers of a root (topmost first) have at `path`, an absolute one: the directories that overlayfs would merge there, topmost
/// first. Layers are hostile: nothing is found behind a symlink, nor below what is no directory.
[[nodiscard]] std::vector<std::string> directories_at(const std::vector<std::string>& layers, std::string_view path);

}  // namespace casemate
