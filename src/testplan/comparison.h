// comparison: two outputs of one command, and what is different for a person.
#pragma once

#include <string>
#include <string_view>

namespace casemate {

/// When two outputs are the same.
enum class CompareMode {
  exact,     ///< byte for byte (of the normalised)
  contains,  ///< each line of the recording is there, in its order
  json,      ///< the same value: order of keys and white space don't count
};

/// What comparing came to.
struct Difference {
  bool same = true;
  std::string text;  ///< unified diff with three lines around (diff -u), at most 200 lines; json: a line a place ("$.items[2].name: \"a\"
                     ///< became \"b\"")
};

/// `recorded` and `now` are normalised. What claims to be JSON and isn't is compared exactly, and the text says so, also where both are the
/// same. The text is safe for a screen; else it is empty where both are the same.
[[nodiscard]] Difference compare(std::string_view recorded, std::string_view now, CompareMode mode);

}  // namespace casemate
