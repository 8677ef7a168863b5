// shallow: whether JSON from an interpreter is as small inside as the protocol's, before memory is spent on it.
#pragma once

#include <string_view>

namespace casemate {

/// True if `json` nests at most 8 deep and has at most 500,000 values: a line of brackets alone would take 50 times its length in memory,
/// and what is written or freed by recursion would end the stack. Says nothing about whether it is JSON.
[[nodiscard]] bool is_shallow(std::string_view json);

}  // namespace casemate
