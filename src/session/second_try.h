// second_try: tells a test that needs what other files do when they are imported from one that fails now and then. The session asks it
// after each try of a test that has failed in a warm parent of its file alone.
#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "engine/events.h"

namespace casemate {

/// A plain pytest imports all files before the first test. So a test that fails alone with its file is tried in a parent that has collected
/// every file, and if it passes there, alone again, and so on, four times each: what always fails alone and passes with all others needs
/// them. What does not so fails for reasons of its own, and its first failure counts. One that fails every other time gets through once in
/// 512.
class SecondTries {
 public:
  enum class Next { report, try_whole, try_alone };

  /// True if after() has asked for another try of this test.
  [[nodiscard]] bool await(std::size_t test) const { return tried_.contains(test); }
  /// What follows on `result`, which is kept if there is another try; else it becomes what is to be reported. The first one given for a
  /// test is a failure alone.
  Next after(std::size_t test, TestResult& result);
  /// Whether the last `report` was for a test that needs other files.
  [[nodiscard]] bool needs_others() const { return needs_others_; }

 private:
  struct Tried {
    TestResult alone;
    std::optional<TestResult> whole;
    int rounds = 0;        // passed with all, failed alone again
    bool with_all = true;  // the try that is awaited
  };
  std::map<std::size_t, Tried> tried_;
  bool needs_others_ = false;
};

}  // namespace casemate
