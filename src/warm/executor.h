// executor: runs tests as forks of warm parents. A tree of them: a base, forks of it that collect one file each, and their forks, the
// tests, each in a cell made ahead. See docs/design/warm.md.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "casemate/job.h"
#include "engine/executor.h"

namespace casemate {

/// What one tree is made of.
struct WarmRequest {
  /// What the interpreter runs: "": pytest's half. Else warm_plain() and what defines run() (payload.h): then no pytest is needed.
  std::string text;
  Job parent;  ///< argv: the interpreter, then pytest's arguments; what parents see and may use
  Job fork;    ///< what a test's cell shows (the same root and mounts as `parent`) and may use; its argv means nothing
  std::size_t cells_ahead = 3;
  std::size_t most_parents = 16;  ///< that have collected a file and wait for its next test
  /// Programs that tests start are not trusted: the interpreters and their forks make themselves not dumpable, so that nobody reads or
  /// writes their memory, traces them or takes their descriptors. Programs themselves are dumpable again (execve(2)).
  bool guarded = false;
};

/// An executor of these kinds of jobs; of a job only argv, name, limits.wall, limits.output_bytes and capture_bytes count, and of "test"
/// and "cold" its mounts, which are shown besides the request's, to this job alone (binds, at most 64; for a fork none below another's
/// symlink). The rest is the request's.
///   {"collect"}                 collects everything. The collector's stream goes to JobListener::report()
///   {"test", FILE, HASH, ID...} runs these tests of a file in one cell; FILE and HASH as the collector named them ("" FILE: from a parent
///   that has
///                               collected everything; "" HASH: not checked). Of a file with more than kMostItems tests FILE ends in NUL
///                               and the part's number: the first kMostItems are part 0, in the collector's order.
///                               The fork's stream goes to JobListener::report()
///   {"cold", FILE, HASH, ID...} the same in a fresh interpreter, in an ordinary cell; HASH means nothing
///   {"coverage", FAILED}  a fresh interpreter that reports the coverage in Job::stdin_fd, a file; its stream goes to report()
/// With a text of one's own FILE names the modules that the parent imports ("numpy,pandas"), HASH is "", and the IDs are what run() is
/// given; there is nothing to collect, and no coverage.
/// Outcomes are those of the fork. What pytest says when the base can't begin is in the collecting job's output, its outcome `exited` with
/// pytest's status. `lost` with step "warm parent": a parent died and the tests can be run again. `lost` with step "threads": threads
/// run after collection, or there is more that a fork would not have (python/ties.py): the tests are for a fresh interpreter; detail names
/// it.
class WarmExecutor : public Executor {
 public:
  /// `file` will be wanted soon: its parent may begin now.
  virtual void prepare(const std::string& file, const std::string& hash) = 0;
  /// Of the interpreter, once there was a base: "3.11.7", "8.1.1"; and what it had to say.
  [[nodiscard]] virtual const std::string& python() const = 0;
  [[nodiscard]] virtual const std::string& pytest() const = 0;
  [[nodiscard]] virtual const std::vector<std::string>& notes() const = 0;
};

/// Nothing is started yet. `reactor` must outlive it.
Result<std::unique_ptr<WarmExecutor>> make_warm_executor(Reactor& reactor, WarmRequest request);

}  // namespace casemate
