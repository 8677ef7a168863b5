// capability: the names of capabilities(7).
#pragma once

#include <string_view>

namespace casemate {

/// Capability number by name without CAP_, any case; -1 if there is none.
[[nodiscard]] int capability_number(std::string_view name);

}  // namespace casemate
