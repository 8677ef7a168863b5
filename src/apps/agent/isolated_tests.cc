#include "apps/agent/isolated_tests.h"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/agent/worker.h"
#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "report/failure_text.h"
#include "report/junit.h"
#include "report/junit_reader.h"
#include "report/test_console.h"
#include "session/pytest_words.h"
#include "session/session.h"
#include "sys/fd.h"

namespace casemate {
namespace {

#include "agent_asking.inc"

constexpr const char* kPluginInCell = "/work/asking";
constexpr const char* kAskedFile = "asked.json";
constexpr std::size_t kMostAsked = 4u << 20;
constexpr std::size_t kMostWords = 10'000;
constexpr std::size_t kOutputKept = 1u << 20;
constexpr JsonBounds kBounds{.depth = 4, .values = 50'000};
constexpr int kSignaled = 128;                                              // run_tests(): and the signal's number
constexpr int kNoTests = 4;                                                 // of run_tests()
constexpr int kPytestsInterrupted = 2, kPytestsNothing = 5;                 // pytest.ExitCode
constexpr std::string_view kReports[] = {"--junit-xml", "--junitxml"};      // written by us
constexpr std::string_view kXdists[] = {"-n", "--numprocesses", "--dist"};  // slots are the order's

std::unexpected<Error> impossible(std::string why) { return fail(ErrorCode::not_supported, std::move(why)); }

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) < 0) return fail_errno("make " + path);
  return {};
}

template <std::size_t N>
bool is_one_of(std::string_view word, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), word) != std::end(names);
}

Result<std::vector<std::string>> usable(std::vector<std::string> words) {
  std::vector<std::string> kept;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string_view word = words[at];
    const std::string_view name = word.substr(0, word.find('='));
    if (word.find('\0') != std::string_view::npos) return impossible("it gives pytest an argument with NUL in it");
    if (!why_not(word).empty()) return impossible(fmt::format("it gives pytest {}", printable_name(name)));
    if (is_one_of(name, kReports) || is_one_of(name, kXdists)) {
      if (name == word) ++at;  // its value
      continue;
    }
    if (word.size() > 2 && word.starts_with("-n") && word.find_first_not_of("0123456789", 2) == std::string_view::npos) continue;
    kept.push_back(std::move(words[at]));
  }
  return kept;
}

// SIGINT for this process at the end of a time, as if somebody had sent it.
class Alarm {
 public:
  Alarm() = default;
  ~Alarm() {
    if (armed_) ::timer_delete(timer_);
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  Result<void> set(std::chrono::milliseconds after) {
    if (after.count() <= 0) return {};
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGINT;
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) < 0) return fail_errno("make a timer");
    armed_ = true;
    itimerspec when{};
    when.it_value.tv_sec = after.count() / 1000;
    when.it_value.tv_nsec = after.count() % 1000 * 1'000'000;
    if (::timer_settime(timer_, 0, &when, nullptr) < 0) return fail_errno("set a timer");
    return {};
  }
  [[nodiscard]] bool rang() const {
    itimerspec left{};
    return armed_ && ::timer_gettime(timer_, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0;
  }
  // What it has sent must not be taken for a stop later.
  void silence() {
    if (!armed_) return;
    armed_ = false;
    ::timer_delete(timer_);
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, SIGINT);
    siginfo_t info{};
    const timespec now{};
    if (::sigtimedwait(&one, &info, &now) == SIGINT && info.si_code != SI_TIMER) ::kill(::getpid(), SIGINT);
  }

 private:
  timer_t timer_{};
  bool armed_ = false;
};

// Hears the session, and writes the report. What was cut short is in none: nobody knows what would have come of it.
class Witness final : public Sink {
 public:
  explicit Witness(const std::string& report) : report_(report) {}
  void run_started(const RunStart& run) override { report_.run_started(run); }
  void collected(const Collected& collected) override {
    uncollected_ = !collected.problems.empty();
    report_.collected(collected);
  }
  void test_started(const TestStart& start) override { leads_[start.slot] = seen(*start.test, std::nullopt).place; }
  void test_finished(const TestResult& result) override {
    if (result.verdict == Verdict::cancelled) return;
    if (result.outcome.kind == Outcome::Kind::setup_failed && cell_problem_.empty()) cell_problem_ = words(result.outcome);
    CaseFacts& facts = seen(result.test, result.slot);
    facts.memory_kib = std::max(facts.memory_kib, result.resources.peak_memory_bytes.value_or(0) / 1024);
    report_.test_finished(within_bounds(result));
  }
  void note(std::string_view line) override {
    if (notes_.size() < kMostNotes) notes_.emplace_back(line);
  }
  [[nodiscard]] std::string problem() const override { return report_.problem(); }
  std::string run_finished(const RunEnd& end) override {
    problem_ = end.problem;
    stopped_ = !end.stopped_because.empty();
    at_once_ = end.at_once;
    return report_.run_finished(end);
  }

  // As pytest has it: what did run is told, but that is not all.
  [[nodiscard]] bool interrupted() const { return uncollected_ || stopped_; }
  // Why a test's cell could not be made, which is no test's doing; "" if all could.
  [[nodiscard]] const std::string& cell_problem() const { return cell_problem_; }
  [[nodiscard]] const std::string& why() const { return problem_; }
  // A second signal came.
  [[nodiscard]] bool at_once() const { return at_once_; }
  [[nodiscard]] std::map<std::string, CaseFacts>& cases() { return cases_; }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

 private:
  static constexpr std::size_t kMostNotes = 20;
  static constexpr std::size_t kMostTexts = 8u << 20;  // XML makes six of a byte
  static constexpr std::size_t kFewest = 400;

  // What a grade can't hold need not lie on this machine's disk, however much a cell says.
  TestResult within_bounds(TestResult result) {
    const std::size_t most = texts_ < kMostTexts ? kMostJUnitText : kFewest;
    const auto cut = [&](std::string& text) {
      text = head_and_tail(text, most);
      texts_ += text.size();
    };
    for (TestReport& report : result.reports) {
      cut(report.text);
      cut(report.message);
      report.sections.clear();
    }
    cut(result.reason);
    cut(result.output.out);
    cut(result.output.err);
    result.properties.clear();
    return result;
  }

  // Cells begin in pytest's order, and each is told of with its first test.
  CaseFacts& seen(const TestCase& test, std::optional<std::uint32_t> slot) {
    const auto [place, name] = junit_address(test);
    CaseFacts fresh{.place = cases_.size()};
    if (const auto lead = slot ? leads_.find(*slot) : leads_.end(); lead != leads_.end()) fresh.place = lead->second;
    return cases_.try_emplace(case_key(xml_characters(place), xml_characters(name)), fresh).first->second;
  }

  JunitReport report_;
  std::map<std::string, CaseFacts> cases_;
  std::map<std::uint32_t, std::size_t> leads_;  // by slot: the place of its cell's first test
  std::vector<std::string> notes_;
  std::size_t texts_ = 0;  // bytes that the report has
  std::string problem_;
  std::string cell_problem_;
  bool uncollected_ = false;
  bool stopped_ = false;
  bool at_once_ = false;
};

// Every test sees what the tests' command would: the same cell, but for the report's directory, and pytest as that has called it.
Result<Furnishing> furnish_as(const WorkOrder& order, const TestsEnvironment& environment, const TestsPlaces& places,
                              const PytestCall& call) {
  TRY_ASSIGN(Job job, tests_job(order, environment, places));
  std::erase_if(job.mounts, [](const Mount& mount) { return mount.target == kReportInCell; });
  job.name = "pytest";
  job.cwd = call.directory;
  job.env = {call.environment.begin(), call.environment.end()};
  job.argv = {environment.python()};
  job.argv.insert(job.argv.end(), call.arguments.begin(), call.arguments.end());
  Furnishing made;
  made.request.fork = job;
  made.request.parent = std::move(job);  // with its limits: what a conftest.py imports may be the student's
  made.request.guarded = true;           // a test's fork tells what it came to, by a descriptor
  return made;
}

std::string head_of(int fd) {
  std::string text(kOutputKept, '\0');
  std::size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<std::size_t>(std::max<ssize_t>(got, 0)))
    got = ::pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size));
  text.resize(size);
  return text;
}

}  // namespace

Result<Job> asking_job(const WorkOrder& order, const TestsEnvironment& environment, const std::string& tests, const std::string& scratch) {
  for (const char* name : {"/project", "/asked", "/plugin"}) TRY(make_directory(scratch + name));
  {
    TRY_ASSIGN(const UniqueFd file, open_file(scratch + "/plugin/casemate_asking.py", O_WRONLY | O_CREAT | O_EXCL, 0644));
    TRY(write_all(file.get(), kAskingPlugin));
  }
  TRY_ASSIGN(Job job, tests_job(order, environment, {scratch + "/project", tests, scratch + "/asked"}));
  job.name = "what the tests' command asks pytest for";
  job.mounts.push_back({.kind = Mount::Kind::bind, .source = scratch + "/plugin", .target = kPluginInCell, .owned = true});
  const auto before = job.env.find("PYTHONPATH");
  job.env["PYTHONPATH"] = before == job.env.end() ? kPluginInCell : fmt::format("{}:{}", kPluginInCell, before->second);
  job.env["PYTEST_PLUGINS"] = "casemate_asking";
  return job;
}

Result<PytestCall> call_from_json(const std::string& text) {
  const auto json = untrusted_object(text, kBounds);
  if (!json) {
    const bool several = text.find('\n') + 1 < text.size();
    return impossible(several ? "it calls pytest more than once" : "what it gives pytest can't be told");
  }
  if (number_at(*json, "plugins") > 0) return impossible("it gives pytest plugins that are objects");
  PytestCall call;
  TRY_ASSIGN(call.arguments, usable(texts_at(*json, "arguments", kMostWords)));
  call.directory = text_at(*json, "directory");
  if (!call.directory.starts_with('/') || call.directory.find('\0') != std::string::npos)
    return impossible("it calls pytest in a directory that can't be named");
  const nlohmann::json* const environment = member_if(*json, "environment", &nlohmann::json::is_object);
  for (auto entry = environment ? environment->begin() : nlohmann::json::const_iterator{}; environment && entry != environment->end();
       ++entry) {
    const bool fits =
        entry->is_string() && !entry.key().empty() && entry.key().find_first_of(std::string_view("=\0", 2)) == std::string::npos;
    if (!fits) continue;
    const auto& value = entry->get_ref<const std::string&>();
    if (value.find('\0') == std::string::npos) call.environment.emplace(entry.key(), value);
  }
  return call;
}

Result<PytestCall> read_call(const std::string& scratch) {
  auto text = read_left(scratch + "/asked", kAskedFile, kMostAsked);
  if (!text && text.error().code == ErrorCode::not_found) return impossible("it does not call pytest, where the project is empty");
  if (!text) return impossible(fmt::format("what it gives pytest can't be read: {}", text.error().what));
  return call_from_json(*text);
}

Result<TestsEnd> run_isolated(const WorkOrder& order, const TestsEnvironment& environment, const TestsPlaces& places,
                              const PytestCall& call, const std::string& scratch, std::chrono::milliseconds timeout) {
  TRY_ASSIGN(const UniqueFd output, open_file(scratch + "/output", O_RDWR | O_CREAT | O_EXCL, 0600));
  const std::string directory = scratch + "/session";  // for reports of pytest-cov, which nobody reads
  TRY(make_directory(directory));
  Witness witness(fmt::format("{}/{}", places.report, kReportFile));
  TestConsole console({.fd = output.get(), .color = Color::never, .inline_limit = kMostJUnitText});
  PytestRequest request;
  request.directory = directory;
  request.slots = order.slots;
  request.isolation = isolation_of(order.isolation);
  SessionOptions options{.sinks = {&console, &witness}};
  options.furnish = [&] { return furnish_as(order, environment, places, call); };
  Alarm alarm;
  TRY(alarm.set(timeout));
  const int status = run_tests(request, options);
  const bool rang = alarm.rang();
  if (status < kSignaled) alarm.silence();

  TestsEnd end;
  end.result.outcome = {Outcome::Kind::exited, status};
  end.result.exit_status = witness.interrupted() ? kPytestsInterrupted : status == kNoTests ? kPytestsNothing : status;
  end.result.output.merged = head_of(output.get());
  end.result.notes = witness.notes();
  end.cases = std::move(witness.cases());
  if (status >= kSignaled) {
    end.cut_short = rang && status == kSignaled + SIGINT ? CutShort::timed_out : CutShort::stopped;
    // Two of one number would be one. What comes after the timeout is the first that somebody has sent.
    if (end.cut_short == CutShort::stopped) ::kill(::getpid(), status - kSignaled);
    if (witness.at_once()) ::kill(::getpid(), status - kSignaled == SIGTERM ? SIGINT : SIGTERM);
    return end;
  }
  if (!witness.cell_problem().empty())
    return fail(ErrorCode::system, fmt::format("a test's cell could not be made: {}", witness.cell_problem()));
  if (status <= 1 || status == kNoTests) return end;
  std::string why = fmt::format("pytest could not be run so: {}", printable_line(witness.why().substr(0, witness.why().find('\n'))));
  if (end.cases.empty()) return impossible(std::move(why));
  return fail(ErrorCode::internal, std::move(why));
}

}  // namespace casemate
