#include "docker/docker_context.h"

#include <algorithm>
#include <csignal>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/units.h"
#include "base/untrusted_json.h"
#include "docker/container_opening.h"
#include "docker/daemon_trouble.h"
#include "docker/frames.h"
#include "docker/snapshot.h"
#include "docker/step_collection.h"
#include "engine/capture.h"
#include "witness/witness.h"

namespace casemate {
namespace {

using Clock = Reactor::Clock;

constexpr std::size_t kMostBacklog = 1u << 20;
constexpr std::size_t kMostServices = 64;  // streams that processes left behind may hold
constexpr auto kBacklogPause = std::chrono::milliseconds(5);
constexpr auto kBeat = std::chrono::seconds(3);
constexpr auto kHangs = std::chrono::seconds(10);
constexpr auto kStartTime = std::chrono::seconds(10);  // for the daemon's first word on a command
constexpr auto kKillTime = std::chrono::seconds(5);    // then the container goes

// One command while it runs.
struct Running {
  Running(ContextCommand what, JobListener& heard_by, std::function<void(JobResult)> then)
      : command(std::move(what)), listener(heard_by), done(std::move(then)), capture(command.capture_bytes) {}
  ContextCommand command;
  JobListener& listener;
  std::function<void(JobResult)> done;
  std::string token = random_token();
  std::string exec;
  std::unique_ptr<DockerStream> stream;
  Capture capture;
  WitnessReport report;
  bool out_ended = false;
  std::optional<WitnessReader> out, err;
  std::optional<FrameReader> frames;
  std::optional<Outcome> given_up;
  std::optional<int> pending_signal;
  std::string plain_error;  // what the daemon's runtime said in the command's stead
  bool over = false;
  bool held_back = false;
  JobResult result;
};

class DockerContext final : public Context {
 public:
  DockerContext(DockerGround& ground, Job job, OpenContainer container);
  ~DockerContext() override;
  DockerContext(const DockerContext&) = delete;
  DockerContext& operator=(const DockerContext&) = delete;

  Result<void> start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) override;
  void signal(int number) override;
  void cancel() override;
  [[nodiscard]] bool alive() const override { return alive_; }
  void collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) override;

 private:
  void call(DockerRequest request, std::function<void(Result<DockerReply>)> then);
  void schedule(Clock::duration after, std::function<void()> due);
  void take_snapshot(std::function<void(Result<LayerSnapshot>)> then);
  void execute();
  void run();
  void listen();
  void take(Stream stream, std::string_view bytes);
  void hold_back();
  void report_came();
  void command_ended();
  void look_again();
  void give_up(Outcome outcome);
  void send_signal(int number);
  void note_changes();
  void finish();
  void finish_soon();
  void lose(const std::string& why, std::string_view step = {});
  void lose(const Error& why);
  void hold_ended();
  void beat();
  [[nodiscard]] Outcome outcome_of(const Running& now) const;

  DockerGround& ground_;
  Job job_;
  OpenContainer container_;
  bool alive_ = true;
  std::set<DockerCallId> calls_;
  std::set<Reactor::TimerId> timers_;
  std::vector<std::unique_ptr<DockerStream>> services_;
  std::unique_ptr<Running> running_;
  std::unique_ptr<SnapshotTaking> taking_;
  std::optional<LayerSnapshot> last_;  // after the last command; nullopt: not known
  std::unique_ptr<Collection> collection_;
  std::function<void(Result<JobResult>)> collected_;
};

DockerContext::DockerContext(DockerGround& ground, Job job, OpenContainer container)
    : ground_(ground), job_(std::move(job)), container_(std::move(container)), last_(container_.first) {
  ground_.contexts.insert(this);
  container_.hold->listen([](std::string_view) {}, [this](const Result<void>&) { hold_ended(); });
  beat();
}

DockerContext::~DockerContext() {
  ground_.contexts.erase(this);
  for (const DockerCallId id : calls_) ground_.api.forget(id);
  for (const Reactor::TimerId timer : timers_) ground_.reactor.cancel(timer);
  taking_.reset();
  collection_.reset();
  running_.reset();
  services_.clear();
  container_.hold.reset();
  remove_container(ground_.api, ground_.reactor, container_.id, ground_.removal_time());
}

void DockerContext::call(DockerRequest request, std::function<void(Result<DockerReply>)> then) {
  const auto id = std::make_shared<DockerCallId>();
  *id = ground_.api.call(std::move(request), [this, id, then = std::move(then)](Result<DockerReply> reply) {
    calls_.erase(*id);
    then(std::move(reply));
  });
  calls_.insert(*id);
}

void DockerContext::schedule(Clock::duration after, std::function<void()> due) {
  const auto id = std::make_shared<Reactor::TimerId>();
  *id = ground_.reactor.schedule(Clock::now() + after, [this, id, due = std::move(due)] {
    timers_.erase(*id);
    due();
  });
  timers_.insert(*id);
}

void DockerContext::take_snapshot(std::function<void(Result<LayerSnapshot>)> then) {
  taking_ = std::make_unique<SnapshotTaking>(ground_.api, container_.id, container_.layer,
                                             [this, then = std::move(then)](Result<LayerSnapshot> taken) {
                                               schedule({}, [this, then, taken = std::move(taken)] {
                                                 if (!taking_) return;  // cancelled
                                                 taking_.reset();
                                                 then(taken);
                                               });
                                             });
  taking_->begin();
}

// ---- a command

Result<void> DockerContext::start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) {
  if (!alive_) return fail(ErrorCode::not_found, "the container of this context is gone");
  if (running_ || collection_) return fail(ErrorCode::internal, "a context runs one command at a time");
  if (command.argv.empty() || command.argv[0].empty()) return fail(ErrorCode::invalid_input, "a command needs a program");
  for (const std::string& word : command.argv) {
    if (to_utf8(word) != word || word.find('\0') != std::string::npos)
      return fail(ErrorCode::not_supported, "an argument is not UTF-8, which the Docker Engine API can't pass on");
  }
  running_ = std::make_unique<Running>(std::move(command), listener, std::move(done));
  if (last_ || !running_->command.changes) {
    execute();
    return {};
  }
  take_snapshot([this](Result<LayerSnapshot> taken) {
    if (taken) last_ = std::move(*taken);
    if (running_ && !running_->over) execute();
  });
  return {};
}

void DockerContext::execute() {
  const ContextCommand& command = running_->command;
  nlohmann::ordered_json body;
  body["AttachStdin"] = !command.input.empty() || command.terminal;
  body["AttachStdout"] = true;
  body["AttachStderr"] = true;
  body["Tty"] = command.terminal;
  body["User"] = fmt::format("{}:{}", job_.user.uid, job_.user.gid);
  if (!command.cwd.empty()) body["WorkingDir"] = command.cwd;
  body["Env"] = nlohmann::ordered_json::array();
  for (const auto& [name, value] : command.env) body["Env"].push_back(to_utf8(name + "=" + value));
  body["Cmd"] = {std::string(kWitnessPlace), "command", running_->token, job_.profile == Profile::strict ? "strict" : "default"};
  for (const std::string& word : command.argv) body["Cmd"].push_back(word);
  call({.method = "POST",
        .path = fmt::format("/containers/{}/exec", container_.id),
        .body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
        .silence = kStartTime,
        .lap = kStartTime},
       [this](const Result<DockerReply>& reply) {
         if (!running_ || running_->over) return;
         if (!reply) return lose(reply.error());
         if (reply->status == 404) return lose("the container was removed from outside");
         if (reply->status != 201) return lose(docker_failure(*reply, "start a command in the container").what);
         if (const auto json = untrusted_object(reply->body)) running_->exec = text_at(*json, "Id", 64);
         run();
       });
}

void DockerContext::run() {
  Running& now = *running_;
  DockerRequest request{.method = "POST", .path = fmt::format("/exec/{}/start", now.exec), .silence = kStartTime};
  request.body = nlohmann::json{{"Detach", false}, {"Tty", now.command.terminal}}.dump();
  const auto id = std::make_shared<DockerCallId>();
  *id = ground_.api.open_stream(std::move(request), [this, id](Result<std::unique_ptr<DockerStream>> stream) {
    calls_.erase(*id);
    if (!running_ || running_->over) return;
    if (!stream) return lose(stream.error());
    running_->stream = std::move(*stream);
    listen();
  });
  calls_.insert(*id);
  if (now.command.wall) {
    schedule(*now.command.wall, [this, token = now.token] {
      if (running_ && running_->token == token)
        give_up({Outcome::Kind::timed_out, 0, "", fmt::format("wall time {}", format_duration(*running_->command.wall))});
    });
  }
}

void DockerContext::listen() {
  Running& now = *running_;
  now.err.emplace(
      now.token, [this](std::string_view bytes) { take(running_->command.terminal ? Stream::out : Stream::err, bytes); },
      [this](std::string_view line) {
        running_->report.hear(line);
        report_came();
      });
  now.out.emplace(
      now.token, [this](std::string_view bytes) { take(Stream::out, bytes); }, [this](std::string_view) { running_->out_ended = true; });
  now.frames.emplace(
      [this](Stream stream, std::string_view bytes) { (stream == Stream::err ? running_->err : running_->out)->feed(bytes); });
  now.stream->listen(
      [this, token = now.token](std::string_view bytes) {
        if (!running_ || running_->token != token || running_->over) return;  // of a service
        if (running_->command.terminal) {
          running_->err->feed(bytes);
        } else if (!running_->frames->feed(bytes)) {
          running_->plain_error = bytes.substr(0, 1000);
        }
        const bool all = running_->report.ended && (running_->out_ended || running_->command.terminal);
        if (all) command_ended();
      },
      [this, token = now.token, stream = now.stream.get()](const Result<void>&) {
        if (running_ && running_->token == token && !running_->over) return command_ended();
        // Of a service: its last process has closed it. Not from within its own callback.
        schedule({}, [this, stream] { std::erase_if(services_, [&](const auto& each) { return each.get() == stream; }); });
      });
  if (!now.command.input.empty()) now.stream->write(now.command.input, !now.command.terminal);
}

void DockerContext::take(Stream stream, std::string_view bytes) {
  Running& now = *running_;
  const auto& most = now.command.output_bytes;
  if (now.given_up && now.given_up->kind == Outcome::Kind::output_limit) return;
  if (most) {
    const std::uint64_t left = *most - std::min(*most, now.capture.total());
    if (bytes.size() > left) {
      give_up({Outcome::Kind::output_limit, 0, "", fmt::format("more than {}", format_bytes(*most))});
      bytes = bytes.substr(0, left);
    }
  }
  if (bytes.empty()) return;
  now.capture.add(stream, bytes);
  now.listener.output(stream, bytes);
  if (now.listener.backlog() > kMostBacklog) hold_back();
}

void DockerContext::hold_back() {
  if (std::exchange(running_->held_back, true)) return;
  running_->stream->pause(true);
  schedule(kBacklogPause, [this, token = running_->token] {
    if (!running_ || running_->token != token || !running_->stream) return;
    running_->held_back = false;
    if (running_->listener.backlog() > kMostBacklog) return hold_back();
    running_->stream->pause(false);
  });
}

void DockerContext::report_came() {
  if (!running_->report.started || !running_->pending_signal) return;
  send_signal(*std::exchange(running_->pending_signal, std::nullopt));
}

void DockerContext::signal(int number) {
  if (running_ && !running_->over) send_signal(number);
}

// By another command, for the API signals only a container's first process.
void DockerContext::send_signal(int number) {
  Running& now = *running_;
  if (!now.report.started) {
    now.pending_signal = number;
    return;
  }
  nlohmann::ordered_json body;
  body["User"] = fmt::format("{}:{}", job_.user.uid, job_.user.gid);
  body["Cmd"] = {std::string(kWitnessPlace), "signal", std::to_string(number), std::to_string(*now.report.started)};
  call({.method = "POST", .path = fmt::format("/containers/{}/exec", container_.id), .body = body.dump()},
       [this](const Result<DockerReply>& reply) {
         const auto json = reply && reply->status == 201 ? untrusted_object(reply->body) : std::nullopt;
         if (!json) return;
         call({.method = "POST", .path = fmt::format("/exec/{}/start", text_at(*json, "Id", 64)), .body = R"({"Detach":true,"Tty":false})"},
              [](const Result<DockerReply>&) {});
       });
}

void DockerContext::cancel() {
  if (const auto collected = std::exchange(collected_, nullptr)) {
    taking_.reset();
    collection_.reset();
    schedule({}, [collected] { collected(fail(ErrorCode::cancelled, "cancelled while files were copied out")); });
  }
  if (!running_) return;
  const bool again = running_->given_up && running_->given_up->kind == Outcome::Kind::cancelled;
  if (!running_->over && !taking_) {
    if (again) return lose("it was cancelled again while its processes were being ended");
    return give_up({Outcome::Kind::cancelled});
  }
  // Before the command, or after it: only we are at work.
  if (!running_->over) running_->given_up = {Outcome::Kind::cancelled};
  if (running_->over) running_->result.collect_error = "cancelled while it was found out what the command changed";
  running_->over = true;
  taking_.reset();
  collection_.reset();
  last_.reset();
  finish_soon();
}

void DockerContext::give_up(Outcome outcome) {
  if (!running_ || running_->over || running_->given_up) return;
  running_->given_up = std::move(outcome);
  send_signal(SIGKILL);
  schedule(kKillTime, [this, token = running_->token] {
    if (!running_ || running_->token != token || running_->over) return;
    // Nothing answers in there any more: all of it goes.
    call({.method = "POST", .path = fmt::format("/containers/{}/kill?signal=KILL", container_.id)}, [](const Result<DockerReply>&) {});
    lose("its processes could not be ended, so the container was");
  });
}

// ---- its end

Outcome DockerContext::outcome_of(const Running& now) const {
  using Kind = Outcome::Kind;
  const WitnessReport& report = now.report;
  if (now.given_up) return *now.given_up;
  if (report.exec_errno) return {Kind::setup_failed, *report.exec_errno, "execve " + printable_name(now.command.argv[0])};
  // A daemon that could not start it says so.
  if (!report.ended && (report.started || now.plain_error.empty()))
    return {Kind::lost, 0, "", "nobody knows how it ended: what watches it in the container was killed, by itself or another there"};
  if (!report.ended) return {Kind::setup_failed, 0, "start the command", printable_line(now.plain_error)};
  Outcome plain = report.signal ? Outcome{Kind::signaled, *report.signal} : Outcome{Kind::exited, report.exit_status.value_or(0)};
  if (plain.succeeded() && report.pids_refused == 0) return plain;
  if (report.oom_kills > 0 && !plain.succeeded())
    return {Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(job_.limits.memory_bytes.value_or(0)))};
  if (report.pids_refused > 0)
    return {Kind::too_many_processes, plain.code, "", fmt::format("limit {}, then {}", job_.limits.pids.value_or(0), words(plain))};
  if (report.disk_full) return {Kind::disk_limit, plain.code, "", fmt::format("a writable layer was full, then {}", words(plain))};
  return plain;
}

void DockerContext::command_ended() {
  Running& now = *running_;
  now.over = true;
  // A stream that ended by itself because all else did says so a moment later.
  if (!now.report.ended && !now.given_up) {
    now.over = false;
    now.stream.reset();
    // What is being removed still runs, as the daemon says, for a moment.
    const auto wait = now.plain_error.empty() ? std::chrono::milliseconds(1000) : std::chrono::milliseconds(0);
    schedule(wait, [this, token = now.token] {
      if (running_ && running_->token == token && !running_->over) look_again();
    });
    return;
  }
  now.err->end();
  if (now.command.changes && alive_) return note_changes();
  last_.reset();
  finish_soon();
}

void DockerContext::look_again() {
  call({.path = fmt::format("/containers/{}/json", container_.id)}, [this](const Result<DockerReply>& reply) {
    if (!running_ || running_->over) return;
    const auto json = reply && reply->status == 200 ? untrusted_object(reply->body) : std::nullopt;
    const auto* state = json ? member_if(*json, "State", &nlohmann::json::is_object) : nullptr;
    if (!reply) return lose(reply.error());
    if (!state || !true_at(*state, "Running")) return lose("the container was removed from outside, or its first process killed");
    running_->over = true;
    last_.reset();
    finish();
  });
}

void DockerContext::note_changes() {
  take_snapshot([this](Result<LayerSnapshot> taken) {
    if (!running_) return;
    if (!taken || !last_) {
      running_->result.collect_error = taken ? "what was there before is not known" : taken.error().what;
      if (taken) last_ = std::move(*taken);
      return finish();
    }
    auto steps = steps_between(*last_, *taken);
    running_->result.changes_truncated = taken->truncated || last_->truncated;
    if (steps.empty()) {
      last_ = std::move(*taken);
      return finish();
    }
    last_ = std::move(*taken);
    auto collection = collect_steps(ground_, container_, std::move(steps), "", [this](JobResult found) {
      if (!running_) return;
      running_->result.changes = std::move(found.changes);
      running_->result.changes_truncated |= found.changes_truncated;
      running_->result.collect_error = std::move(found.collect_error);
      schedule({}, [this] {
        collection_.reset();
        if (running_) finish();
      });
    });
    if (!collection) {
      running_->result.collect_error = collection.error().what;
      return finish();
    }
    collection_ = std::move(*collection);
  });
}

void DockerContext::finish_soon() {
  schedule({}, [this, token = running_->token] {
    if (running_ && running_->token == token) finish();
  });
}

void DockerContext::finish() {
  const std::unique_ptr<Running> now = std::move(running_);
  JobResult result = std::move(now->result);
  if (result.outcome.detail.empty()) result.outcome = outcome_of(*now);
  const WitnessReport& report = now->report;
  result.resources.wall = std::chrono::microseconds(report.wall_us);
  result.resources.user_cpu = std::chrono::microseconds(report.user_cpu_us);
  result.resources.system_cpu = std::chrono::microseconds(report.system_cpu_us);
  result.resources.peak_memory_bytes = report.peak_memory_bytes;
  result.resources.major_faults = report.major_faults;
  result.resources.minor_faults = report.minor_faults;
  result.exit_status = report.exit_status;
  result.leftovers = report.leftovers;
  result.output = now->capture.take();
  // What was left running may hold its output open, and must not wait for a reader that is gone.
  if (now->stream && !report.leftovers.empty() && services_.size() < kMostServices) services_.push_back(std::move(now->stream));
  now->done(std::move(result));
}

// A daemon that goes away takes the container's stream with it: is it there?
void DockerContext::hold_ended() {
  call({.path = "/_ping", .silence = kHangs, .lap = kHangs}, [this](const Result<DockerReply>& reply) {
    if (!reply) return lose(reply.error());
    lose("the container was removed from outside, or its first process killed");
  });
}

// The daemon's own silence, or its refusal of one thing.
void DockerContext::lose(const Error& why) { lose(why.what, why.where == kDockerDaemon ? kExecutorGone : std::string_view()); }

void DockerContext::lose(const std::string& why, std::string_view step) {
  alive_ = false;
  if (collected_) {
    const auto collected = std::exchange(collected_, nullptr);
    schedule({}, [collected, why] { collected(fail(ErrorCode::not_found, why, 0, "docker daemon")); });
  }
  if (!running_ || running_->result.outcome.detail == why) return;
  taking_.reset();
  running_->over = true;
  running_->given_up = running_->given_up && running_->given_up->kind != Outcome::Kind::lost && running_->report.ended
                           ? running_->given_up
                           : std::optional<Outcome>({Outcome::Kind::lost, 0, std::string(step), why});
  running_->result.outcome = *running_->given_up;
  finish_soon();
}

void DockerContext::beat() {
  schedule(kBeat, [this] {
    if (!alive_) return;
    if (!running_) return beat();
    call({.path = "/_ping", .silence = kHangs, .lap = kHangs}, [this](const Result<DockerReply>& reply) {
      if (!reply) return lose(reply.error());
      beat();
    });
  });
}

// ---- files out

// `path` is without the leading "/".
bool asked_for(const std::vector<std::string>& paths, const std::string& path) {
  return std::any_of(paths.begin(), paths.end(), [&, whole = "/" + path](const std::string& asked) {
    return asked == "/" || whole == asked || whole.starts_with(asked.ends_with('/') ? asked : asked + "/");
  });
}

void DockerContext::collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) {
  if (!alive_ || running_ || collection_ || taking_) {
    const char* why = alive_ ? "files are collected between commands, one collection at a time" : "the container of this context is gone";
    schedule({}, [done, why] { done(fail(ErrorCode::not_found, why)); });
    return;
  }
  collected_ = std::move(done);
  take_snapshot([this, paths = std::move(paths), destination = std::move(destination)](Result<LayerSnapshot> taken) {
    const auto end = [this](Result<JobResult> result) {
      schedule({}, [this, result = std::move(result)] {
        collection_.reset();
        if (const auto collected = std::exchange(collected_, nullptr)) collected(result);
      });
    };
    if (!taken) return end(std::unexpected(taken.error()));
    auto steps = steps_between(container_.first, *taken);
    std::erase_if(steps, [&](const auto& step) { return step.second.kind == Change::Kind::deleted || !asked_for(paths, step.first); });
    auto collection = collect_steps(ground_, container_, std::move(steps), destination, end);
    if (!collection) return end(std::unexpected(collection.error()));
    collection_ = std::move(*collection);
  });
}

}  // namespace

Result<void> open_docker_context(DockerGround& ground, Job job, OpenedContext opened) {
  if (job.argv.empty()) job.argv = {"true"};  // there is none
  TRY(check_docker_job(ground, job, ContainerUse::context));
  const auto opening = std::make_shared<ContainerOpening>(ground, job);
  opening->begin([&ground, job, opening, opened = std::move(opened)](Result<OpenContainer> container) {
    if (!container) {
      if (container.error().where == kDockerDaemon) container.error().where = kExecutorGone;
      return opened(std::unexpected(std::move(container.error())));
    }
    opened(std::make_unique<DockerContext>(ground, job, std::move(*container)));
  });
  return {};
}

}  // namespace casemate
