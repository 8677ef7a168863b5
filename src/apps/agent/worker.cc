#include "apps/agent/worker.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "apps/agent/clone.h"
#include "apps/agent/interruption.h"
#include "apps/agent/isolated_tests.h"
#include "apps/agent/report_watch.h"
#include "apps/agent/task_page.h"
#include "apps/agent/tests_environment.h"
#include "apps/agent/tests_repository.h"
#include "apps/agent/tests_run.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "casemate/engine.h"
#include "engine/run_job.h"
#include "report/printing.h"
#include "store/store.h"
#include "store/tree.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostOrder = 16u << 20;
constexpr int kKilledBySignal = 130;
constexpr std::string_view kNotCloned = "the repository could not be cloned: ";
constexpr std::string_view kNoTests = "the tests repository can't be had: ";
constexpr std::uint64_t kLeastRoom = 16ull << 20;  // on the cache's disk, where what failed can be believed to be the task's doing
constexpr std::uint64_t kLeastFiles = 100;
constexpr auto kAskingTime = std::chrono::seconds(60);

std::chrono::microseconds since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
}

// Hears one job that runs beside others.
class Heard final : public JobListener {
 public:
  void finished(JobResult result) override {
    result_ = std::move(result);
    took_ = since(began_);
  }
  [[nodiscard]] const JobResult& result() const { return result_; }
  [[nodiscard]] std::chrono::microseconds took() const { return took_; }

 private:
  Clock::time_point began_ = Clock::now();
  JobResult result_;
  std::chrono::microseconds took_{0};
};

// A file of a task: whole, or not there.
Result<void> write_whole(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".new";
  TRY_ASSIGN(const UniqueFd file, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  TRY(write_all(file.get(), bytes));
  if (::fsync(file.get()) < 0) return fail_errno("write " + temporary);
  if (::rename(temporary.c_str(), path.c_str()) < 0) return fail_errno("write " + path);
  return {};
}

class Pipeline {
 public:
  explicit Pipeline(std::string directory) : directory_(std::move(directory)) {}

  Result<void> read_order() {
    for (const char* name : {kGradeFile, kStepsFile, kOutputFile, kReportFile, kHtmlFile, kReadyFile})
      ::unlink(in(name).c_str());  // of an earlier try
    TRY_ASSIGN(const std::string text, read_file(in(kOrderFile), kMostOrder));
    TRY_ASSIGN(order_, order_from_json(text));
    return {};
  }

  Grade grade() {
    Grade grade = ended(attempt());
    if (grade.is_error && grade.error_details != kStopText && lacks_room()) {
      grade.fault = Fault::host;
      grade.error_details += fmt::format(" (the disk of the cache {} is full)", cache_directory());
    }
    grade.commit = commit_;
    return grade;
  }

  [[nodiscard]] bool hurried() { return interruption_ && interruption_->stopped() && interruption_->hurried(); }

  // All that people may want to see later, and last the grade, which says that the rest is there.
  Result<void> write(const Grade& grade) {
    TRY(write_whole(in(kStepsFile), steps_json(steps_)));
    if (ran_) TRY(write_whole(in(kOutputFile), end_.result.output.merged));
    if (end_.report) TRY(write_whole(in(kReportFile), *end_.report));
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now() - began_);
    const TaskPage page{order_, grade, steps_, end_.result.output.merged, began_, took, !end_.cases.empty()};
    if (auto written = write_task_page(in(kHtmlFile), page); !written)
      complain("casemate agent", written.error().what);  // a page that can't be written costs nobody his grade
    return write_whole(in(kGradeFile), grade_json(grade));
  }

  // What only later tasks profit from.
  void prepare_later() {
    if (environment_ && tests_ && !(interruption_ && interruption_->stopped()))
      compile_for_later(*environment_, tests_->lease.path(), *store_, run_jobs_on(*engine_));
  }

 private:
  [[nodiscard]] std::string in(const char* name) const { return directory_ + "/" + name; }

  Grade ended(Result<Grade> graded) {
    if (interruption_ && interruption_->stopped() && (!graded || graded->error_details != kStopText)) return grade_of_error(kStopText);
    return graded ? std::move(*graded) : grade_of_error(std::move(graded.error().what), fault_);
  }

  Result<Grade> attempt() {
    TRY(open());
    if (order_.asks_only) {
      TRY(ask_for_tests());
      return Grade{};
    }
    TRY(fetch());
    fault_ = Fault::tests;
    TRY(step("environment", [this](StepReport& report) { return make_environment(report); }));
    if (order_.tells_ready) (void)write_whole(in(kReadyFile), "");
    fault_ = Fault::worker;
    TRY(step("run", [this](StepReport& report) { return run(report); }));
    const auto start = Clock::now();
    StepReport report{.name = "report"};  // also of a run that was stopped
    read_report(temp("report"), end_);
    Grade grade = grade_run(order_, end_);
    report.took = since(start);
    // pytest writes it once. What a second writer says of single cases no exit status contradicts.
    const unsigned writes = report_watch_ ? report_watch_->writes(kReportFile) : 0;
    const bool ended_for_it = grade.cases.empty() && end_.result.outcome.kind == Outcome::Kind::disk_limit;  // files without end
    if (writes > 1 && !ended_for_it) {
      const std::string before = grade.is_error ? grade.error_details + "; " : "";
      grade =
          grade_of_error(fmt::format("{}{} was written {} times: by something else than the tests, perhaps", before, kReportFile, writes));
    }
    if (grade.is_error) report.problem = grade.error_details;
    steps_.push_back(std::move(report));
    return grade;
  }

  Result<void> open() {
    TRY_ASSIGN(Store store, Store::open());
    store_ = std::make_unique<Store>(std::move(store));
    TRY_ASSIGN(temp_, store_->make_temp());
    for (const char* name : {"project", "report", "asking", "isolated"}) {
      if (::mkdir(temp(name).c_str(), 0755) < 0) return fail_errno("make a directory in the cache");
    }
    TRY_ASSIGN(engine_, Engine::create());
    TRY_ASSIGN(interruption_, Interruption::create(*engine_));
    return {};
  }

  [[nodiscard]] std::string temp(const char* name) const { return temp_->path() + "/" + name; }

  // One step, `before` of whose time is over already.
  Result<void> step(const char* name, const std::function<Result<void>(StepReport&)>& work, std::chrono::microseconds before = {}) {
    if (interruption_->stopped()) return fail(ErrorCode::cancelled, kStopText);
    StepReport report{.name = name};
    const auto start = Clock::now();
    auto done = work(report);
    report.took = before + since(start);
    if (!done) report.problem = done.error().what;
    steps_.push_back(std::move(report));
    return done;
  }

  // Of what this task has written nothing counts: it is a task's right to be large.
  [[nodiscard]] bool lacks_room() const {
    if (!temp_) return false;
    for (const char* name : {"project", "report"}) (void)remove_tree(temp(name));
    struct statvfs room{};
    if (::statvfs(temp_->path().c_str(), &room) < 0) return false;
    return room.f_bavail * room.f_frsize < kLeastRoom || (room.f_files > 0 && room.f_favail < kLeastFiles);
  }

  Result<TestsRequest> tests_request() const {
    TestsRequest tests;
    tests.network = order_.clone_network;
    tests.credentials = order_.clone_credentials;
    auto source = read_git_source(order_.tests_repo, order_.allow_file_urls);
    if (!source && source.error().code == ErrorCode::refused) source.error().what += " (--allow-file-urls allows them)";
    TRY_ASSIGN(tests.source, std::move(source));
    tests.revision = order_.tests_revision;
    TRY(check_revision("tests' revision", tests.revision));
    return tests;
  }

  // That the tests can't be had is no student's doing, whatever kept them away.
  static Fault fault_of_tests(const Error& error) { return error.code == ErrorCode::not_found ? Fault::no_tests : Fault::tests; }

  Result<void> ask_for_tests() {
    fault_ = Fault::no_tests;
    auto request = tests_request();
    if (!request) return named(kNoTests, std::unexpected(std::move(request.error())));
    const RunJob run = run_jobs_on(*engine_);
    const auto ask = [&]() -> Result<void> {
      if (is_commit(request->revision)) {  // who has its tree need ask nobody
        TRY(tests_tree(*request, request->revision, *store_, run));
      } else {
        TRY_ASSIGN(const JobResult answer, run(revision_job(*request), {}));
        TRY(commit_of(*request, answer));
      }
      return {};
    };
    auto asked = ask();
    if (!asked) fault_ = fault_of_tests(asked.error());
    return named(kNoTests, std::move(asked));
  }

  // The clone failed. Where the tests can't be had either it may be the network: then nobody's clone is judged.
  std::unexpected<Error> judge_clone(Error error, const TestsRequest& tests, const JobResult& cloned, const JobResult& asked) {
    if (!is_commit(tests.revision)) {  // else nobody was asked
      if (auto failure = git_failure(tests.source, asked, tests.network)) {
        fault_ = fault_of_tests(*failure);
        failure->what.insert(0, kNoTests);
        steps_.push_back({.name = "tests", .problem = failure->what});
        return std::unexpected(std::move(*failure));
      }
    }
    const ErrorCode code = error.code;
    const bool unknown = code == ErrorCode::exhausted || code == ErrorCode::internal;
    const bool is_away = code == ErrorCode::refused && is_unreached(cloned);
    fault_ = code == ErrorCode::system ? Fault::host : unknown ? Fault::worker : is_away ? Fault::unreached : Fault::none;
    return std::unexpected(std::move(error));
  }

  // Both repositories are asked at once: most of the time is waiting for servers.
  Result<void> fetch() {
    CloneRequest clone;
    clone.directory = temp("project");
    clone.network = order_.clone_network;
    clone.credentials = order_.clone_credentials;
    fault_ = Fault::none;
    TRY(look_at("clone", kNotCloned, [&]() -> Result<void> {
      TRY_ASSIGN(clone.source, read_git_source(order_.task.repository_url, order_.allow_file_urls));
      clone.branch = order_.task.branch;
      return check_revision("branch", clone.branch);
    }));
    TestsRequest tests;
    fault_ = Fault::no_tests;
    TRY(look_at("tests", kNoTests, [&]() -> Result<void> {
      TRY_ASSIGN(tests, tests_request());
      return {};
    }));
    fault_ = Fault::host;
    Heard cloned;
    Heard asked;
    const bool known = is_commit(tests.revision);
    TRY(engine_->submit(clone_job(clone), cloned));
    if (!known) TRY(engine_->submit(revision_job(tests), asked));
    TRY(engine_->run_until_idle());
    const RunJob run = run_jobs_on(*engine_);
    const auto get_project = [&](StepReport& report) -> Result<void> {
      TRY_ASSIGN(commit_, finish_clone(clone, cloned.result(), run));
      report.commit = commit_;
      return {};
    };
    auto done = step("clone", [&](StepReport& report) { return named(kNotCloned, get_project(report)); }, cloned.took());
    if (!done) return judge_clone(std::move(done.error()), tests, cloned.result(), asked.result());
    const auto get_tests = [&](StepReport& report) -> Result<void> {
      std::string commit = tests.revision;
      if (!known) {
        TRY_ASSIGN(commit, commit_of(tests, asked.result()));
      }
      report.commit = commit;
      TRY_ASSIGN(tests_, tests_tree(tests, commit, *store_, run));
      report.cached = tests_->cached;
      return {};
    };
    auto got = step("tests", [&](StepReport& report) { return named(kNoTests, get_tests(report)); }, asked.took());
    if (!got) fault_ = fault_of_tests(got.error());
    return got;
  }

  // Names that can't be right are a step that failed; those that can leave no trace.
  Result<void> look_at(const char* name, std::string_view before, const std::function<Result<void>()>& look) {
    auto looked = named(before, look());
    if (!looked) steps_.push_back({.name = name, .problem = looked.error().what});
    return looked;
  }

  static Result<void> named(std::string_view before, Result<void> done) {
    if (!done) done.error().what.insert(0, before);
    return done;
  }

  Result<void> make_environment(StepReport& report) {
    const auto stopped = [this] { return interruption_->stopped(); };
    auto made = tests_environment(order_.image, tests_->lease.path(), *store_, run_jobs_on(*engine_), stopped);
    if (!made) {
      made.error().what.insert(0, "the tests' environment could not be made: ");
      return std::unexpected(std::move(made.error()));
    }
    environment_ = std::move(*made);
    report.cached = environment_->cached();
    report.notes.push_back(fmt::format("Python {}", environment_->interpreter.version));
    return {};
  }

  // Each test (class, ...) in a cell of its own; where that can't be, the reason.
  Result<std::string> run_isolated_tests(StepReport& report) {
    const auto start = Clock::now();
    TRY_ASSIGN(Job asking, asking_job(order_, *environment_, tests_->lease.path(), temp("asking")));
    TRY(interruption_->treat(Interruption::Manner::end, kAskingTime));
    TRY_ASSIGN(const JobResult asked, engine_->run(std::move(asking)));
    TRY(interruption_->treat(Interruption::Manner::end));
    if (interruption_->stopped()) return fail(ErrorCode::cancelled, kStopText);
    const auto call = read_call(temp("asking"));
    if (!call) return call.error().what;
    const TestsPlaces places{temp("project"), tests_->lease.path(), temp("report")};
    auto ran = run_isolated(order_, *environment_, places, *call, temp("isolated"), time_left(start));
    if (!ran && ran.error().code == ErrorCode::not_supported) return std::move(ran.error().what);
    TRY_ASSIGN(end_, std::move(ran));
    ran_ = true;
    report.notes = end_.result.notes;
    return "";
  }

  // Of the tests' run, which began then; at least so much that there is an end.
  [[nodiscard]] std::chrono::milliseconds time_left(Clock::time_point start) const {
    if (order_.timeout.count() == 0) return {};
    const auto used = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    return std::max(order_.timeout - used, std::chrono::milliseconds(1));
  }

  Result<void> run(StepReport& report) {
    const auto start = Clock::now();
    std::string why;
    if (order_.isolation != "run") {
      TRY_ASSIGN(why, run_isolated_tests(report));
      if (why.empty()) return {};
    }
    TRY_ASSIGN(Job job, tests_job(order_, *environment_, {temp("project"), tests_->lease.path(), temp("report")}));
    TRY_ASSIGN(report_watch_, ReportWatch::begin(temp("report")));
    TRY(interruption_->treat(Interruption::Manner::ask, time_left(start)));
    TRY_ASSIGN(end_.result, engine_->run(std::move(job)));
    ran_ = true;
    if (interruption_->timed_out()) end_.cut_short = CutShort::timed_out;
    if (interruption_->stopped()) end_.cut_short = CutShort::stopped;
    TRY(interruption_->treat(Interruption::Manner::end));
    report.notes = end_.result.notes;
    if (!why.empty())
      report.notes.push_back(
          fmt::format("the tests shared a cell, and their memory is that of all: the tests' command can't be run otherwise, for {}", why));
    std::vector<std::string> left;
    for (const Leftover& process : end_.result.leftovers) left.push_back(fmt::format("{} ({})", process.pid, printable_name(process.name)));
    if (!left.empty())
      report.notes.push_back(fmt::format("still ran when the tests' command had ended, and were killed: {}", fmt::join(left, ", ")));
    if (end_.result.outcome.kind != Outcome::Kind::exited) report.notes.push_back(words(end_.result.outcome));
    return {};
  }

  std::string directory_;
  std::chrono::system_clock::time_point began_ = std::chrono::system_clock::now();
  WorkOrder order_;
  std::string commit_;  // of the student's repository
  std::vector<StepReport> steps_;
  Fault fault_ = Fault::host;  // whose doing it is if what is done now fails
  std::unique_ptr<Store> store_;
  std::unique_ptr<StoreTemp> temp_;  // outlives the engine, whose cells show it
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Interruption> interruption_;
  std::optional<TestsTree> tests_;
  std::optional<TestsEnvironment> environment_;
  std::optional<ReportWatch> report_watch_;  // from the run's start on
  TestsEnd end_;
  bool ran_ = false;
};

// A task may ask for what can't be; all else of an order is ours.
Grade unreadable(const Error& error) {
  return grade_of_error(fmt::format("the worker's order can't be read: {}", error.what),
                        error.code == ErrorCode::invalid_input ? Fault::none : Fault::worker);
}

}  // namespace

int worker_main(const std::string& directory) {
  Pipeline pipeline(directory);
  auto read = pipeline.read_order();
  const Grade grade = read ? pipeline.grade() : unreadable(read.error());
  if (pipeline.hurried()) return kKilledBySignal;
  if (auto written = pipeline.write(grade); !written) return complain("casemate agent", written.error().what);
  if (grade.fault == Fault::none) pipeline.prepare_later();
  return 0;
}

}  // namespace casemate
