// events: what happens in a run of many tests, as values, in the order it happens; and Sink, whoever listens (console, JUnit, JSON lines,
// HTML, GitHub, database). The producer is one thread; every event of a run reaches every sink.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "casemate/outcome.h"

namespace casemate {

/// One test as collection found it. All texts come out of a cell: hostile, any bytes that are UTF-8.
struct TestCase {
  std::string id;                    ///< pytest's node id: "tests/test_a.py::TestB::test_c[1]"
  std::string file;                  ///< the part before the first "::", with '/'
  std::string group;                 ///< what lies between file and name: "TestB", "TestB::TestInner", "" for a function of the module
  std::string name;                  ///< the last part: "test_c[1]"
  std::uint32_t line = 0;            ///< 1-based; 0: unknown
  std::vector<std::string> markers;  ///< names, its own and those of its class and module, without repetition, nearest first
  bool skipped_by_mark = false;      ///< marked `skip` without condition
  bool cold = false;                 ///< @pytest.mark.casemate(isolation="cold")
  bool uncached = false;             ///< @pytest.mark.casemate(cache=False)
};

/// How a test came out. The first six are pytest's own words.
enum class Verdict : std::uint8_t {
  passed,
  failed,     ///< its call failed, or its process did (TestResult::outcome says how)
  error,      ///< a fixture's set-up or tear-down failed, or its file could not be collected
  skipped,    ///< with a reason
  xfailed,    ///< failed as it was marked to
  xpassed,    ///< passed although marked xfail (not strict; strict is `failed`)
  ignored,    ///< a directive said not to run it
  cancelled,  ///< the run was stopped before or while it ran
  lost,       ///< casemate can't say: its warm parent died twice, or the executor did
};

/// How many verdicts there are.
inline constexpr std::size_t kVerdicts = 9;

/// "passed", "failed", ...
[[nodiscard]] std::string_view word(Verdict verdict);
/// The reverse; nullopt for a word that is none of them.
[[nodiscard]] std::optional<Verdict> verdict_of(std::string_view word);
/// failed, error and lost: what makes a run's exit status 1.
[[nodiscard]] bool is_bad(Verdict verdict);

/// One report of pytest's: a phase of a test, or one of its subtests. Texts are bounded by the sender.
struct TestReport {
  std::string when;                    ///< "setup", "call", "teardown"; "collect" for a file that could not be collected
  std::string outcome;                 ///< "passed", "failed", "skipped", "rerun"
  std::chrono::microseconds began{0};  ///< since the epoch
  std::chrono::microseconds duration{0};
  std::string text;  ///< what pytest prints of it ("longrepr"), whole lines, no colours; a skip's is its reason
  /// "AssertionError: assert 1 == 2", as pytest's reprcrash.message has it: the first line is for people, JUnit has all. "" if it passed,
  /// or pytest has none.
  std::string message;
  std::string path;  ///< where it failed or was skipped, as pytest has it; "" unknown
  std::uint32_t line = 0;
  std::vector<std::pair<std::string, std::string>> sections;  ///< "Captured stdout call" and what was captured
  std::optional<std::string> xfail;                           ///< the reason given to xfail ("" is one too), where that mark decided
  std::string subtest;                                        ///< what the subtest says of itself: "[msg] (i=1)"; "" for the test itself

  bool operator==(const TestReport&) const = default;
};

/// A warning that a test caused, as pytest's summary shows it.
struct TestWarning {
  std::string category;  ///< "DeprecationWarning"
  std::string message;
  std::string path;
  std::uint32_t line = 0;
  bool operator==(const TestWarning&) const = default;
};

/// All there is to know about one attempt at one test.
struct TestResult {
  TestCase test;
  Verdict verdict = Verdict::lost;
  std::string reason;                     ///< one line for people: why skipped, xfailed, failed; "" for a plain pass
  Outcome outcome;                        ///< of the process it ran in: `exited 0` unless that crashed, ran into a limit or was ended
  Resources resources;                    ///< of its cell; shared by all tests of a cell where isolation is not `test`
  bool cell_is_its_own = true;            ///< false: resources, output and leftovers are of the whole cell
  std::chrono::microseconds began{0};     ///< since the run began
  std::chrono::microseconds duration{0};  ///< its phases' time; until the end of the process if that did not come back
  std::vector<TestReport> reports;        ///< in pytest's order
  std::vector<TestWarning> warnings;
  std::vector<std::pair<std::string, std::string>> properties;  ///< record_property()
  Output output;                    ///< what went past pytest's capture (os.write to fd 1 under -s, faulthandler's text)
  std::vector<Leftover> leftovers;  ///< processes it left behind: LEAK
  std::vector<std::string> notes;   ///< for people, about this test alone
  std::string container;            ///< name of the image it ran on: "host", "docker://..."
  std::uint32_t slot = 0;           ///< which of the slots, from 0
  std::uint32_t attempt = 1;        ///< 1 is the first
  bool last = true;                 ///< false: it failed and will be tried again (--retries)
  bool flaky = false;               ///< passed, after an attempt that did not
  bool cold = false;                ///< ran in a fresh interpreter
  bool needs_others = false;        ///< it needs what other files of its suite import
  bool cached = false;              ///< did not run: it passed before, with the same inputs; duration, warnings and properties are of then
};

/// What a run is, known before anything ran.
struct RunStart {
  std::string front_end;               ///< "pytest"
  std::string name;                    ///< of the project: its directory's name
  std::string directory;               ///< absolute, on the host
  std::vector<std::string> arguments;  ///< as typed
  std::chrono::system_clock::time_point began;
  std::uint32_t slots = 1;
  std::uint32_t repetition = 1;  ///< of --repeat N, from 1
  std::uint32_t repetitions = 1;
};

/// What collection found.
struct Collected {
  std::size_t selected = 0;  ///< tests that will run (or be ignored), all repetitions of one
  std::size_t deselected = 0;
  std::size_t ignored = 0;            ///< of `selected`, those that a directive says not to run
  std::vector<TestResult> problems;   ///< files that could not be collected: verdict `error`, test.id is the file's node id
  std::chrono::microseconds took{0};  ///< from the run's begin
  std::string python;                 ///< "3.11.7"
  std::string pytest;                 ///< "8.1.1"
};

/// A test begins.
struct TestStart {
  const TestCase* test = nullptr;  ///< valid during the call
  std::uint32_t slot = 0;
  std::uint32_t attempt = 1;
  std::chrono::microseconds began{0};  ///< since the run began
};

/// The end of a run.
struct RunEnd {
  std::chrono::microseconds took{0};
  std::size_t counts[kVerdicts] = {};  ///< of last attempts, by Verdict
  std::size_t flaky = 0;               ///< of the passed ones
  std::size_t cached = 0;              ///< of the passed ones, those that did not run
  std::size_t not_run = 0;             ///< selected, but the run was stopped before (-x, --maxfail, --stop-after, a signal)
  std::string stopped_because;         ///< one line: "stopping after 1 failure", "interrupted (SIGINT)"; "" if it ran to its end
  bool at_once = false;                ///< by a second signal
  std::string coverage;                ///< what pytest-cov printed at the end, lines; "" nothing
  std::string problem;                 ///< why the run itself failed (no interpreter, usage error of pytest); "" if it did not
  int exit_status = 0;                 ///< 0 all passed, 1 failures, 2 usage or configuration, 3 engine, 4 nothing matched, 130 interrupted
};

/// Hears a run, or with --repeat several, one after the other. Calls come from one thread, in the order of this declaration but that
/// test_started() and test_finished() alternate freely with progress() and tick(). A sink that can't write keeps its problem to itself
/// until run_finished().
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void run_started(const RunStart& /*run*/) {}
  /// A line of what takes time before (and between) tests: an image being pulled, packages installed, warm parents begun. `finished` says
  /// that this line is a result to keep, not a state to be written over.
  virtual void progress(std::string_view /*line*/, bool /*finished*/) {}
  virtual void collected(const Collected& /*collected*/) {}
  virtual void test_started(const TestStart& /*start*/) {}
  /// An attempt has ended (TestResult::last says whether another follows).
  virtual void test_finished(const TestResult& /*result*/) {}
  /// Something for people that belongs to no test: "warm parent died; its 3 tests are run again".
  virtual void note(std::string_view /*line*/) {}
  /// About ten times a second while the run waits, for displays that move.
  virtual void tick(std::chrono::microseconds /*since_began*/) {}
  /// SIGUSR1 or a key: say what runs now.
  virtual void show_running() {}
  /// What is wrong already, in one line ("can't write x/junit.xml: ..."), "" nothing: to be asked after the first run_started(), before
  /// hours are spent on a run whose report nobody gets.
  [[nodiscard]] virtual std::string problem() const { return ""; }
  /// The last call of a repetition. An error is one line; the run's exit status becomes 3.
  virtual std::string run_finished(const RunEnd& /*end*/) { return ""; }
};

}  // namespace casemate
