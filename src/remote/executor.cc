#include "remote/executor.h"

#include <map>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "engine/capture.h"
#include "engine/delivery.h"
#include "remote/mailbox.h"
#include "remote/operation_log.h"
#include "remote/remote_run.h"
#include "sys/process.h"
#include "sys/thread.h"
#include "witness/program.h"

namespace casemate {
namespace {

constexpr std::uint64_t kPiece = 64u << 10;
constexpr std::size_t kMostBacklog = 1u << 20;
constexpr auto kBacklogPause = std::chrono::milliseconds(5);
constexpr std::chrono::seconds kLook{1}, kFirstTold{2}, kFirstKept{5};  // at outages

// gRPC's threads take no signal that is meant for the engine's loop: they have the mask of the thread that made them.
Result<std::unique_ptr<RemoteEngine>> connect(const RemoteOptions& options) {
  Result<std::unique_ptr<RemoteEngine>> engine = fail(ErrorCode::internal, "nobody has connected");
  TRY_ASSIGN(std::jthread thread,
             start_thread([&](const std::stop_token& stop) { engine = RemoteEngine::connect(options.endpoint, options.policy, stop); }));
  thread.join();
  return engine;
}

// Operations have their names from there.
std::string engine_name(const RemoteEndpoint& endpoint) {
  return fmt::format("{}{}\n{}", endpoint.tls ? "tls " : "", endpoint.address, endpoint.instance);
}

// Tells of outages while jobs run, at a pace for people.
class OutageWatch {
 public:
  OutageWatch(const RemoteEngine& engine, std::function<void(std::string_view, bool)> tell) : engine_(engine), tell_(std::move(tell)) {}

  void look() {
    if (!tell_) return;
    const auto outage = engine_.outage();
    if (!outage || outage->tried < kFirstTold) return finish();
    const bool stays = outage->tried >= next_kept_;
    while (outage->tried >= next_kept_) next_kept_ *= 2;
    told_ = true;
    const auto seconds = [](std::chrono::milliseconds time) { return std::chrono::round<std::chrono::seconds>(time).count(); };
    // What matters first: a live line is cut to the screen's width.
    tell_(fmt::format("the remote engine does not answer: tried again for {} s, given up after {} s ({})", seconds(outage->tried),
                      seconds(outage->patience), printable_line(outage->reason)),
          stays);
  }
  void finish() {
    next_kept_ = kFirstKept;
    if (std::exchange(told_, false)) tell_("", false);
  }

 private:
  const RemoteEngine& engine_;
  std::function<void(std::string_view, bool)> tell_;
  std::chrono::milliseconds next_kept_ = kFirstKept;
  bool told_ = false;
};

class RemoteExecutor final : public Executor {
 public:
  RemoteExecutor(Reactor& reactor, std::unique_ptr<Mailbox> mailbox, std::unique_ptr<RemoteEngine> engine, Store store,
                 ActionSetting setting, const RemoteOptions& options)
      : reactor_(reactor),
        mailbox_(std::move(mailbox)),
        engine_(std::move(engine)),
        store_(std::move(store)),
        watch_(options.endpoint.address, post_to(options.sending)),
        trees_(store_.directory(), {}, [this](std::uint64_t bytes) { watch_.read(bytes); }),
        sent_(*engine_, watch_),
        ground_{.engine = *engine_,
                .sent = sent_,
                .watch = watch_,
                .trees = trees_,
                .store = store_,
                .store_mutex = store_mutex_,
                .setting = std::move(setting),
                .priority = options.priority,
                .deadline = options.deadline},
        outage_(*engine_, options.outage),
        operations_(OperationLog::directory(), engine_name(options.endpoint)) {}

  /// Ends at the engine what processes that were killed have left there, while others of its calls go on.
  Result<void> begin() {
    TRY_ASSIGN(sweeper_, start_thread([this](const std::stop_token& stop) {
                 operations_.end_left([&](const std::string& name) { return engine_->cancel(name, stop); });
               }));
    return {};
  }

  ~RemoteExecutor() override {
    for (auto& [key, run] : running_) run->thread.request_stop();
    for (auto& [key, run] : running_) {
      if (run->thread.joinable()) run->thread.join();
      if (run->timer) reactor_.cancel(*run->timer);
    }
    if (watching_) reactor_.cancel(*watching_);
  }
  RemoteExecutor(const RemoteExecutor&) = delete;
  RemoteExecutor& operator=(const RemoteExecutor&) = delete;

  Result<void> start(Job job, JobListener& listener, std::function<void(JobResult)> done) override {
    TRY(check_action_job(job, ground_.setting));
    auto run = std::make_unique<Run>(std::move(job), listener, std::move(done), *mailbox_, operations_);
    TRY_ASSIGN(run->destinations, open_destinations(run->job));
    Run* const raw = run.get();
    running_[raw] = std::move(run);
    raw->live = {};
    auto thread = start_thread([this, raw](const std::stop_token& stop) {
      raw->stop = stop;
      auto ending = std::make_shared<RemoteEnding>(work(*raw, stop));
      mailbox_->post([this, raw, ending] { ended(*raw, std::move(*ending)); }, 0, stop);
    });
    if (!thread) {
      running_.erase(raw);
      return std::unexpected(std::move(thread.error()));
    }
    raw->thread = std::move(*thread);
    if (!watching_) watch();
    return {};
  }

  /// An action can't be sent signals: it ends.
  void signal_all(int /*number*/) override { cancel_all(); }

  void cancel_all() override {
    for (auto& [key, run] : running_) run->thread.request_stop();
  }

  void cancel(const JobListener& listener) override {
    for (auto& [key, run] : running_) {
      if (run->listener == &listener) run->thread.request_stop();
    }
  }

  void expect(const Job& /*next*/) override {}

 private:
  // From its start to its last word. Hears the engine in its own thread.
  struct Run : ExecutionListener {
    Run(Job of, JobListener& to, std::function<void(JobResult)> then, Mailbox& box, OperationLog& log)
        : job(std::move(of)), listener(&to), done(std::move(then)), mailbox(box), operations(log), capture(job.capture_bytes) {}
    void named(const std::string& operation) override {
      operations.began(operation);
      names.push_back(operation);
    }
    void output(Stream stream, std::string_view bytes) override {
      mailbox.post([this, stream, text = std::string(bytes)] { pass_live(stream, text); }, bytes.size(), stop);
    }
    // In the loop.
    void pass_live(Stream stream, const std::string& text) {
      live[stream == Stream::out ? 0 : 1] += text.size();
      if (listener->wants(stream)) listener->output(stream, text);
    }

    Job job;
    JobListener* listener;
    std::function<void(JobResult)> done;
    Mailbox& mailbox;
    OperationLog& operations;
    std::vector<std::string> names;  // of its operations
    std::stop_token stop;
    std::vector<UniqueFd> destinations;
    std::array<std::uint64_t, 2> live{};  // bytes that the listener has had
    // At the end:
    RemoteEnding ending;
    Capture capture;
    std::array<std::uint64_t, 2> told{};  // bytes that went into the capture
    std::uint64_t reported = 0;
    std::size_t turn = 0;
    std::optional<Reactor::TimerId> timer;
    std::jthread thread;  // last: it uses the above
  };

  TellSending post_to(const TellSending& hears) {
    if (!hears) return {};
    return [this, hears](const SendingProgress& progress) { mailbox_->post([hears, progress] { hears(progress); }, 0, {}); };
  }

  RemoteEnding work(Run& run, const std::stop_token& stop) {
    try {
      RemoteEnding ending = run_remote_job(ground_, run.job, run.destinations, run, stop);
      for (const std::string& name : run.names) operations_.ended(name);
      return ending;
    } catch (const std::exception& problem) {  // no memory
      RemoteEnding ending;
      ending.result.outcome = {Outcome::Kind::lost, 0, "", problem.what()};
      return ending;
    }
  }

  // As long as jobs run.
  void watch() {
    watching_ = reactor_.schedule(Reactor::Clock::now() + kLook, [this] {
      watching_.reset();
      if (running_.empty()) return outage_.finish();
      outage_.look();
      watch();
    });
  }

  void ended(Run& run, RemoteEnding ending) {
    if (!engine_->outage()) outage_.finish();
    run.ending = std::move(ending);
    if (run.thread.joinable()) run.thread.join();
    deliver(run);
  }

  // The listener gets what it has not had yet, at the speed at which it reads.
  void deliver(Run& run) {
    run.timer.reset();
    while (next_piece(run)) {
      if (run.listener->backlog() <= kMostBacklog) continue;
      run.timer = reactor_.schedule(Reactor::Clock::now() + kBacklogPause, [this, &run] { deliver(run); });
      return;
    }
    for (std::string piece; !(piece = run.ending.reports.read(run.reported, kPiece)).empty(); run.reported += piece.size())
      run.listener->report(piece);
    run.ending.result.output = run.capture.take();
    const std::unique_ptr<Run> owner = std::move(running_.at(&run));
    running_.erase(&run);
    run.done(std::move(run.ending.result));
  }

  // One piece of output, in the order in which the witness saw them come. False: there is no more.
  static bool next_piece(Run& run) {
    std::vector<ActionReport::Turn>& turns = run.ending.turns;
    while (run.turn < turns.size()) {
      ActionReport::Turn& turn = turns[run.turn];
      const std::uint64_t told = tell(run, turn.stream, std::min(turn.bytes, kPiece));
      turn.bytes -= told;
      if (told == 0 || turn.bytes == 0) ++run.turn;
      if (told > 0) return true;
    }
    return tell(run, Stream::out, kPiece) > 0 || tell(run, Stream::err, kPiece) > 0;
  }

  static std::uint64_t tell(Run& run, Stream stream, std::uint64_t most) {
    const std::size_t which = stream == Stream::out ? 0 : 1;
    const std::string piece = (which == 0 ? run.ending.out : run.ending.err).read(run.told[which], most);
    if (piece.empty()) return 0;
    run.capture.add(stream, piece);
    const std::uint64_t had = run.live[which] - std::min(run.live[which], run.told[which]);
    if (had < piece.size() && run.listener->wants(stream)) run.listener->output(stream, std::string_view(piece).substr(had));
    run.told[which] += piece.size();
    return piece.size();
  }

  Reactor& reactor_;
  std::unique_ptr<Mailbox> mailbox_;
  std::unique_ptr<RemoteEngine> engine_;
  std::mutex store_mutex_;
  Store store_;
  SendingWatch watch_;
  InputTrees trees_;
  SentBlobs sent_;
  RemoteGround ground_;
  OutageWatch outage_;
  OperationLog operations_;
  std::optional<Reactor::TimerId> watching_;
  std::map<Run*, std::unique_ptr<Run>> running_;
  std::jthread sweeper_;  // last: it uses the engine
};

}  // namespace

Result<std::unique_ptr<Executor>> make_remote_executor(Reactor& reactor, RemoteOptions options) {
  ActionSetting setting{
      .properties = std::move(options.properties), .image_as_property = options.image_as_property, .witness = options.witness};
  if (setting.witness.empty()) {
    TRY_ASSIGN(setting.witness, witness_program());
  }
  TRY_ASSIGN(Store store, Store::open());
  TRY_ASSIGN(std::unique_ptr<Mailbox> mailbox, Mailbox::open(reactor));
  TRY_ASSIGN(std::unique_ptr<RemoteEngine> engine, connect(options));
  if (!engine->offer().executes)
    return fail(ErrorCode::not_supported, fmt::format("{} stores results and executes nothing", printable_name(options.endpoint.address)),
                0, std::string(kRemoteUnusable));
  setting.outputs_by_kind = engine->offer().outputs_by_kind;
  auto executor =
      std::make_unique<RemoteExecutor>(reactor, std::move(mailbox), std::move(engine), std::move(store), std::move(setting), options);
  TRY(executor->begin());
  return executor;
}

}  // namespace casemate
