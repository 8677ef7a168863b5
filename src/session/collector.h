// collector: what the interpreter that collects has told.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/engine.h"
#include "session/coverage.h"
#include "warm/stream.h"

namespace casemate {

/// Hears the collector's stream: all tests, in pytest's order.
struct Collector : JobListener {
  std::vector<TestCase> tests;
  std::map<std::string, std::string> hashes;  // by file
  std::map<std::string, std::string> left;    // by file, those that have left what forks for their tests would miss: in words
  std::vector<StreamProblem> problems;
  std::optional<StreamDone> done;
  std::optional<StreamAbout> about;  // of one that is alone in a container
  Coverage coverage;                 // of this and, later, of all tests
  std::string rewritten;             // lines of StreamRewritten, for groups
  bool damaged = false;              // something else was written to the stream
  StreamReader reader;

  void report(std::string_view bytes) override;
};

/// The run's exit status, where all that came of collecting is how its interpreter ended, with pytest's own statuses.
[[nodiscard]] int collecting_status(const JobResult& ended);
/// What an interpreter printed before it ended: its stderr, else its stdout, without newlines at the end. Not made safe for a screen.
[[nodiscard]] std::string last_words(const JobResult& ended);
/// What to tell of that: pytest's words, or how it ended.
[[nodiscard]] std::string collecting_problem(const JobResult& ended);
/// Tells why the tests of `files` (at least one) get fresh interpreters; `left` is fit for a screen.
[[nodiscard]] std::string tied_note(const std::set<std::string>& files, std::string_view left);
/// What could not be collected, or is skipped as a whole, as the result of a test of that name.
[[nodiscard]] TestResult result_of(const StreamProblem& problem);

}  // namespace casemate
