// pattern: the regular expressions of plans: somebody's, so matched in linear time and in bounded memory.
#pragma once

#include <memory>
#include <string_view>

#include "casemate/result.h"

namespace re2 {
class RE2;
}

namespace casemate {

/// How `^`, `$` and newlines are meant.
enum class PatternLines {
  whole,     ///< `^` and `$` are the ends of the text
  each_line  ///< of each line; no match goes over a line's end
};

/// invalid_input: "'...' is no pattern: WHY", for what RE2 refuses (look-around, back references) and for more than 64 KiB.
Result<std::shared_ptr<const re2::RE2>> make_pattern(std::string_view pattern, PatternLines lines = PatternLines::whole);

}  // namespace casemate
