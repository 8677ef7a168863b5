// action_result: what an engine says an action came to, checked, and back.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include "casemate/result.h"
#include "remote/calls.h"
#include "remote/engine.h"

namespace casemate {

/// `corrupt`: a path that leads out of the working directory or is there twice, a digest that is none, inlined output that is not what its
/// digest says.
Result<ActionResultView> view_of(const protocol::ActionResult& result);
/// The same as a message, without times.
[[nodiscard]] protocol::ActionResult result_of(const ActionResultView& view);

/// One part of a path, as a file system takes it: not empty, no '/', no NUL, neither "." nor "..", at most 255 bytes.
[[nodiscard]] bool is_path_part(std::string_view name);
/// What a symlink may point at: not empty, no NUL, at most 4095 bytes (symlink(7), PATH_MAX).
[[nodiscard]] bool is_link_target(std::string_view target);

}  // namespace casemate
