// random: names that nobody else has.
#pragma once

#include <string>

namespace casemate {

/// 16 hex digits of getrandom(2).
[[nodiscard]] std::string random_name();

}  // namespace casemate
