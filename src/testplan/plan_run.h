// plan_run: a plan from its first command to its last: contexts, order, values, retries, what came of each case.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/result.h"
#include "testplan/models.h"

namespace casemate {

/// Which cases to run; what these need (depends_on) is run as well.
struct PlanSelection {
  std::vector<std::string> ids;       ///< ids or names; none: all
  std::vector<std::string> tags;      ///< any of these
  std::vector<std::string> not_tags;  ///< none of these
  std::string match;                  ///< RE2 in id, name or command
};
/// A flag a case. invalid_input: an id or tag that no case has, with the nearest one that is there.
Result<std::vector<bool>> select_cases(const TestPlan& plan, const PlanSelection& selection);

/// How a plan is run.
struct PlanRunOptions {
  Job base;                    ///< the root with the tool, limits, network, user; Job::executor
  bool isolate_cases = false;  ///< a context each, not one for the plan
  unsigned parallel = 1;       ///< contexts at a time; more than one: cases that need each other stay together in one
  unsigned retries = 0;        ///< of a case that did not pass, in a fresh context
  std::chrono::milliseconds timeout = std::chrono::seconds(60);  ///< of a command that does not say
  std::string shell = "/bin/sh";
  std::uint64_t capture_bytes = 16ull << 20;
  bool fail_fast = false;
  std::vector<bool> selected;              ///< as select_cases()
  std::map<std::string, CaseResult> done;  ///< by case id: finished in an earlier, killed run (--resume), told as they were
  std::string collect_to;                  ///< host directory for changed files, case_directory() of it a case; "": they are listed only
  std::map<std::string, std::chrono::microseconds> times;  ///< by case id, what they took before: with `parallel` the longest come first
};

/// The name of the directory below PlanRunOptions::collect_to that has the files of the case at `index`: "003-its-id", whatever is in that.
[[nodiscard]] std::string case_directory(const TestPlan& plan, std::size_t index);

/// The same for what a step wrote: "02-its-id".
[[nodiscard]] std::string step_directory(const PlanCase& one, std::size_t at);

/// Called in the thread that runs the engine.
struct PlanListener {
  virtual ~PlanListener() = default;
  virtual void case_started(std::size_t /*index*/) {}
  virtual void output(std::size_t /*case_index*/, std::size_t /*step*/, Stream /*stream*/, std::string_view /*bytes*/) {}
  /// To be kept before anything else happens: a run that is killed after it goes on from here.
  virtual void case_finished(std::size_t /*index*/, const CaseResult& /*result*/) {}
  virtual void note(std::string_view /*line*/) {}
};

/// Runs it. Each context: global_setup, its cases, global_teardown (always, also after a failure, a time-out or a cancel; not after
/// `lost`). A context that is lost makes the case that ran in it an error, and a fresh one takes the rest, at most 3 times; then the rest
/// is not_run with the reason. The cases that one needs are run in its context before it where they weren't (a fresh one, or they are
/// `done`, or cases are isolated), unheard. After a command that hit the limit on processes a fresh context takes the rest. After a step
/// that did not pass a case's others are skipped, but teardown. cancelled: by a signal (Engine::cancel_on_signals()); the result has what
/// finished, the case that ran is not_run. Of outputs beyond a bound (testplan/kept_output.h) the result has the first and last parts;
/// case_finished() gets them as PlanRunOptions::capture_bytes has it. Fails only for options that make no sense.
Result<PlanResult> run_plan(Engine& engine, const TestPlan& plan, const PlanRunOptions& options, PlanListener& listener);

}  // namespace casemate
