#include "remote/remote_run.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "action/result_cache.h"
#include "base/terminal.h"
#include "base/units.h"
#include "remote/changed_tree.h"
#include "witness/order.h"
#include "witness/witness.h"

namespace casemate {
namespace {

using Kind = Outcome::Kind;

constexpr std::uint64_t kMostInput = 64ull << 20;  // of stdin: it is one blob in memory
constexpr std::uint64_t kLongestTree = 256ull << 20;
constexpr int kSendAgain = 2;
constexpr std::string_view kUnread =
    "Input/output error";          // EIO, which a worker's file system says of contents that have gone (buildbox-fuse)
constexpr int kNotExecuted = 125;  // the status of a cell's process that could not become its command
constexpr int kDeadlineExceeded = 4;

// An engine forgets nothing that an action needs as long as it runs: the whole of stdin is there before it starts.
Result<std::string> read_input(int fd, const std::stop_token& stop) {
  std::string all;
  while (!stop.stop_requested()) {
    pollfd wanted{fd, POLLIN, 0};
    const int ready = ::poll(&wanted, 1, 100);
    if (ready < 0 && errno != EINTR) return fail_errno("wait for stdin");
    if (ready <= 0) continue;
    char bytes[64u << 10];
    const ssize_t got = ::read(fd, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got < 0) return fail_errno("read stdin");
    if (got == 0) return all;
    all.append(bytes, static_cast<std::size_t>(got));
    if (all.size() > kMostInput)
      return fail(ErrorCode::exhausted, fmt::format("stdin has more than {}: give it as a file with --inputs", format_bytes(kMostInput)));
  }
  return fail(ErrorCode::cancelled, "interrupted");
}

Outcome lost(std::string why, std::string_view step = {}) { return {Kind::lost, 0, std::string(step), std::move(why)}; }

Outcome outcome_of(const Job& job, const ActionReport& report) {
  const Limits& limits = job.limits;
  if (!report.setup_step.empty()) return {Kind::setup_failed, report.setup_errno, report.setup_step, report.setup_detail};
  if (report.job.exec_errno) return {Kind::setup_failed, *report.job.exec_errno, "execve " + printable_name(job.argv[0])};
  const auto wall = limits.wall.value_or(std::chrono::milliseconds(0));
  const auto cpu_time = limits.cpu_time.value_or(std::chrono::milliseconds(0));
  Outcome cpu{Kind::timed_out, 0, "", fmt::format("CPU time {}", format_duration(cpu_time))};
  const int status = report.job.exit_status.value_or(0);
  switch (report.ended_for) {
    case EndedFor::wall:
      return {Kind::timed_out, 0, "", fmt::format("wall time {}", format_duration(wall))};
    case EndedFor::cpu_time:
      return cpu;
    case EndedFor::memory:
      return {Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(limits.memory_bytes.value_or(0)))};
    case EndedFor::pids:
      return {Kind::too_many_processes, 128 + SIGKILL, "", fmt::format("limit {}, and the job was ended for it", limits.pids.value_or(0))};
    case EndedFor::output:
      return {Kind::output_limit, 0, "", fmt::format("more than {}", format_bytes(limits.output_bytes.value_or(0)))};
    case EndedFor::disk:
      return {Kind::disk_limit, report.job.signal ? 128 + *report.job.signal : status, "",
              fmt::format("what the job wrote was more than {}", format_bytes(limits.disk_bytes.value_or(0)))};
    case EndedFor::files:
      return {Kind::disk_limit, status, "", fmt::format("the job made more than {} files", limits.disk_inodes.value_or(0))};
    case EndedFor::nothing:
      break;
  }
  Outcome plain = report.job.signal ? Outcome{Kind::signaled, *report.job.signal} : Outcome{Kind::exited, status};
  if (plain.succeeded()) return plain;
  if (plain.kind == Kind::signaled && plain.code == SIGXCPU && limits.cpu_time) return cpu;
  if (report.job.disk_full) return {Kind::disk_limit, plain.code, "", fmt::format("a writable layer was full, then {}", words(plain))};
  return plain;
}

RemoteTimes times_of(const Execution& execution) {
  const ActionTimes& times = execution.result.times;
  const auto between = [](const ActionTimes::Time& from, const ActionTimes::Time& to) -> std::optional<std::chrono::microseconds> {
    if (!from || !to || *to < *from) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::microseconds>(*to - *from);
  };
  RemoteTimes told;
  told.queue = between(times.queued, times.worker_began);
  told.fetch = between(times.fetch_began, times.fetch_ended);
  told.run = between(times.ran, times.ran_to_end);
  told.upload = between(times.upload_began, times.upload_ended);
  told.worker = printable_name(execution.result.worker.substr(0, 256));
  told.attempts = execution.attempts;
  told.cached = execution.cached;
  return told;
}

// Of a second execution no live output is told.
struct FirstHeard : ExecutionListener {
  explicit FirstHeard(ExecutionListener& to) : listener(to) {}
  void queued() override { listener.queued(); }
  void executing() override { listener.executing(); }
  void named(const std::string& operation) override { listener.named(operation); }
  void output(Stream stream, std::string_view bytes) override {
    if (!silent) listener.output(stream, bytes);
  }
  ExecutionListener& listener;
  bool silent = false;
};

// One job; each member function is a part of its way.
class RemoteRun {
 public:
  RemoteRun(const RemoteGround& ground, const Job& job, const std::vector<UniqueFd>& destinations, ExecutionListener& hears,
            const std::stop_token& stop)
      : ground_(ground), job_(job), destinations_(destinations), hears_(hears), stop_(stop) {}

  RemoteEnding go() {
    if (auto ran = run(); !ran) ending_.result.outcome = unknown(ran.error());
    if (stop_.stop_requested()) ending_.result.outcome = {Kind::cancelled};
    return std::move(ending_);
  }

 private:
  // Nobody knows how it ended, or it never began.
  static Outcome unknown(const Error& error) {
    return lost(printable_line(error.what), error.where == kRemoteUnusable ? kExecutorGone : std::string_view());
  }

  Result<void> run() {
    std::optional<std::string> input;
    if (job_.forward_stdin) {
      auto read = read_input(job_.stdin_fd, stop_);
      if (!read && read.error().code != ErrorCode::cancelled) {
        ending_.result.outcome = {Kind::setup_failed, read.error().errno_value, "read stdin", read.error().what};
        return {};
      }
      if (!read) return std::unexpected(std::move(read.error()));
      input = std::move(*read);
    }
    auto action = [&] {
      const auto stage = ground_.watch.reading();
      return job_action(job_, ground_.setting, ground_.trees, input);
    }();
    input.reset();
    if (!action) {
      ending_.result.outcome = {Kind::setup_failed, action.error().errno_value, "prepare the action", action.error().what};
      return {};
    }
    // An engine may have kept what is no result to keep (buildbox-casd: failures), and have lost parts of one that is.
    std::uint64_t losses = ground_.sent.losses();
    TRY_ASSIGN(const bool taken, run_action(*action, job_.deterministic));
    if (!taken) TRY(run_action(*action, false));
    for (int again = 0; again < kSendAgain && may_have_missed_inputs(); ++again) {
      if (ground_.sent.losses() == losses) {
        const auto there = ground_.sent.has_all(*action, stop_);
        if (!there || *there) break;
      }
      losses = ground_.sent.losses();
      hears_.silent = true;
      TRY(run_action(*action, false));
    }
    return {};
  }

  // An engine that loses contents under an action need not say so: buildbox has INTERNAL, or starts what it has, and the job can't read
  // the rest. That is no word on the job, nor, where one reports of many things, on what could not read.
  [[nodiscard]] bool may_have_missed_inputs() const {
    const Outcome& outcome = ending_.result.outcome;
    switch (outcome.kind) {
      case Kind::exited:
        return outcome.code != 0 || ending_.reports.contains(kUnread);
      case Kind::setup_failed:
      case Kind::signaled:
        return true;
      case Kind::lost:
        return outcome.step != kExecutorGone;
      default:
        return false;
    }
  }

  // False: it was in the engine's cache, as something that is not to be taken from there.
  Result<bool> run_action(const JobAction& action, bool may_be_cached) {
    ending_ = {};
    ending_.result.notes = action.notes;
    gap_.clear();
    TRY_ASSIGN(const Execution execution, execute(action, may_be_cached));
    ending_.result.remote = times_of(execution);
    ending_.result.remote->sent_bytes = sent_;
    const bool from_cache = may_be_cached && execution.cached;
    const auto report = take(execution);
    if (from_cache && (!report || !*report || !why_not_kept(ending_.result).empty())) return false;
    if (!report) return std::unexpected(report.error());
    if (*report) collect(execution.result, **report, action.collected_lower);
    return true;
  }

  Result<Execution> execute(const JobAction& action, bool may_be_cached) {
    const ExecutionOrder order{
        .action = action.action.digest, .skip_cache = !may_be_cached, .priority = ground_.priority, .deadline = ground_.deadline};
    for (int again = 0;; ++again) {
      Result<Execution> execution = fail(ErrorCode::internal, "");
      if (auto sent = ground_.sent.send(action, stop_)) {
        sent_ += *sent;
        execution = ground_.engine.execute(order, hears_, stop_);
      } else {
        execution = std::unexpected(std::move(sent.error()));
      }
      // Evicted between: what we believe to be there is not.
      if (execution || execution.error().where != kBlobMissing || again >= kSendAgain) return execution;
      ground_.sent.forget();
    }
  }

  [[nodiscard]] static const ActionOutput* output(const ActionResultView& result, std::string_view path) {
    const auto found =
        std::find_if(result.outputs.begin(), result.outputs.end(), [&](const ActionOutput& each) { return each.path == path; });
    return found == result.outputs.end() ? nullptr : &*found;
  }

  // All but the files; nothing if there is no word of the witness.
  Result<std::optional<ActionReport>> take(const Execution& execution) {
    const ActionResultView& view = execution.result;
    take_output(Stream::out, view.out, view.out_digest);
    take_output(Stream::err, view.err, view.err_digest);
    const ActionOutput* told = output(view, kActionResult);
    if (!told || told->kind != ActionOutput::Kind::file) {
      ending_.result.outcome = without_word(execution);
      return std::nullopt;
    }
    TRY_ASSIGN(const std::string bytes, ground_.engine.read(told->digest, kMostReportBytes, stop_));
    TRY_ASSIGN(ActionReport report, read_report(bytes));
    // No witness ends like that: it was killed, and what lies there is somebody else's word.
    if (execution.status != 0 || exit_code_of(report) != view.exit_code) {
      ending_.result.outcome = without_word(execution);
      return std::nullopt;
    }
    ending_.result.outcome = outcome_of(job_, report);
    ending_.result.resources = resources_of(report.job);
    ending_.result.exit_status = report.job.exec_errno ? std::optional(kNotExecuted) : report.job.exit_status;
    ending_.result.leftovers = report.job.leftovers;
    ending_.result.notes.insert(ending_.result.notes.end(), report.notes.begin(), report.notes.end());
    ending_.turns = report.turns;
    if (ending_.result.outcome.kind != Kind::setup_failed) look_for_gaps(ending_.turns);
    if (report.reports_cut) ending_.result.outcome = lost("the job reported more than is kept of that");
    if (job_.report) TRY(take_reports(view));
    return report;
  }

  // The engine's word alone: the action came to an end, the job's is not known.
  [[nodiscard]] Outcome without_word(const Execution& execution) const {
    if (execution.status == kDeadlineExceeded && job_.limits.wall)
      return {Kind::timed_out, 0, "", fmt::format("wall time {}, and the engine had to end it", format_duration(*job_.limits.wall))};
    if (execution.status != 0)
      return lost(fmt::format("the engine ended the action: {}", printable_line(execution.message.substr(0, 1000))));
    return lost(fmt::format("the action ended without its witness's word (exit status {}): that was killed, or could not be started{}",
                            execution.result.exit_code, last_words()));
  }

  // What the engine's own tools say of a program that they can't start is on stderr.
  [[nodiscard]] std::string last_words() const {
    std::string text = ending_.err.read(ending_.err.size() - std::min<std::uint64_t>(ending_.err.size(), 300), 300);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text.empty() ? "" : "; its last words: " + printable_line(text);
  }

  void take_output(Stream stream, const std::string& inlined, const std::optional<BlobDigest>& digest) {
    FetchedBytes& into = output_of(stream);
    if (!digest) {
      into = FetchedBytes(inlined);
      return;
    }
    auto fetched = FetchedBytes::fetch(ground_.engine, *digest, ground_.store.directory(), stop_);
    // Whoever stands between us and the store may have better bytes the next time.
    if (!fetched && fetched.error().code == ErrorCode::corrupt)
      fetched = FetchedBytes::fetch(ground_.engine, *digest, ground_.store.directory(), stop_);
    if (fetched) {
      into = std::move(*fetched);
    } else {
      gap_ = fmt::format("its {} can't be had: {}", stream == Stream::out ? "stdout" : "stderr", printable_line(fetched.error().what));
    }
  }

  [[nodiscard]] FetchedBytes& output_of(Stream stream) { return stream == Stream::out ? ending_.out : ending_.err; }

  // A job's output is part of its result: who reads none of it must not be told of a success. An engine without room for an output says
  // nothing of it (buildbox-casd), but the witness has counted what it passed on.
  void look_for_gaps(const std::vector<ActionReport::Turn>& turns) {
    for (const Stream stream : {Stream::out, Stream::err}) {
      std::uint64_t written = 0;
      for (const ActionReport::Turn& turn : turns) written += turn.stream == stream ? turn.bytes : 0;
      const std::uint64_t kept = output_of(stream).size();
      if (gap_.empty() && kept < written)
        gap_ = fmt::format("the engine kept {} of the {} bytes that it wrote to {}", kept, written,
                           stream == Stream::out ? "stdout" : "stderr");
    }
    if (!gap_.empty()) ending_.result.outcome = lost(fmt::format("the job ended ({}), but {}", words(ending_.result.outcome), gap_));
  }

  Result<void> take_reports(const ActionResultView& view) {
    const ActionOutput* reports = output(view, kActionReports);
    if (!reports || reports->kind != ActionOutput::Kind::file) return {};
    TRY_ASSIGN(ending_.reports, FetchedBytes::fetch(ground_.engine, reports->digest, ground_.store.directory(), stop_));
    return {};
  }

  void collect(const ActionResultView& view, const ActionReport& report, const std::vector<std::vector<std::string>>& lower) {
    if (job_.collect.empty() || !report.setup_step.empty() || report.job.exec_errno) return;
    const auto failed = [&](const Error& error) { ending_.result.collect_error = printable_line(error.what); };
    InputDirectoryPtr contents;
    if (const ActionOutput* changes = output(view, kActionChanges); changes && changes->kind == ActionOutput::Kind::directory) {
      const auto message = ground_.engine.read(changes->digest, kLongestTree, stop_);
      if (!message) return failed(message.error());
      auto tree = RemoteEngine::read_tree(*message);
      if (!tree) return failed(tree.error());
      contents = std::move(*tree);
    }
    Result<std::unique_ptr<StoreTemp>> temp = [&] {
      const std::lock_guard lock(ground_.store_mutex);
      return ground_.store.make_temp();
    }();
    if (!temp) return failed(temp.error());
    std::vector<WantedChanges> places;
    for (std::size_t i = 0; i < job_.collect.size(); ++i) {
      WantedChanges place{.lower = lower[i], .destination = job_.collect_to};
      if (i < destinations_.size()) place.destination_fd = destinations_[i].get();
      if (job_.collect.size() > 1) place.prefix = job_.collect[i].substr(1) + "/";
      places.push_back(std::move(place));
    }
    collect_changed(places, report, contents, (*temp)->path(), ground_.engine, stop_, ending_.result);
  }

  const RemoteGround& ground_;
  const Job& job_;
  const std::vector<UniqueFd>& destinations_;
  FirstHeard hears_;
  std::stop_token stop_;
  RemoteEnding ending_;
  std::string gap_;  // what of its output is missing
  std::uint64_t sent_ = 0;
};

}  // namespace

RemoteEnding run_remote_job(const RemoteGround& ground, const Job& job, const std::vector<UniqueFd>& destinations, ExecutionListener& hears,
                            const std::stop_token& stop) {
  return RemoteRun(ground, job, destinations, hears, stop).go();
}

}  // namespace casemate
