#include "session/session.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "casemate/engine.h"
#include "report/test_words.h"
#include "session/executors.h"
#include "session/group.h"
#include "session/group_runs.h"
#include "session/keys.h"
#include "session/queue.h"
#include "session/second_try.h"
#include "session/session_sinks.h"
#include "session/suite.h"
#include "session/verdict.h"
#include "sys/signals.h"
#include "warm/executor.h"

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kAhead = 2;         // units that wait in the engine's queue, so that it can make their cells
constexpr std::size_t kFilesAhead = 2;    // files whose parents may begin before their tests do
constexpr std::size_t kLookAhead = 3000;  // units that may lie before theirs
constexpr std::uint32_t kMostLost = 1;    // how often a unit whose parent died is run again
constexpr auto kTick = std::chrono::milliseconds(100);

class Session;

/// A unit that runs by itself.
struct SingleUnit : JobListener, RunningUnit {
  Session* session = nullptr;

  void started() override;
  void report(std::string_view bytes) override { told.add(bytes); }
  void finished(JobResult result) override;
};

class Session : public GroupSession {
 public:
  Session(const PytestRequest& request, const SessionOptions& options)
      : request_(request), options_(options), sinks_(options.sinks), suite_(request, options, sinks_) {}

  int go() {
    RunStart start{.front_end = "pytest",
                   .name = request_.directory.substr(request_.directory.rfind('/') + 1),
                   .directory = request_.directory,
                   .arguments = options_.typed,
                   .began = std::chrono::system_clock::now(),
                   .slots = static_cast<std::uint32_t>(suite_.slots().cells + suite_.slots().groups),
                   .repetition = 1,
                   .repetitions = request_.repeat};
    sinks_.tell([&](Sink& sink) { sink.run_started(start); });
    for (const std::string& note : request_.notes) sinks_.note(note);
    for (Sink* sink : options_.sinks) {
      if (const std::string problem = sink->problem(); !problem.empty()) return finish(3, problem);
    }
    if (auto done = prepare(); !done) return finish(early_end(done.error()));
    if (interrupted()) return finish_interrupted();
    if (options_.why) return suite_.cache()->tell(options_.why) ? 0 : 2;
    const auto ended = suite_.collect();
    if (suite_.unable()) stop(*suite_.unable());
    if (ended) return finish(*ended);
    if (interrupted()) return finish_interrupted();
    Collected collected;
    if (auto done = suite_.select(collected); !done) return finish(early_end(done.error()));
    collected.took = since_began();
    sinks_.tell([&](Sink& sink) { sink.collected(collected); });
    if (options_.list) {
      for (const SelectedTest& selected : selected()) options_.list(selected.test);
      return suite_.problems() > 0 ? 1 : selected().empty() ? 4 : 0;
    }
    tied_ = suite_.tied();
    int worst = 0;
    for (std::uint32_t repetition = 1; repetition <= request_.repeat; ++repetition) {
      if (repetition > 1) {
        end_ = RunEnd{};
        bad_before_ += bad_ - suite_.problems();
        start.repetition = repetition;
        began_ = Clock::now();
        start.began = std::chrono::system_clock::now();
        sinks_.tell([&](Sink& sink) { sink.run_started(start); });
      }
      if (const int status = run_all(); status != 0) worst = status;
      if (interrupted() || !end_.stopped_because.empty()) break;
    }
    return worst;
  }

  // ---- Called by SingleUnit

  void unit_started(SingleUnit& running) {
    running.slot = take_slot(0);
    // Not one that falls back on this machine.
    running.apart = slots_of(request_).cells > 0;
    unit_began(running);
  }

  void unit_began(RunningUnit& running) override {
    running.has_started = true;
    running.began = since_began();
    const TestStart start{&selected()[running.unit.tests.front()].test, running.slot, running.unit.attempt, running.began};
    sinks_.tell([&](Sink& sink) { sink.test_started(start); });
  }

  void unit_finished(SingleUnit& running, JobResult result) {
    const std::unique_ptr<SingleUnit> owner = std::move(running_.at(&running));
    running_.erase(&running);
    if (running.has_started) busy_.erase(running.slot);
    conclude(running, std::move(result));
    submit_more();
  }

 private:
  // ---- What groups ask and tell

  [[nodiscard]] const std::vector<SelectedTest>& selected() const override { return suite_.selected(); }
  [[nodiscard]] const std::string& rewritten() const override { return suite_.rewritten(); }
  [[nodiscard]] const Executors& executors() const override { return suite_.executors(); }
  std::uint32_t take_group_slot() override { return take_slot(static_cast<std::uint32_t>(suite_.slots().cells)); }
  void make_whole(const std::string& file) override {
    if (suite_.has_file(file)) whole_.insert(file);
  }
  void run_again(Unit unit) override { queue_.push_back(std::move(unit)); }
  void note_once(const std::string& line) override { sinks_.note_once(line); }
  void group_over(std::optional<std::uint32_t> slot) override {
    if (slot) busy_.erase(*slot);
    submit_more();
  }

  // The lowest one that is free, of those from `first` on.
  std::uint32_t take_slot(std::uint32_t first) {
    while (busy_.contains(first)) ++first;
    busy_.insert(first);
    return first;
  }
  [[nodiscard]] std::chrono::microseconds since_began() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
  }
  [[nodiscard]] bool interrupted() const { return engine_ && engine_->cancelled_by_signal() != 0; }

  int finish(int status, std::string problem = "") {
    end_.took = since_began();
    end_.problem = std::move(problem);
    end_.exit_status = status;
    sinks_.tell([&](Sink& sink) {
      if (const std::string trouble = sink.run_finished(end_); !trouble.empty()) {
        troubles_.push_back(trouble);
      }
    });
    for (const std::string& trouble : troubles_) sinks_.note(trouble);
    return troubles_.empty() || status != 0 ? status : 3;
  }

  int finish(const EarlyEnd& end) { return finish(end.status, end.problem); }

  int finish_interrupted() {
    const char* name = ::sigabbrev_np(engine_->cancelled_by_signal());
    end_.stopped_because = fmt::format("interrupted (SIG{})", name ? name : "?");
    end_.at_once = engine_->cancelled_at_once();
    return finish(128 + engine_->cancelled_by_signal());
  }

  // ---- Before tests

  Result<void> prepare() {
    TRY(suite_.read());
    TRY_ASSIGN(engine_, Engine::create({.slots = suite_.slots().cells > 0 ? suite_.slots().cells : slots_here(request_)}));
    TRY(engine_->cancel_on_signals());
    listen_for_questions();
    engine_->every(kTick, [this] {
      sinks_.tell([&](Sink& sink) { sink.tick(since_began()); });
      if (groups_) groups_->look(queue_.empty() && !groups_->has_broken() && running_.size() < suite_.slots().cells);
    });
    groups_.emplace(*this, *engine_, std::max<std::uint64_t>(request_.inline_limit, 1 << 20));
    return suite_.open(*engine_);
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
      sinks_.tell([](Sink& sink) { sink.show_running(); });
    };
    if (questions_) (void)engine_->watch(questions_.get(), [this, answer] { answer(questions_.get()); });
    if (keys_) (void)engine_->watch(keys_.fd(), [this, answer] { answer(keys_.fd()); });
  }

  // ---- Tests

  int run_all() {
    queue_ = make_units(selected());
    left_ = 0;
    for (Unit& unit : queue_) {
      left_ += unit.tests.size();
      unit.cold |= suite_.is_all_cold() || tied_.contains(selected()[unit.tests.front()].test.file);
    }
    for (const SelectedTest& selected : selected()) {
      if (selected.needs_others && suite_.files() > 1 && whole_.insert(selected.test.file).second) note_whole(selected.test.file);
      if (selected.ignored) tell_ignored(selected);
    }
    for (const TestResult& skipped : suite_.skipped_files()) {
      ++end_.counts[static_cast<std::size_t>(Verdict::skipped)];
      sinks_.tell([&](Sink& sink) { sink.test_finished(skipped); });
    }
    tell_cached();
    if (selected().empty() && suite_.problems() == 0 && suite_.skipped_files().empty()) return finish(4, "no tests");
    end_.counts[static_cast<std::size_t>(Verdict::error)] += suite_.problems();
    bad_ = suite_.problems();
    stop_if_enough();
    group_time_ = group_time(queue_, selected(), suite_.slots().groups + suite_.slots().cells,
                             group_bounds(suite_.collecting_took(), request_.group_time));
    submit_more();
    if (auto ran = engine_->run_until_idle(); !ran) return finish(3, ran.error().what);
    if (suite_.cache()) suite_.cache()->save();
    end_.not_run = left_;
    if (interrupted()) return finish_interrupted();
    if (suite_.unable()) return finish(3, *suite_.unable());
    const bool covered = report_coverage();
    return finish(bad_ > 0 || !end_.stopped_because.empty() || !covered ? 1 : 0);
  }

  // False: less than pytest-cov was told to ask for.
  bool report_coverage() {
    if (!suite_.coverage().any()) return true;
    CoverageReport report = suite_.coverage().report(*engine_, suite_.name_of_collecting(), request_.directory, bad_);
    for (const std::string& note : report.notes) sinks_.note(note);
    end_.coverage = std::move(report.text);
    return !report.failed;
  }

  // What passed before need not run.
  void tell_cached() {
    if (!suite_.cache()) return;
    std::vector<std::pair<std::size_t, const KeptPass*>> passes;
    std::erase_if(queue_, [&](const Unit& unit) {
      const KeptPass* pass = suite_.cache()->find(selected()[unit.tests.front()], unit.tests.size() == 1);
      if (pass) passes.emplace_back(unit.tests.front(), pass);
      return pass != nullptr;
    });
    count_alike(queue_, selected());
    for (const auto& [test, pass] : passes) {
      TestResult result = cached_result(selected()[test].test, *pass);
      result.began = since_began();
      suite_.cache()->take(selected()[test], result);
      tell_result(std::move(result), selected()[test]);
    }
  }

  void tell_ignored(const SelectedTest& selected) {
    TestResult result;
    result.test = selected.test;
    result.verdict = Verdict::ignored;
    result.outcome = {Outcome::Kind::exited, 0};
    tell_result(std::move(result), selected);
  }

  void submit_more() {
    const bool only_cells = suite_.slots().groups == 0;
    while (!stopped() && suite_.slots().cells > 0 && running_.size() < suite_.slots().cells + (only_cells ? kAhead : 0)) {
      auto unit = take_unit(only_cells);
      if (!unit) break;
      submit(std::move(*unit));
    }
    while (!stopped() && groups_->running() < suite_.slots().groups) {
      std::vector<Unit> group = groups_->take_broken();
      if (group.empty()) group = take_group(queue_, selected(), group_time_);
      if (group.empty()) break;
      for (Unit& unit : group) become_whole(unit);
      groups_->submit(std::move(group));
    }
    if (only_cells) prepare_files();
  }

  // For a cell. Where others run groups, which begin with what takes long: the last, for the shortest are there.
  std::optional<Unit> take_unit(bool first) {
    if (queue_.empty()) return std::nullopt;
    const auto here = std::find_if(queue_.begin(), queue_.end(), [](const Unit& unit) { return unit.here; });
    const auto at = first ? queue_.begin() : here != queue_.end() ? here : std::prev(queue_.end());
    Unit unit = std::move(*at);
    queue_.erase(at);
    become_whole(unit);
    return unit;
  }

  void become_whole(Unit& unit) const {
    unit.alike = 1;  // what was behind it may have gone when it comes back
    unit.whole |= !unit.alone && whole_.contains(selected()[unit.tests.front()].test.file);
  }

  [[nodiscard]] bool stopped() const override { return !end_.stopped_because.empty() || interrupted(); }

  void submit(Unit unit) {
    auto running = std::make_unique<SingleUnit>();
    running->session = this;
    const SelectedTest& first = selected()[unit.tests.front()];
    Job job;
    job.name = first.test.id;
    job.executor = Executors::name_of_cells(first.executor);
    job.argv = {unit.cold ? "cold" : "test", unit.cold ? first.test.file : unit.whole ? "" : first.parent, first.hash};
    for (const std::size_t test : unit.tests) {
      job.argv.push_back(selected()[test].test.id);
      running->told.expect(selected()[test].test.id);
    }
    job.capture_bytes = std::max<std::uint64_t>(request_.inline_limit, 1 << 20);
    job.limits.wall = wall_of(unit, selected());
    running->unit = std::move(unit);
    SingleUnit* raw = running.get();
    running_[raw] = std::move(running);
    (void)engine_->submit(std::move(job), *raw);
  }

  // The files that come next get their parents while tests of this one still run.
  void prepare_files() {
    std::size_t ahead = 0;
    const std::string* last = nullptr;
    for (std::size_t i = 0; i < std::min(queue_.size(), kLookAhead) && ahead < kFilesAhead; i += queue_[i].alike) {
      const SelectedTest& next = selected()[queue_[i].tests.front()];
      if (last && *last == next.parent) continue;
      last = &next.parent;
      ++ahead;
      if (whole_.contains(next.test.file) || queue_[i].cold) continue;
      suite_.executors().cells(next.executor)->prepare(next.parent, next.hash);
    }
  }

  void conclude(RunningUnit& running, JobResult result) override {
    Unit& unit = running.unit;
    if (!running.has_started && stopped()) return;  // not run, and counted so
    if (suite_.is_all_cold() && !suite_.unable() && !stopped()) note_whether_unable(result.outcome);
    const bool lost = result.outcome.kind == Outcome::Kind::lost && result.outcome.step == "warm parent";
    if (lost && unit.lost < kMostLost && !stopped()) {
      sinks_.note(fmt::format("a warm parent died ({}): {} run again", printable_name(result.outcome.detail),
                              unit.tests.size() == 1 ? "its test is" : fmt::format("its {} tests are", unit.tests.size())));
      ++unit.lost;
      queue_.push_front(std::move(unit));
      return;
    }
    if (result.outcome.kind == Outcome::Kind::lost && result.outcome.step == "threads" && !stopped()) return run_cold(unit, result.outcome);
    // What fell back in one cell does so in all.
    for (const std::string& note : std::exchange(result.notes, {})) note_once(note);
    std::vector<TestCase> tests;
    for (const std::size_t test : unit.tests) tests.push_back(selected()[test].test);
    for (const std::string& line : running.told.coverage()) suite_.coverage().add(line);
    UnitReport::Judged judged = running.told.judge(tests, std::move(result));
    // First, for a test that is tried again would not be heard of any more.
    if (!judged.stop.empty() && end_.stopped_because.empty()) stop("a test stopped the session: " + std::string(first_line(judged.stop)));
    for (std::size_t i = 0; i < judged.results.size(); ++i) one_result(running, unit.tests[i], std::move(judged.results[i]));
    if (!judged.not_begun.empty() && !stopped()) run_rest(unit, judged.not_begun.size());
  }

  bool note_whether_unable(const Outcome& outcome) override {
    const bool unable = suite_.note_whether_unable(outcome);
    if (suite_.unable()) {
      stop(*suite_.unable());
    } else if (unable) {
      while (groups_->has_broken()) std::ranges::move(groups_->take_broken(), std::back_inserter(queue_));
    }
    return unable;
  }

  // A fork would not have the threads that run, and more (python/ties.py): its tests get fresh interpreters, and so do all of their file.
  void run_cold(Unit& unit, const Outcome& outcome) {
    const std::string& file = selected()[unit.tests.front()].test.file;
    if (unit.whole) {  // another file's thread
      unit.cold = true;
      queue_.push_front(std::move(unit));
      return;
    }
    make_cold(file, outcome.detail);
    unit.cold = true;
    queue_.push_front(std::move(unit));
  }

  void make_cold(const std::string& file, const std::string& left) override {
    if (tied_.insert(file).second) sinks_.note(tied_note({file}, left));
    for (Unit& other : queue_) other.cold |= selected()[other.tests.front()].test.file == file;
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
    const bool in_doubt = told && !unit.cold && !unit.whole && suite_.files() > 1 && !stopped();
    if (!in_doubt && !second_tries_.await(index)) return false;
    const SecondTries::Next next = second_tries_.after(index, unit.whole, result, suite_.slots().groups > 0);
    const std::string& file = selected()[index].test.file;
    if (second_tries_.needs_others() && whole_.insert(file).second) note_whole(file);
    for (std::size_t i = 0; i < next.alone; ++i) queue_.push_front({.tests = {index}, .attempt = unit.attempt, .alone = true});
    for (std::size_t i = 0; i < next.whole; ++i) queue_.push_front({.tests = {index}, .attempt = unit.attempt, .whole = true});
    return !next.report;
  }

  void note_whole(const std::string& file) {
    sinks_.note(fmt::format("{}: tests need what other files import; they are run after all files were collected", printable_name(file)));
  }

  void one_result(const RunningUnit& running, std::size_t index, TestResult result) {
    const SelectedTest& selected = suite_.selected()[index];
    result.slot = running.slot;
    result.began = running.began;
    result.attempt = running.unit.attempt;
    result.cold = running.unit.cold;
    const bool was_tried = second_tries_.await(index);
    if (is_tried_again(running.unit, index, result)) return;
    result.needs_others = whole_.contains(selected.test.file);
    const bool again = is_bad(result.verdict) && running.unit.attempt <= selected.retries && !stopped();
    result.last = !again;
    result.flaky = result.verdict == Verdict::passed && running.unit.attempt > 1;
    if (suite_.cache() && !running.apart) {
      note_once("--cache: of tests that shared a worker without namespaces, or fell back on this machine, nothing is kept");
    } else if (suite_.cache() && !running.unit.whole && running.unit.lost == 0 && !was_tried) {
      suite_.cache()->take(selected, result);
    }
    if (again)
      queue_.push_front({.tests = {index}, .attempt = running.unit.attempt + 1, .cold = running.unit.cold, .whole = running.unit.whole});
    tell_result(std::move(result), selected);
  }

  void tell_result(TestResult result, const SelectedTest& selected) {
    result.container = suite_.directives().container(selected.container).name();
    if (result.last) {
      ++end_.counts[static_cast<std::size_t>(result.verdict)];
      if (result.flaky) ++end_.flaky;
      if (result.cached) ++end_.cached;
      if (is_bad(result.verdict)) ++bad_;
      if (result.verdict != Verdict::ignored) --left_;
    }
    sinks_.tell([&](Sink& sink) { sink.test_finished(result); });
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
    groups_->forget_broken();
    engine_->cancel_queued();
  }

  const PytestRequest& request_;
  const SessionOptions& options_;
  Clock::time_point began_ = Clock::now();
  SessionSinks sinks_;
  Suite suite_;
  std::set<std::string> tied_;   // files whose tests get fresh interpreters, for what they leave when they are collected
  std::set<std::string> whole_;  // files whose tests need all others collected
  SecondTries second_tries_;
  std::deque<Unit> queue_;
  std::size_t left_ = 0;
  std::size_t bad_ = 0;           // of this repetition
  std::size_t bad_before_ = 0;    // of earlier ones
  std::set<std::uint32_t> busy_;  // slots
  UniqueFd questions_;
  Keys keys_;
  RunEnd end_;
  std::vector<std::string> troubles_;
  std::map<SingleUnit*, std::unique_ptr<SingleUnit>> running_;
  std::chrono::microseconds group_time_{0};
  std::optional<GroupRuns> groups_;
  std::unique_ptr<Engine> engine_;  // last: its end calls none of the above
};

void SingleUnit::started() { session->unit_started(*this); }
void SingleUnit::finished(JobResult result) { session->unit_finished(*this, std::move(result)); }

}  // namespace

int run_tests(const PytestRequest& request, const SessionOptions& options) { return Session(request, options).go(); }

}  // namespace casemate
