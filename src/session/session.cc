#include "session/session.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "casemate/engine.h"
#include "engine/run_job.h"
#include "report/pull_progress.h"
#include "report/test_words.h"
#include "session/collector.h"
#include "session/coverage.h"
#include "session/directives.h"
#include "session/furnishing.h"
#include "session/keys.h"
#include "session/queue.h"
#include "session/second_try.h"
#include "session/selection.h"
#include "session/verdict.h"
#include "sys/signals.h"
#include "warm/alone.h"
#include "warm/executor.h"
#include "warm/protocol.h"
#include "warm/stream.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kAhead = 2;         // units that wait in the engine's queue, so that it can make their cells
constexpr std::size_t kFilesAhead = 2;    // files whose parents may begin before their tests do
constexpr std::size_t kLookAhead = 3000;  // units that may lie before theirs
constexpr std::uint32_t kMostLost = 1;    // how often a unit whose parent died is run again
constexpr std::size_t kProgressColumns = 100;
constexpr auto kTick = std::chrono::milliseconds(100);

class Session;

/// One unit while it runs.
struct RunningUnit : JobListener {
  Session* session = nullptr;
  Unit unit;
  UnitReport told;
  bool has_started = false;
  std::uint32_t slot = 0;
  std::chrono::microseconds began{0};

  void started() override;
  void report(std::string_view bytes) override { told.add(bytes); }
  void finished(JobResult result) override;
};

class Session {
 public:
  Session(const PytestRequest& request, const SessionOptions& options) : request_(request), options_(options) {}

  int go() {
    RunStart start{.front_end = "pytest",
                   .name = request_.directory.substr(request_.directory.rfind('/') + 1),
                   .directory = request_.directory,
                   .arguments = options_.typed,
                   .began = std::chrono::system_clock::now(),
                   .slots = slots(),
                   .repetition = 1,
                   .repetitions = request_.repeat};
    tell([&](Sink& sink) { sink.run_started(start); });
    for (const std::string& note : request_.notes) tell_note(note);
    for (Sink* sink : options_.sinks) {
      if (const std::string problem = sink->problem(); !problem.empty()) return finish(3, problem);
    }
    if (auto done = prepare(); !done) return finish(status_of(done.error()), done.error().what);
    if (interrupted()) return finish_interrupted();
    if (const auto ended = collect()) return *ended;
    if (auto done = select(); !done) return finish(status_of(done.error()), done.error().what);
    if (options_.list) {
      for (const SelectedTest& selected : selected_) options_.list(selected.test);
      return problems_ > 0 ? 1 : selected_.empty() ? 4 : 0;
    }
    int worst = 0;
    for (std::uint32_t repetition = 1; repetition <= request_.repeat; ++repetition) {
      if (repetition > 1) {
        end_ = RunEnd{};
        bad_before_ += bad_ - problems_;
        start.repetition = repetition;
        began_ = Clock::now();
        start.began = std::chrono::system_clock::now();
        tell([&](Sink& sink) { sink.run_started(start); });
      }
      if (const int status = run_all(); status != 0) worst = status;
      if (interrupted() || !end_.stopped_because.empty()) break;
    }
    return worst;
  }

  // ---- Called by RunningUnit

  void unit_started(RunningUnit& running) {
    for (running.slot = 0; busy_.contains(running.slot); ++running.slot) {
    }
    running.has_started = true;
    busy_.insert(running.slot);
    running.began = since_began();
    const TestStart start{&selected_[running.unit.tests.front()].test, running.slot, running.unit.attempt, running.began};
    tell([&](Sink& sink) { sink.test_started(start); });
  }

  void unit_finished(RunningUnit& running, JobResult result) {
    const std::unique_ptr<RunningUnit> owner = std::move(running_.at(&running));
    running_.erase(&running);
    if (running.has_started) busy_.erase(running.slot);
    conclude(running, std::move(result));
    submit_more();
  }

 private:
  [[nodiscard]] std::uint32_t slots() const {
    return request_.slots > 0 ? request_.slots : std::max(1u, std::thread::hardware_concurrency());
  }
  [[nodiscard]] std::chrono::microseconds since_began() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
  }
  [[nodiscard]] bool interrupted() const { return engine_ && engine_->cancelled_by_signal() != 0; }
  template <class Call>
  void tell(Call call) {
    for (Sink* sink : options_.sinks) call(*sink);
  }
  void tell_note(std::string_view note) {
    tell([&](Sink& sink) { sink.note(note); });
  }
  void tell_progress(std::string_view line, bool finished) {
    tell([&](Sink& sink) { sink.progress(line, finished); });
  }

  // Pulls tell of themselves in threads of their own too; sinks are called by one.
  void tell_pull(const PullProgress& progress) {
    // What is there already takes no time.
    if (progress.phase == PullProgress::Phase::resolving || progress.phase == PullProgress::Phase::done) return;
    const std::lock_guard held(pulling_);
    tell_progress(progress_line(progress, kProgressColumns, false), false);
  }

  static int status_of(const Error& error) {
    const bool users = error.code == ErrorCode::invalid_input || error.code == ErrorCode::not_found;
    return users ? 2 : 3;
  }

  int finish(int status, std::string problem = "") {
    end_.took = since_began();
    end_.problem = std::move(problem);
    end_.exit_status = status;
    tell([&](Sink& sink) {
      if (const std::string trouble = sink.run_finished(end_); !trouble.empty()) {
        troubles_.push_back(trouble);
      }
    });
    for (const std::string& trouble : troubles_) tell_note(trouble);
    return troubles_.empty() || status != 0 ? status : 3;
  }

  int finish_interrupted() {
    const char* name = ::sigabbrev_np(engine_->cancelled_by_signal());
    end_.stopped_because = fmt::format("interrupted (SIG{})", name ? name : "?");
    end_.at_once = engine_->cancelled_at_once();
    return finish(128 + engine_->cancelled_by_signal());
  }

  // ---- Before tests

  Result<void> prepare() {
    if (!options_.furnish) {
      TRY_ASSIGN(directives_, Directives::around(request_));
    }
    directives_.override_with(request_);
    for (const std::string& note : directives_.notes()) tell_note(note);
    TRY_ASSIGN(choice_, TestChoice::parse(request_));
    TRY_ASSIGN(engine_, Engine::create({.slots = slots()}));
    TRY(engine_->cancel_on_signals());
    listen_for_questions();
    engine_->every(kTick, [this] { tell([&](Sink& sink) { sink.tick(since_began()); }); });
    TRY_ASSIGN(collecting_in_, executor(directives_.of_all()));
    return {};
  }

  // SIGUSR1, or a key on the terminal that we are in the foreground of, asks what runs now.
  void listen_for_questions() {
    sigset_t question;
    ::sigemptyset(&question);
    ::sigaddset(&question, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &question, nullptr);
    if (auto opened = open_signals(question)) questions_ = std::move(*opened);
    const auto answer = [this](int fd) {
      char asked[4096];
      if (::read(fd, asked, sizeof asked) <= 0) return engine_->unwatch(fd);
      tell([](Sink& sink) { sink.show_running(); });
    };
    if (questions_) (void)engine_->watch(questions_.get(), [this, answer] { answer(questions_.get()); });
    if (keys_) (void)engine_->watch(keys_.fd(), [this, answer] { answer(keys_.fd()); });
  }

  // The number of a container's warm executor, made when the first test needs it: that of the first container which can have the same.
  Result<std::size_t> executor(std::size_t index) {
    for (const auto& [other, furnishing] : furnished_) {
      if (can_share_parents(directives_.container(other), directives_.container(index))) return other;
    }
    const FurnishingContext context{.request = request_,
                                    .active = active_python_,
                                    .directory = directives_.directory().empty() ? request_.directory : directives_.directory(),
                                    .run = run_jobs_on(*engine_),
                                    .tell = [this](const PullProgress& progress) { tell_pull(progress); },
                                    .progress = [this](std::string_view line) { tell_progress(line, false); }};
    auto furnished = options_.furnish ? options_.furnish() : furnish(directives_.container(index), context);
    TRY_ASSIGN(Furnishing made, std::move(furnished));
    for (const std::string& note : made.notes) tell_note(note);
    made.request.cells_ahead = slots() + 1;
    if (made.elsewhere) made.elsewhere->progress = [this](std::string_view line) { tell_progress(line, false); };
    TRY(engine_->add_executor(executor_name(index), [&](Reactor& reactor) -> Result<std::unique_ptr<Executor>> {
      auto executor = made.elsewhere ? alone(reactor, made) : make_warm_executor(reactor, made.request);
      if (executor) warm_[index] = executor->get();
      return executor;
    }));
    if (made.packages)
      TRY(install_packages(*engine_, executor_name(index), made, [this](std::string_view line) { tell_progress(line, false); }));
    furnished_.emplace(index, std::move(made));
    return index;
  }

  // In containers of another executor.
  Result<std::unique_ptr<WarmExecutor>> alone(Reactor& reactor, const Furnishing& made) {
    if (!store_) {
      TRY_ASSIGN(store_, Store::open());
    }
    TRY_ASSIGN(std::unique_ptr<StoreTemp> directory, store_->make_temp());
    auto others = make_executor(reactor, *made.elsewhere);
    if (!others) return fail(ErrorCode::system, others.error().what);  // not the user's mistake
    shown_.push_back(std::move(directory));
    return make_alone_executor(std::move(*others), made.request, shown_.back()->path());
  }

  [[nodiscard]] bool elsewhere() const { return request_.executor != "native"; }

  static std::string executor_name(std::size_t executor) { return fmt::format("warm {}", executor); }

  // nullopt: go on; else the run has ended, with this status.
  std::optional<int> collect() {
    Job job;
    job.name = "collect";
    job.argv = {"collect"};
    job.executor = executor_name(collecting_in_);
    auto ended = engine_->run(std::move(job), &collector_);
    if (!ended) return finish(status_of(ended.error()), ended.error().what);
    if (interrupted()) return finish_interrupted();
    for (const std::string& note : collector_.about ? collector_.about->notes : warm_[collecting_in_]->notes()) tell_note(note);
    if (!collector_.done) {
      const Furnishing& furnished = furnished_.at(collecting_in_);
      const std::string missing = what_is_missing(furnished, directives_.container(collecting_in_), request_.directory, *ended);
      if (!missing.empty()) return finish(2, missing);
      return finish(collecting_status(*ended), collecting_problem(*ended));
    }
    // A test may be missing in it, and nobody would miss it.
    if (collector_.damaged)
      return finish(
          3, "the list of collected tests is damaged: what collection runs (a conftest.py?) writes to descriptors that it has not opened");
    // pytest itself gave up: a path that is not there, an expression that makes no sense, pytest.exit().
    const int status = collector_.done->status;
    if (status != 0 && status != 5 && collector_.tests.empty() && collector_.problems.empty()) {
      ended->outcome = {Outcome::Kind::exited, status};
      ended->output.err = collector_.done->text;
      return finish(collecting_status(*ended), collecting_problem(*ended));
    }
    std::stable_sort(collector_.problems.begin(), collector_.problems.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    return std::nullopt;
  }

  Result<void> select() {
    Collected collected;
    collected.deselected = collector_.done->deselected;
    collected.python = collector_.about ? collector_.about->python : warm_[collecting_in_]->python();
    collected.pytest = collector_.about ? collector_.about->pytest : warm_[collecting_in_]->pytest();
    const std::size_t all = collector_.tests.size();
    selected_ = select_tests(std::exchange(collector_.tests, {}), choice_, directives_);
    collected.deselected += all - selected_.size();
    files_ = collector_.hashes.size();
    if (options_.history) {
      const auto done = look_back(selected_, *options_.history, directives_, request_, !options_.list);
      if (!done) tell_note(done.error().what);
    }
    take_shard(selected_, request_);
    if (!options_.list) {
      TRY(find_executors());
      TiedFiles tied = find_tied(selected_, collector_);
      for (const std::string& note : tied.notes) tell_note(note);
      tied_ = std::move(tied.files);
    }
    collected.selected = selected_.size();
    collected.ignored =
        static_cast<std::size_t>(std::count_if(selected_.begin(), selected_.end(), [](const SelectedTest& one) { return one.ignored; }));
    for (StreamProblem& problem : collector_.problems)
      (problem.report.outcome == "skipped" ? skipped_files_ : collected.problems).push_back(result_of(problem));
    problems_ = collected.problems.size();
    collected.took = since_began();
    tell([&](Sink& sink) { sink.collected(collected); });
    return {};
  }

  Result<void> find_executors() {
    std::map<std::size_t, std::size_t> known;  // by container
    for (SelectedTest& selected : selected_) {
      if (selected.ignored) continue;
      if (!known.contains(selected.container)) {
        TRY_ASSIGN(known[selected.container], executor(selected.container));
      }
      selected.executor = known[selected.container];
      const auto hash = collector_.hashes.find(selected.test.file);
      // Another container's interpreter has another idea of a hash.
      if (hash != collector_.hashes.end() && selected.executor == collecting_in_) selected.hash = hash->second;
    }
    return {};
  }

  // ---- Tests

  int run_all() {
    queue_ = make_units(selected_);
    left_ = 0;
    for (Unit& unit : queue_) {
      left_ += unit.tests.size();
      unit.cold |= elsewhere() || tied_.contains(selected_[unit.tests.front()].test.file);
    }
    for (const SelectedTest& selected : selected_) {
      if (selected.ignored) tell_ignored(selected);
    }
    for (const TestResult& skipped : skipped_files_) {
      ++end_.counts[static_cast<std::size_t>(Verdict::skipped)];
      tell([&](Sink& sink) { sink.test_finished(skipped); });
    }
    if (selected_.empty() && problems_ == 0 && skipped_files_.empty()) return finish(4, "no tests");
    end_.counts[static_cast<std::size_t>(Verdict::error)] += problems_;
    bad_ = problems_;
    stop_if_enough();
    submit_more();
    if (auto ran = engine_->run_until_idle(); !ran) return finish(3, ran.error().what);
    end_.not_run = left_;
    if (interrupted()) return finish_interrupted();
    if (unable_) return finish(3, *unable_);
    const bool covered = report_coverage();
    return finish(bad_ > 0 || !end_.stopped_because.empty() || !covered ? 1 : 0);
  }

  // False: less than pytest-cov was told to ask for.
  bool report_coverage() {
    if (!collector_.coverage.any()) return true;
    CoverageReport report = collector_.coverage.report(*engine_, executor_name(collecting_in_), request_.directory, bad_);
    for (const std::string& note : report.notes) tell_note(note);
    end_.coverage = std::move(report.text);
    return !report.failed;
  }

  void tell_ignored(const SelectedTest& selected) {
    TestResult result;
    result.test = selected.test;
    result.verdict = Verdict::ignored;
    result.outcome = {Outcome::Kind::exited, 0};
    tell_result(std::move(result), selected);
  }

  void submit_more() {
    while (!stopped() && !queue_.empty() && running_.size() < slots() + kAhead) {
      Unit unit = std::move(queue_.front());
      queue_.pop_front();
      unit.alike = 1;  // what was behind it may have gone when it comes back
      submit(std::move(unit));
    }
    prepare_files();
  }

  [[nodiscard]] bool stopped() const { return !end_.stopped_because.empty() || interrupted(); }

  void submit(Unit unit) {
    auto running = std::make_unique<RunningUnit>();
    running->session = this;
    const SelectedTest& first = selected_[unit.tests.front()];
    Job job;
    job.name = first.test.id;
    job.executor = executor_name(first.executor);
    unit.whole |= !unit.alone && whole_.contains(first.test.file);
    job.argv = {unit.cold ? "cold" : "test", unit.cold ? first.test.file : unit.whole ? "" : first.parent, first.hash};
    for (const std::size_t test : unit.tests) {
      job.argv.push_back(selected_[test].test.id);
      running->told.expect(selected_[test].test.id);
    }
    job.capture_bytes = std::max<std::uint64_t>(request_.inline_limit, 1 << 20);
    for (const std::size_t test : unit.tests) {
      if (selected_[test].timeout) job.limits.wall = job.limits.wall.value_or(std::chrono::milliseconds(0)) + *selected_[test].timeout;
    }
    running->unit = std::move(unit);
    RunningUnit* raw = running.get();
    running_[raw] = std::move(running);
    (void)engine_->submit(std::move(job), *raw);
  }

  // The files that come next get their parents while tests of this one still run.
  void prepare_files() {
    std::size_t ahead = 0;
    const std::string* last = nullptr;
    for (std::size_t i = 0; i < std::min(queue_.size(), kLookAhead) && ahead < kFilesAhead; i += queue_[i].alike) {
      const SelectedTest& next = selected_[queue_[i].tests.front()];
      if (last && *last == next.parent) continue;
      last = &next.parent;
      ++ahead;
      if (whole_.contains(next.test.file) || queue_[i].cold) continue;
      warm_[next.executor]->prepare(next.parent, next.hash);
    }
  }

  void conclude(RunningUnit& running, JobResult result) {
    Unit& unit = running.unit;
    if (!running.has_started && stopped()) return;  // not run, and counted so
    if (elsewhere() && !unable_ && !stopped()) note_whether_unable(result.outcome);
    const bool lost = result.outcome.kind == Outcome::Kind::lost && result.outcome.step == "warm parent";
    if (lost && unit.lost < kMostLost && !stopped()) {
      tell_note(fmt::format("a warm parent died ({}): {} run again", printable_name(result.outcome.detail),
                            unit.tests.size() == 1 ? "its test is" : fmt::format("its {} tests are", unit.tests.size())));
      ++unit.lost;
      queue_.push_front(std::move(unit));
      return;
    }
    if (result.outcome.kind == Outcome::Kind::lost && result.outcome.step == "threads" && !stopped()) return run_cold(unit, result.outcome);
    // What fell back in one cell does so in all.
    for (const std::string& note : std::exchange(result.notes, {})) {
      if (told_notes_.insert(note).second) tell_note(note);
    }
    std::vector<TestCase> tests;
    for (const std::size_t test : unit.tests) tests.push_back(selected_[test].test);
    for (const std::string& line : running.told.coverage()) collector_.coverage.add(line);
    UnitReport::Judged judged = running.told.judge(tests, std::move(result));
    // First, for a test that is tried again would not be heard of any more.
    if (!judged.stop.empty() && end_.stopped_because.empty()) stop("a test stopped the session: " + std::string(first_line(judged.stop)));
    for (std::size_t i = 0; i < judged.results.size(); ++i) one_result(running, unit.tests[i], std::move(judged.results[i]));
    if (!judged.not_begun.empty() && !stopped()) run_rest(unit, judged.not_begun.size());
  }

  // No daemon, or none that makes containers: so will the next test find.
  void note_whether_unable(const Outcome& outcome) {
    const bool daemon = outcome.kind == Outcome::Kind::lost && outcome.step == kExecutorGone;
    const bool set_up = outcome.kind == Outcome::Kind::setup_failed && !outcome.step.starts_with("execve");
    if (!daemon && !set_up) return;
    unable_ = outcome.detail.empty() ? words(outcome) : outcome.detail;
    stop(*unable_);
  }

  // A fork would not have the threads that run, and more (python/ties.py): its tests get fresh interpreters, and so do all of their file.
  void run_cold(Unit& unit, const Outcome& outcome) {
    const std::string& file = selected_[unit.tests.front()].test.file;
    if (unit.whole) {  // another file's thread
      unit.cold = true;
      queue_.push_front(std::move(unit));
      return;
    }
    if (tied_.insert(file).second) tell_note(tied_note({file}, outcome.detail));
    for (Unit& other : queue_) other.cold |= selected_[other.tests.front()].test.file == file;
    unit.cold = true;
    queue_.push_front(std::move(unit));
  }

  // The fork ended in the middle of a unit: what had not begun gets another one.
  void run_rest(const Unit& unit, std::size_t count) {
    Unit rest{.attempt = unit.attempt, .cold = unit.cold, .whole = unit.whole};
    rest.tests.assign(unit.tests.end() - static_cast<std::ptrdiff_t>(count), unit.tests.end());
    queue_.push_front(std::move(rest));
  }

  // See second_try.h.
  bool is_tried_again(const Unit& unit, std::size_t index, TestResult& result) {
    const bool told = result.outcome.succeeded() && (result.verdict == Verdict::failed || result.verdict == Verdict::error);
    const bool in_doubt = told && !unit.cold && !unit.whole && files_ > 1 && !stopped();
    if (!in_doubt && !second_tries_.await(index)) return false;
    const SecondTries::Next next = second_tries_.after(index, result);
    const std::string& file = selected_[index].test.file;
    if (second_tries_.needs_others() && whole_.insert(file).second)
      tell_note(fmt::format("{}: tests need what other files import; they are run after all files were collected", printable_name(file)));
    if (next == SecondTries::Next::report) return false;
    const bool whole = next == SecondTries::Next::try_whole;
    queue_.push_front({.tests = {index}, .attempt = unit.attempt, .whole = whole, .alone = !whole});
    return true;
  }

  void one_result(const RunningUnit& running, std::size_t index, TestResult result) {
    const SelectedTest& selected = selected_[index];
    result.slot = running.slot;
    result.began = running.began;
    result.attempt = running.unit.attempt;
    result.cold = running.unit.cold;
    if (is_tried_again(running.unit, index, result)) return;
    const bool again = is_bad(result.verdict) && running.unit.attempt <= selected.retries && !stopped();
    result.last = !again;
    result.flaky = result.verdict == Verdict::passed && running.unit.attempt > 1;
    if (again)
      queue_.push_front({.tests = {index}, .attempt = running.unit.attempt + 1, .cold = running.unit.cold, .whole = running.unit.whole});
    tell_result(std::move(result), selected);
  }

  void tell_result(TestResult result, const SelectedTest& selected) {
    result.container = directives_.container(selected.container).name();
    if (result.last) {
      ++end_.counts[static_cast<std::size_t>(result.verdict)];
      if (result.flaky) ++end_.flaky;
      if (is_bad(result.verdict)) ++bad_;
      if (result.verdict != Verdict::ignored) --left_;
    }
    tell([&](Sink& sink) { sink.test_finished(result); });
    stop_if_enough();
  }

  void stop_if_enough() {
    const std::size_t all = bad_before_ + bad_;
    if (!request_.stop_after || all < *request_.stop_after || !end_.stopped_because.empty()) return;
    stop(fmt::format("stopping after {} failure{}", all, all == 1 ? "" : "s"));
  }

  void stop(std::string why) {
    end_.stopped_because = std::move(why);
    queue_.clear();
    engine_->cancel_queued();
  }

  const PytestRequest& request_;
  const SessionOptions& options_;
  Clock::time_point began_ = Clock::now();
  Directives directives_;
  TestChoice choice_;
  std::map<std::size_t, Furnishing> furnished_;  // by container, those that have an executor
  std::optional<ActivePython> active_python_;
  std::map<std::size_t, WarmExecutor*> warm_;
  std::optional<Store> store_;                     // with an executor that is not ours
  std::vector<std::unique_ptr<StoreTemp>> shown_;  // to its containers
  std::optional<std::string> unable_;              // why it makes no more
  std::size_t collecting_in_ = 0;
  Collector collector_;
  std::vector<SelectedTest> selected_;
  std::set<std::string> tied_;   // files whose tests get fresh interpreters, for what they leave when they are collected
  std::set<std::string> whole_;  // files whose tests need all others collected
  std::size_t files_ = 0;        // that were collected
  SecondTries second_tries_;
  std::set<std::string> told_notes_;
  std::vector<TestResult> skipped_files_;  // whole files that said so when they were collected
  std::size_t problems_ = 0;
  std::deque<Unit> queue_;
  std::size_t left_ = 0;
  std::size_t bad_ = 0;           // of this repetition
  std::size_t bad_before_ = 0;    // of earlier ones
  std::set<std::uint32_t> busy_;  // slots
  std::mutex pulling_;
  UniqueFd questions_;
  Keys keys_;
  RunEnd end_;
  std::vector<std::string> troubles_;
  std::map<RunningUnit*, std::unique_ptr<RunningUnit>> running_;
  std::unique_ptr<Engine> engine_;  // last: its end calls none of the above
};

void RunningUnit::started() { session->unit_started(*this); }
void RunningUnit::finished(JobResult result) { session->unit_finished(*this, std::move(result)); }

}  // namespace

int run_tests(const PytestRequest& request, const SessionOptions& options) { return Session(request, options).go(); }

}  // namespace casemate
