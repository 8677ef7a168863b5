// casemate cache: what the store holds, how to shrink it, whether it is sound.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// `casemate cache info|list|prune|verify`, `arguments` without "cache". Exit code: 0, 1 damage was found, 125 wrong usage or a failure of
/// ours.
int cache_main(const std::vector<std::string>& arguments);

}  // namespace casemate
