#include "apps/agent/tests_run.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/agent/git_cell.h"
#include "apps/agent/worker.h"
#include "base/terminal.h"
#include "base/units.h"
#include "image/image_interpreter.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kOutputKept = 1u << 20;
constexpr std::size_t kLastLines = 3;
constexpr std::size_t kLongestLine = 160;

std::string directory_of(const std::string& path) { return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1)); }

// A program under test is the same user's as the tests: it could write into their memory (/proc/PID/mem, ptrace(2)) how they are to end.
// Not into that of a process which is not dumpable (prctl(2), PR_SET_DUMPABLE); an exec ends that, so it is for the interpreter itself to
// say, and programs under test can be debugged all the same. What is no file Python runs in its own way.
constexpr const char* kGuard = R"(def _casemate():
    import os, sys
    del sys.argv[0]
    if not os.path.isfile(sys.argv[0]):
        os.execv(sys.executable, [sys.executable, *sys.argv])
    try:
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    except Exception:
        pass
    sys.path[0] = os.path.dirname(os.path.realpath(sys.argv[0]))
    with open(sys.argv[0], 'rb') as file:
        globals().update(__file__=os.path.abspath(sys.argv[0]))
        del globals()['_casemate']
        return compile(file.read(), __file__, 'exec')
exec(_casemate())
)";

std::vector<std::string> guarded(std::vector<std::string> command, const std::string& python) {
  if (command.size() > 1 && command[0] == python && !command[1].starts_with('-')) command.insert(command.begin() + 1, {"-c", kGuard});
  return command;
}

std::string last_lines(std::string_view output) {
  std::vector<std::string> lines;
  while (!output.empty() && lines.size() < kLastLines) {
    const auto before = output.rfind('\n');
    const std::string_view line = before == std::string_view::npos ? output : output.substr(before + 1);
    output = output.substr(0, before == std::string_view::npos ? 0 : before);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back(printable_name(line.substr(0, kLongestLine)));
  }
  std::reverse(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, " "));
}

std::string without_report(const TestsEnd& end) {
  const std::string& said = end.result.output.merged;
  const std::string_view tail = std::string_view(said).substr(said.size() - std::min<std::size_t>(said.size(), 4096));
  std::string text = fmt::format("the tests' command {} and left no report", words(end.result.outcome));
  if (!end.report_problem.empty()) text += fmt::format(" ({})", end.report_problem);
  for (const char* missing : {"No module named 'pytest'", "No module named pytest"}) {
    if (tail.find(missing) != std::string_view::npos) return text + ": there is no pytest; name it in the tests' requirements.txt";
  }
  const std::string last = last_lines(said);
  return last.empty() ? text + " and no output" : fmt::format("{}; it said last: {}", text, last);
}

// A job that hit a limit may have gone on to its end all the same: one process of many had no memory, say.
bool ended_by_itself(const JobResult& result) {
  using Kind = Outcome::Kind;
  const Kind kind = result.outcome.kind;
  const bool may = kind == Kind::exited || kind == Kind::out_of_memory || kind == Kind::too_many_processes || kind == Kind::disk_limit;
  return may && result.exit_status.has_value();
}

// Tests side by side are reported as they end; pytest's order is the one that people know.
void put_in_order(std::vector<JUnitCase>& cases, const std::map<std::string, CaseFacts>& known) {
  if (known.empty()) return;
  const auto place = [&](const JUnitCase& one) {
    const auto found = known.find(case_key(one.class_name, one.name));
    return found == known.end() ? 0 : found->second.place + 1;
  };
  std::stable_sort(cases.begin(), cases.end(), [&](const JUnitCase& a, const JUnitCase& b) { return place(a) < place(b); });
}

std::string ending(const WorkOrder& order, const TestsEnd& end) {
  if (end.cut_short == CutShort::stopped) return kStopText;
  if (end.cut_short == CutShort::timed_out) return fmt::format("Timeout, tests run ran more than:{} seconds", seconds_text(order.timeout));
  const Outcome& outcome = end.result.outcome;
  if (outcome.kind == Outcome::Kind::setup_failed) return fmt::format("the tests' cell could not be made: {}", words(outcome));
  if (is_full_disk(outcome)) return "the tests' command was ended: the disk of the machine that runs the tests is nearly full";
  if (outcome.kind == Outcome::Kind::disk_limit && outcome.detail.starts_with("more than "))
    return fmt::format("the tests' command was ended: disk limit (more than {} beside its report)", format_bytes(kMostReportBytes));
  return fmt::format("the tests' command was ended: {}", words(outcome));
}

Mount writable_copy(std::string of, const char* target) {
  return {.kind = Mount::Kind::overlay, .target = target, .lower = {std::move(of)}, .owned = true};
}

}  // namespace

std::string seconds_text(std::chrono::milliseconds duration) {
  const auto count = duration.count();
  std::string text = fmt::format("{}", count / 1000);
  if (count % 1000 == 0) return text;
  text += fmt::format(".{:03}", count % 1000);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::vector<std::string> tests_command(const WorkOrder& order, const std::string& python) {
  std::vector<std::string> words = order.tests_command;
  if (words[0] == "python" || words[0] == "python3") words[0] = python;
  words.insert(words.end(), {"--src", kProjectInCell, "--junit-xml", fmt::format("{}/{}", kReportInCell, kReportFile)});
  if (!order.task.connected_tests.empty())
    words.insert(words.end(), {"-k", fmt::format("{}", fmt::join(order.task.connected_tests, " or "))});
  if (!order.task.laboratories.empty()) words.emplace_back("--lab-num");
  for (const std::int64_t laboratory : order.task.laboratories) words.push_back(fmt::format("{}", laboratory));
  if (order.proxy_timeout.count() > 0) words.insert(words.end(), {"--proxy_timeout", seconds_text(order.proxy_timeout)});
  return words;
}

Result<Job> tests_job(const WorkOrder& order, const TestsEnvironment& environment, const TestsPlaces& places) {
  Job job;
  job.name = "tests";
  job.argv = guarded(tests_command(order, environment.python()), environment.python());
  TRY(put_root(job, environment.root));
  job.env.emplace("PATH", fmt::format("{}:{}", directory_of(environment.python()), search_path(environment.root)));
  take_environment(job, environment.root);
  job.env.emplace("HOME", "/root");
  job.env.emplace("LANG", "C.UTF-8");
  job.env.emplace("PYTHONUNBUFFERED", "1");         // what a killed run has said is in output.txt, in order
  job.env.emplace("PYTHONDONTWRITEBYTECODE", "1");  // all that is written is thrown away
  job.env.emplace("PYTHONNOUSERSITE", "1");         // a student's program may write to HOME
  job.cwd = kTestsInCell;
  job.mounts.insert(job.mounts.end(), environment.mounts.begin(), environment.mounts.end());
  job.mounts.push_back(writable_copy(places.project, kProjectInCell));
  // Not writable: a student's program could make other tests of them, or other expected results.
  job.mounts.push_back({.kind = Mount::Kind::bind, .source = places.tests, .target = kTestsInCell, .owned = true});
  job.mounts.push_back({.kind = Mount::Kind::bind,
                        .source = places.report,
                        .target = kReportInCell,
                        .writable = true,
                        .owned = true,
                        .bytes = kMostReportBytes});
  job.network = Network::none;
  job.limits = order.limits;
  job.limits.wall.reset();
  job.capture_bytes = kOutputKept;
  return job;
}

Result<std::string> read_left(const std::string& directory, const char* name, std::size_t most) {
  TRY_ASSIGN(const UniqueFd place, open_file(directory, O_PATH | O_DIRECTORY));
  auto fd = open_beneath(place.get(), name, O_RDONLY);
  if (!fd && fd.error() == ENOENT) return fail(ErrorCode::not_found, "");
  if (!fd) return fail(ErrorCode::corrupt, fmt::format("it can't be opened: {}", std::strerror(fd.error())));
  struct stat info{};
  if (::fstat(fd->get(), &info) < 0 || !S_ISREG(info.st_mode)) return fail(ErrorCode::corrupt, "it is no regular file");
  return read_all(fd->get(), most);
}

void read_report(const std::string& directory, TestsEnd& end) {
  auto bytes = read_left(directory, kReportFile, kMostJUnitBytes);
  if (bytes)
    end.report = std::move(*bytes);
  else
    end.report_problem = std::move(bytes.error().what);
}

Grade grade_run(const WorkOrder& order, const TestsEnd& end) {
  RunFacts facts;
  facts.exit_status = end.result.exit_status.value_or(0);
  facts.peak_memory_kib = end.result.resources.peak_memory_bytes.value_or(0) / 1024;
  const bool cut_short = end.cut_short != CutShort::no;
  if (!cut_short && !ended_by_itself(end.result)) return grade_of_error(ending(order, end));
  facts.cases = end.cases;
  if (!cut_short) facts.connected_tests = order.task.connected_tests;

  Grade grade;
  if (end.report) {
    auto report = read_junit(*end.report);
    // A test that was interrupted is a <testcase> without a name in pytest's report, and looks as if it had passed.
    if (report) std::erase_if(report->cases, [](const JUnitCase& one) { return one.name.empty(); });
    if (report) put_in_order(report->cases, end.cases);
    if (report)
      grade = grade_of(*report, facts);
    else
      grade = grade_of_error(fmt::format("the tests' report can't be read: {}", report.error().what));
  } else {
    grade = grade_of_error(without_report(end));
  }
  if (cut_short) {
    grade.is_error = true;
    grade.error_details = ending(order, end);
  }
  return grade;
}

}  // namespace casemate
