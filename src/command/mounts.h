// mounts: -v, --mount and --tmpfs as docker spells them.
#pragma once

#include <string>
#include <string_view>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// A path as it was typed, from the root; not looked at.
[[nodiscard]] std::string absolute_host_path(std::string_view path);
/// "SRC:DST[:ro|rw]" as docker's -v has it. invalid_input says what is wrong.
Result<Mount> parse_volume(std::string_view text);
/// "type=bind,source=S,target=T[,readonly]", "type=tmpfs,target=T[,tmpfs-size=64M][,tmpfs-mode=1777]", "type=overlay,source=S,target=T",
/// "type=proc,target=T" (sysfs, mqueue, devpts the same), "type=device,source=null,target=/dev/null", or a -v text.
Result<Mount> parse_mount(std::string_view text);
/// "PATH[:size=64M,mode=1777]".
Result<Mount> parse_tmpfs(std::string_view text);

}  // namespace casemate
