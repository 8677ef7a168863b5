#include "apps/agent/tests_run.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/agent/git_cell.h"
#include "apps/agent/guard.h"
#include "apps/agent/worker.h"
#include "base/terminal.h"
#include "base/units.h"
#include "engine/disk_watch.h"
#include "image/image_interpreter.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kOutputKept = 1u << 20;
constexpr std::size_t kLastLines = 3;
constexpr std::size_t kLongestLine = 160;
constexpr std::size_t kTail = 4096;

std::string directory_of(const std::string& path) { return path.substr(0, std::max<std::size_t>(path.rfind('/'), 1)); }

// Lines that are nobody's reason: empty ones, and those that pytest has below and above an error of its command line.
bool tells_nothing(std::string_view line) {
  if (line.starts_with("  inifile: ") || line.starts_with("  rootdir: ") || line.starts_with("ERROR: usage: ")) return true;
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// Not in the middle of a character.
std::string_view shortened(std::string_view line) {
  if (line.size() <= kLongestLine) return line;
  std::size_t cut = kLongestLine;
  while (cut > 0 && (static_cast<unsigned char>(line[cut]) & 0xc0) == 0x80) --cut;
  return line.substr(0, cut);
}

// Lines that tell something, the last one first, as long as `goes_on` says so.
void from_the_end(std::string_view output, auto goes_on) {
  while (!output.empty()) {
    const auto before = output.rfind('\n');
    const std::string_view line = before == std::string_view::npos ? output : output.substr(before + 1);
    output = output.substr(0, before == std::string_view::npos ? 0 : before);
    if (!tells_nothing(line) && !goes_on(line)) return;
  }
}

std::string last_lines(std::string_view output) {
  std::vector<std::string> lines;
  from_the_end(output, [&](std::string_view line) {
    lines.push_back(printable_name(shortened(line)));
    return lines.size() < kLastLines;
  });
  std::reverse(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, " "));
}

// Why pytest refused its command line: its last error, and where it told none what was said last.
std::string last_error(std::string_view output) {
  constexpr std::string_view kError = "ERROR: ";
  std::string_view last;
  from_the_end(output.substr(output.size() - std::min(output.size(), kTail)), [&](std::string_view line) {
    const bool is_error = line.starts_with(kError);
    if (is_error || last.empty()) last = is_error ? line.substr(kError.size()) : line;
    return !is_error;
  });
  return printable_name(shortened(last));
}

std::string without_report(const TestsEnd& end) {
  const std::string& said = end.result.output.merged;
  const std::string_view tail = std::string_view(said).substr(said.size() - std::min(said.size(), kTail));
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
  if (end.cut_short == CutShort::timed_out) return fmt::format("{}{} seconds", kTimeoutText, seconds_text(order.timeout));
  const Outcome& outcome = end.result.outcome;
  if (outcome.kind == Outcome::Kind::setup_failed) return fmt::format("the tests' cell could not be made: {}", words(outcome));
  if (is_full_disk(outcome)) return "the tests' command was ended: the disk of the machine that runs the tests is nearly full";
  if (is_many_files(outcome))
    return fmt::format("the tests' command was ended: disk limit (more than {} files beside its report)", files_within(kMostReportBytes));
  if (outcome.kind == Outcome::Kind::disk_limit && outcome.step == kManyBytes)
    return fmt::format("the tests' command was ended: disk limit (more than {} beside its report)", format_bytes(kMostReportBytes));
  return fmt::format("the tests' command was ended: {}", words(outcome));
}

// Of a run that did not come to its end by itself.
Fault fault_of(const Outcome& outcome) {
  if (is_full_disk(outcome) || outcome.kind == Outcome::Kind::lost) return Fault::worker;
  if (outcome.kind != Outcome::Kind::setup_failed) return Fault::none;
  if (outcome.step.starts_with("execve")) {
    if (outcome.code == E2BIG) return Fault::none;  // what the task asks for
    if (outcome.code == ENOENT || outcome.code == EACCES || outcome.code == ENOEXEC) return Fault::tests;
  }
  return is_for_want(outcome.code) ? Fault::host : Fault::worker;
}

Mount writable_copy(std::string of, const char* target) {
  return {.kind = Mount::Kind::overlay, .target = target, .lower = {std::move(of)}, .owned = true};
}

}  // namespace

bool is_for_want(int error) {
  constexpr int kWants[] = {EMFILE, ENFILE, EAGAIN, ENOMEM, ENOSPC, EDQUOT, EUSERS};
  return std::find(std::begin(kWants), std::end(kWants), error) != std::end(kWants);
}

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
  facts.said = last_error(end.result.output.merged);
  facts.peak_memory_kib = end.result.resources.peak_memory_bytes.value_or(0) / 1024;
  const bool cut_short = end.cut_short != CutShort::no;
  if (!cut_short && !ended_by_itself(end.result)) return grade_of_error(ending(order, end), fault_of(end.result.outcome));
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
