// models: a test plan of a command-line tool, and what came of it, as plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/outcome.h"

namespace casemate {

/// The word that a plan has for how a case or a step went.
enum class PlanStatus {
  not_run,
  passed,
  failed,   ///< it ran and something was not as expected
  error,    ///< it could not be told: no context, lost, a time-out, a limit
  skipped,  ///< what it needs did not pass, or a filter left it out
};
[[nodiscard]] std::string_view word(PlanStatus status);
[[nodiscard]] std::optional<PlanStatus> plan_status(std::string_view word);

/// A text that is to be in a file.
struct ExpectedContent {
  std::string file;
  std::string text;
  bool operator==(const ExpectedContent&) const = default;
};

/// What is expected of one command; unset: anything. All "contains" ignore case (ASCII).
struct Expectations {
  std::optional<int> exit_code;
  bool nonzero = false;             ///< `should_fail`: any status but 0
  std::vector<std::string> output;  ///< each is contained in stdout
  std::vector<std::string> error;   ///< each is contained in stderr
  std::vector<std::string> files;   ///< each exists afterwards (absolute, or below the command's directory); '*' and '?' as in a shell
  std::vector<ExpectedContent> contents;  ///< of the first MiB of files
  bool operator==(const Expectations&) const = default;
};

/// A value that is taken out of one command's output for later ones: $NAME in their environment, and {{NAME}} in their words.
struct Extraction {
  std::string variable;
  std::string pattern;  ///< RE2; the first group, else the whole match; "": all of stdout without its last newline
  std::string of;       ///< id of the case or step whose output it is; "": this one's own
  bool operator==(const Extraction&) const = default;
};

/// What a case or step needs of another one beside its having passed.
struct PlanDependency {
  enum class Kind { result, file, environment, command, service };
  Kind kind = Kind::result;
  std::string id;    ///< of a case or step; "" for needs of the context alone
  std::string what;  ///< file: path; environment: name; command: name on PATH; service: [HOST:]PORT that must listen
  bool operator==(const PlanDependency&) const = default;
};

/// One command, or a look at what the one before it wrote.
struct PlanStep {
  enum class Type { command, assertion, setup, teardown, verification };
  std::string id;  ///< unique in the plan; made up ("case-2.step-1") where the document has none
  Type type = Type::command;
  std::string description;
  std::string command;  ///< for a shell; "": nothing is run (an assertion about what was before)
  Expectations expected;
  std::optional<std::chrono::milliseconds> timeout;
  std::vector<PlanDependency> depends_on;
  std::map<std::string, std::string> environment;  ///< for this step alone
  std::vector<Extraction> extractions;
  std::optional<unsigned> retries;
  bool terminal = false;    ///< `tty`
  bool background = false;  ///< a service: goes on when it listens, or after it has started
  std::string input;        ///< for stdin
  std::string pointer;      ///< where it stands in the document (RFC 6901)
};
/// Neither a command nor anything to look for: such a step is passed over.
[[nodiscard]] bool says_nothing(const PlanStep& step);

/// Steps that pass or fail as one.
struct PlanCase {
  std::string id;
  std::string name;
  std::string description;
  std::vector<std::string> tags;
  std::vector<PlanDependency> depends_on;
  /// In order. The case's own command_line, where it has one, is the first of type command; `main` is its index.
  std::vector<PlanStep> steps;
  std::optional<std::size_t> main;
  std::optional<int> execution_order;
  std::string pointer;
};

/// How to get the tool; see installation.h.
struct InstallRequest {
  std::string strategy;               ///< apt, pip, npm, cargo, go, gem, archive, script, none; "": to be found out
  std::vector<std::string> packages;  ///< "jq", "httpie==3.2.2", as the strategy's own tool spells versions
  std::string source;                 ///< archive: path or URL; script, or no strategy: the text of `install_command`
  std::string file;                   ///< script: where its text is, until with_files() reads it; "" else
  std::string digest;                 ///< archive: "sha256:<hex>"
  std::string verify;                 ///< command; "": TOOL --version
  std::string verify_pattern;         ///< RE2 that its output must contain; "": none
  std::vector<std::string> needs;     ///< Debian packages that come first ("build-essential")
  bool operator==(const InstallRequest&) const = default;
};

/// What a plan says of how to run it; flags and a config come before it, defaults after.
struct PlanExecution {
  std::optional<std::chrono::milliseconds> timeout;  ///< of a command; default 60 s
  std::string work_dir;
  std::optional<bool> use_docker;
  std::string image;                 ///< `docker_image`
  std::optional<unsigned> parallel;  ///< `parallel_tests`
  std::optional<unsigned> retries;   ///< `retry_count`
  std::string network;               ///< none, outbound (also "bridge"), host, own
  std::map<std::string, std::string> environment;
  std::string shell;  ///< "/bin/sh"
};

/// A whole plan. Ids are unique in it; each dependency's and Extraction::of's is the id of a case or step.
struct TestPlan {
  std::string id;
  std::string tool;  ///< `tool_name`
  std::string description;
  std::string version;
  std::vector<PlanCase> cases;
  std::vector<PlanStep> setup;     ///< `global_setup`
  std::vector<PlanStep> teardown;  ///< `global_teardown`
  InstallRequest install;
  PlanExecution execution;
  std::vector<std::string> notes;  ///< what was read otherwise than it stands, for people
};

/// What came of one command.
struct StepResult {
  PlanStatus status = PlanStatus::not_run;
  std::string reason;  ///< one line: why it is not passed; "" else
  std::optional<Outcome> outcome;
  Resources resources;
  std::string out, err;  ///< as they came, bounded
  bool truncated = false;
  std::vector<Change> changes;
  std::vector<Leftover> services;                  ///< what it left running
  std::map<std::string, std::string> values;       ///< what was extracted
  std::map<std::string, std::string> environment;  ///< what it got beyond the context's
  unsigned attempts = 0;
};

/// What came of a case.
struct CaseResult {
  PlanStatus status = PlanStatus::not_run;
  std::string reason;
  std::vector<StepResult> steps;  ///< one for each of PlanCase::steps
  std::chrono::microseconds took{0};
  std::string difference;  ///< lines: from what was recorded; "" none, or nothing was compared
};

/// What came of a plan; cases, set-up and tear-down in the plan's order.
struct PlanResult {
  std::string run;  ///< its id in the database
  std::int64_t started_ms = 0;
  std::chrono::microseconds took{0};
  std::vector<CaseResult> cases;
  std::vector<StepResult> setup, teardown;
  std::string executor, image, image_digest;
  std::string problem;         ///< why cases were not run: installation, no context; "" else
  bool executor_gone = false;  ///< who runs commands (a daemon) went away: the cases that had not ended are not run
};

}  // namespace casemate
