// second_try: tells a test that needs what other files do when they are imported from one that fails now and then. The session asks it
// after each try of a test that has failed in a warm parent of its file alone.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "engine/events.h"

namespace casemate {

/// A plain pytest imports all files before the first test. So a test that fails alone with its file is tried in a parent that has collected
/// every file, and if it passes there, alone again, and so on, four times each: what always fails alone and passes with all others needs
/// them. What does not so fails for reasons of its own, and its first failure counts. One that fails every other time gets through once in
/// 512. Nine tests of a file in a row that failed alone and passed with all others say as much of it: the next ones are tried no further.
class SecondTries {
 public:
  /// What follows on a result: other tries, nothing (others are awaited still), or it is told.
  struct Next {
    bool report = false;
    std::size_t alone = 0, whole = 0;  ///< tries, with its file and with all others
    bool operator==(const Next&) const = default;
  };

  /// True if after() has asked for another try of this test.
  [[nodiscard]] bool await(std::size_t test) const { return tried_.contains(test); }
  /// What follows on `result`, of a try with all others or not (`whole`), which is kept if it is not to be told; else it becomes what is
  /// told. The first one given for a test is a failure alone. `at_once`: where a try's way there and back costs more than the try, all that
  /// may be needed are asked for together once one with all others has passed; else one by one.
  Next after(std::size_t test, bool whole, TestResult& result, bool at_once);
  /// Whether the last one told was of a test that needs other files.
  [[nodiscard]] bool needs_others() const { return needs_others_; }

 private:
  struct Tried {
    TestResult alone;
    std::optional<TestResult> whole;
    std::size_t left_alone, left_whole;  // tries that have not ended
    std::size_t awaited = 1;
    bool otherwise = false;  // passed alone, or failed with all others
  };
  std::map<std::size_t, Tried> tried_;
  std::map<std::string, std::size_t> in_a_row_;  // by file
  bool needs_others_ = false;
};

}  // namespace casemate
