#include "docker/docker_context.h"

#include <algorithm>
#include <csignal>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/units.h"
#include "base/untrusted_json.h"
#include "docker/collection.h"
#include "docker/frames.h"
#include "docker/snapshot.h"
#include "docker/witness.h"
#include "engine/capture.h"
#include "engine/delivery.h"

namespace casemate {
namespace {

using Clock = Reactor::Clock;

constexpr std::size_t kMostBacklog = 1u << 20;
constexpr std::size_t kMostServices = 64;  // streams that processes left behind may hold
constexpr auto kBacklogPause = std::chrono::milliseconds(5);
constexpr auto kBeat = std::chrono::seconds(3);
constexpr auto kHangs = std::chrono::seconds(10);
constexpr auto kKillTime = std::chrono::seconds(5);  // then the container goes

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
  DockerContext(DockerGround& ground, Job job) : ground_(ground), job_(std::move(job)) {
    if (job_.argv.empty()) job_.argv = {"true"};  // there is none
  }
  ~DockerContext() override;
  DockerContext(const DockerContext&) = delete;
  DockerContext& operator=(const DockerContext&) = delete;

  static void open(std::shared_ptr<DockerContext> context, OpenedContext opened);

  Result<void> start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) override;
  void signal(int number) override;
  void cancel() override { give_up({Outcome::Kind::cancelled}); }
  [[nodiscard]] bool alive() const override { return alive_; }
  void collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) override;
  [[nodiscard]] const Job& job() const { return job_; }

 private:
  void call(DockerRequest request, std::function<void(Result<DockerReply>)> then);
  void schedule(Clock::duration after, std::function<void()> due);
  void open_stream(DockerRequest request, std::function<void(Result<std::unique_ptr<DockerStream>>)> then);
  void opening_failed(const Error& error);
  void attach();
  void begin_container();
  void opened();
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
  void list_changes(const std::map<std::string, LayerStep>& steps, LayerSnapshot now);
  void finish();
  void lose(const std::string& why);
  void beat();
  [[nodiscard]] Outcome outcome_of(const Running& now) const;

  DockerGround& ground_;
  Job job_;
  OpenedContext opened_;
  std::shared_ptr<DockerContext> opening_;  // itself, until it is handed over
  std::unique_ptr<ContainerCreation> creation_;
  std::string id_;
  bool alive_ = false;
  std::set<DockerCallId> calls_;
  std::set<Reactor::TimerId> timers_;
  std::unique_ptr<DockerStream> hold_;
  std::vector<std::unique_ptr<DockerStream>> services_;
  std::unique_ptr<Running> running_;
  std::unique_ptr<SnapshotTaking> taking_;
  std::optional<LayerSnapshot> first_, last_;  // at its opening, and after the last command; nullopt: not known
  std::unique_ptr<Collection> collection_;
  std::function<void(Result<JobResult>)> collected_;
};

// What Executor::open() gives away: the context itself lives on in callbacks of its own that are under way.
class OwnedContext final : public Context {
 public:
  explicit OwnedContext(std::shared_ptr<DockerContext> context) : context_(std::move(context)) {}
  Result<void> start(ContextCommand command, JobListener& listener, std::function<void(JobResult)> done) override {
    return context_->start(std::move(command), listener, std::move(done));
  }
  void signal(int number) override { context_->signal(number); }
  void cancel() override { context_->cancel(); }
  [[nodiscard]] bool alive() const override { return context_->alive(); }
  void collect(std::vector<std::string> paths, std::string destination, std::function<void(Result<JobResult>)> done) override {
    context_->collect(std::move(paths), std::move(destination), std::move(done));
  }

 private:
  std::shared_ptr<DockerContext> context_;
};

DockerContext::~DockerContext() {
  for (const DockerCallId id : calls_) ground_.api.forget(id);
  for (const Reactor::TimerId timer : timers_) ground_.reactor.cancel(timer);
  taking_.reset();
  collection_.reset();
  running_.reset();
  services_.clear();
  hold_.reset();
  if (id_.empty() && creation_) id_ = creation_->id();
  creation_.reset();
  if (id_.empty()) return;
  DockerRequest remove{.method = "DELETE", .path = fmt::format("/containers/{}?force=1&v=1", id_), .silence = std::chrono::seconds(5)};
  (void)call_and_wait(ground_.api, ground_.reactor, std::move(remove));
}

void DockerContext::call(DockerRequest request, std::function<void(Result<DockerReply>)> then) {
  const auto id = std::make_shared<DockerCallId>();
  *id = ground_.api.call(std::move(request), [this, id, then = std::move(then)](Result<DockerReply> reply) {
    calls_.erase(*id);
    then(std::move(reply));
  });
  calls_.insert(*id);
}

void DockerContext::open_stream(DockerRequest request, std::function<void(Result<std::unique_ptr<DockerStream>>)> then) {
  const auto id = std::make_shared<DockerCallId>();
  *id = ground_.api.open_stream(std::move(request), [this, id, then = std::move(then)](Result<std::unique_ptr<DockerStream>> stream) {
    calls_.erase(*id);
    then(std::move(stream));
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

// ---- opening

void DockerContext::open(std::shared_ptr<DockerContext> context, OpenedContext opened) {
  DockerContext& self = *context;
  self.opening_ = std::move(context);
  self.opened_ = std::move(opened);
  self.creation_ = std::make_unique<ContainerCreation>(self.ground_, self.job_, ContainerUse::context, random_token());
  self.creation_->begin([&self](const Result<void>& made) {
    self.id_ = self.creation_->id();
    if (!made) return self.opening_failed(made.error());
    self.attach();
  });
}

void DockerContext::opening_failed(const Error& error) {
  schedule({}, [this, error] {
    const std::shared_ptr<DockerContext> self = std::move(opening_);
    const OpenedContext opened = std::move(opened_);
    if (opened) opened(std::unexpected(error));
  });
}

void DockerContext::attach() {
  // Its stdin keeps the container alive: when we go, however, it ends.
  DockerRequest request{.method = "POST", .path = fmt::format("/containers/{}/attach?stream=1&stdin=1&stdout=1&stderr=1", id_)};
  open_stream(std::move(request), [this](Result<std::unique_ptr<DockerStream>> stream) {
    if (!stream) return opening_failed(stream.error());
    hold_ = std::move(*stream);
    hold_->listen([](std::string_view) {},
                  [this](const Result<void>&) {
                    if (opening_) return opening_failed({ErrorCode::system, "the container ended at its start", 0, "docker daemon"});
                    lose("the container was removed from outside, or its first process killed");
                  });
    begin_container();
  });
}

void DockerContext::begin_container() {
  call({.method = "POST", .path = fmt::format("/containers/{}/start", id_)}, [this](const Result<DockerReply>& reply) {
    if (!reply) return opening_failed(reply.error());
    if (reply->status != 204) return opening_failed(docker_failure(*reply, "start the container"));
    take_snapshot([this](Result<LayerSnapshot> taken) {
      if (!taken) return opening_failed(taken.error());
      first_ = *taken;
      last_ = std::move(*taken);
      this->opened();
    });
  });
}

void DockerContext::opened() {
  alive_ = true;
  beat();
  std::unique_ptr<Context> owned = std::make_unique<OwnedContext>(std::move(opening_));
  const OpenedContext opened = std::move(opened_);
  opened(std::move(owned));
}

void DockerContext::take_snapshot(std::function<void(Result<LayerSnapshot>)> then) {
  taking_ = std::make_unique<SnapshotTaking>(ground_.api, id_, [this, then = std::move(then)](Result<LayerSnapshot> taken) {
    schedule({}, [this, then, taken = std::move(taken)] {
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
  call({.method = "POST", .path = fmt::format("/containers/{}/exec", id_), .body = body.dump()}, [this](const Result<DockerReply>& reply) {
    if (!running_ || running_->over) return;
    if (!reply) return lose(reply.error().what);
    if (reply->status == 404) return lose("the container was removed from outside");
    if (reply->status != 201) return lose(docker_failure(*reply, "start a command in the container").what);
    if (const auto json = untrusted_object(reply->body)) running_->exec = text_at(*json, "Id", 64);
    run();
  });
}

void DockerContext::run() {
  Running& now = *running_;
  DockerRequest request{.method = "POST", .path = fmt::format("/exec/{}/start", now.exec)};
  request.body = nlohmann::json{{"Detach", false}, {"Tty", now.command.terminal}}.dump();
  open_stream(std::move(request), [this](Result<std::unique_ptr<DockerStream>> stream) {
    if (!running_ || running_->over) return;
    if (!stream) return lose(stream.error().what);
    running_->stream = std::move(*stream);
    listen();
  });
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
      [this, token = now.token](const Result<void>&) {
        if (running_ && running_->token == token && !running_->over) command_ended();
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
  call({.method = "POST", .path = fmt::format("/containers/{}/exec", id_), .body = body.dump()}, [this](const Result<DockerReply>& reply) {
    const auto json = reply && reply->status == 201 ? untrusted_object(reply->body) : std::nullopt;
    if (!json) return;
    call({.method = "POST", .path = fmt::format("/exec/{}/start", text_at(*json, "Id", 64)), .body = R"({"Detach":true,"Tty":false})"},
         [](const Result<DockerReply>&) {});
  });
}

void DockerContext::give_up(Outcome outcome) {
  if (!running_ || running_->over || running_->given_up) return;
  running_->given_up = std::move(outcome);
  send_signal(SIGKILL);
  schedule(kKillTime, [this, token = running_->token] {
    if (!running_ || running_->token != token || running_->over) return;
    // Nothing answers in there any more: all of it goes.
    call({.method = "POST", .path = fmt::format("/containers/{}/kill?signal=KILL", id_)}, [](const Result<DockerReply>&) {});
    lose("its processes could not be ended, so the container was");
  });
}

// ---- its end

Outcome DockerContext::outcome_of(const Running& now) const {
  using Kind = Outcome::Kind;
  const WitnessReport& report = now.report;
  if (now.given_up) return *now.given_up;
  if (report.exec_errno) return {Kind::setup_failed, *report.exec_errno, "execve " + printable_name(now.command.argv[0])};
  if (!report.ended)
    return {Kind::setup_failed, 0, "start the command",
            printable_line(now.plain_error.empty() ? "the daemon did not start it" : now.plain_error)};
  const Outcome plain = report.signal ? Outcome{Kind::signaled, *report.signal} : Outcome{Kind::exited, report.exit_status.value_or(0)};
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
  schedule({}, [this] { finish(); });
}

void DockerContext::look_again() {
  call({.path = fmt::format("/containers/{}/json", id_)}, [this](const Result<DockerReply>& reply) {
    if (!running_ || running_->over) return;
    const auto json = reply && reply->status == 200 ? untrusted_object(reply->body) : std::nullopt;
    const auto* state = json ? member_if(*json, "State", &nlohmann::json::is_object) : nullptr;
    if (!reply) return lose(reply.error().what);
    if (!state || !true_at(*state, "Running")) return lose("the container was removed from outside, or its first process killed");
    running_->over = true;
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
    const auto steps = steps_between(*last_, *taken);
    running_->result.changes_truncated = taken->truncated || last_->truncated;
    if (steps.empty()) {
      last_ = std::move(*taken);
      return finish();
    }
    list_changes(steps, std::move(*taken));
  });
}

// Changes as archives tell them, with the kinds that the snapshots do.
void DockerContext::list_changes(const std::map<std::string, LayerStep>& steps, LayerSnapshot now) {
  LayerChanges wanted;
  for (const auto& [path, step] : steps) {
    if (step.kind != Change::Kind::deleted) wanted[path] = LayerChange::added;
  }
  last_ = std::move(now);
  Collection::Request request{.container = id_, .image = creation_->image().id, .label_value = ground_.label_value};
  request.places.push_back({.path = "", .bare = true});
  request.changes = std::move(wanted);
  auto collection = Collection::begin(ground_.api, ground_.reactor, std::move(request), [this, steps](JobResult found) {
    if (!running_) return;
    JobResult& result = running_->result;
    for (Change& change : found.changes) {
      const auto step = steps.find(change.path);
      if (step == steps.end()) continue;  // a directory on the way
      change.kind = step->second.kind;
      result.changes.push_back(std::move(change));
    }
    for (const auto& [path, step] : steps) {
      if (step.kind != Change::Kind::deleted) continue;
      Change change;
      change.kind = Change::Kind::deleted;
      change.type = step.type;
      change.path = path;
      result.changes.push_back(std::move(change));
    }
    std::sort(result.changes.begin(), result.changes.end(), [](const Change& a, const Change& b) { return a.path < b.path; });
    result.changes_truncated |= found.changes_truncated;
    result.collect_error = std::move(found.collect_error);
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

void DockerContext::lose(const std::string& why) {
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
                           : std::optional<Outcome>({Outcome::Kind::lost, 0, "", why});
  running_->result.outcome = *running_->given_up;
  schedule({}, [this] {
    if (running_) finish();
  });
}

void DockerContext::beat() {
  schedule(kBeat, [this] {
    if (!alive_) return;
    if (!running_) return beat();
    call({.path = "/_ping", .silence = kHangs}, [this](const Result<DockerReply>& reply) {
      if (!reply) return lose(reply.error().what);
      beat();
    });
  });
}

// ---- files out

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
    const auto steps = steps_between(first_.value_or(LayerSnapshot{}), *taken);
    LayerChanges wanted;
    for (const auto& [path, step] : steps) {
      const bool asked = std::any_of(paths.begin(), paths.end(), [&, whole = "/" + path](const std::string& asked_for) {
        return asked_for == "/" || whole == asked_for || whole.starts_with(asked_for.ends_with('/') ? asked_for : asked_for + "/");
      });
      if (asked && step.kind != Change::Kind::deleted) wanted[path] = LayerChange::added;
    }
    auto opened = destination.empty() ? Result<Delivery>(Delivery(UniqueFd())) : Delivery::open(destination);
    if (!opened) return end(std::unexpected(opened.error()));
    const auto root = std::make_shared<UniqueFd>(std::move(*opened).take_root());
    Collection::Request request{
        .container = id_, .image = creation_->image().id, .label_value = ground_.label_value, .destination = destination};
    request.places.push_back({.path = "", .bare = true, .destination_fd = root->get()});
    request.changes = std::move(wanted);
    const auto found = [end, steps, root](JobResult result) {
      std::erase_if(result.changes, [&](const Change& change) { return !steps.contains(change.path); });
      for (Change& change : result.changes) change.kind = steps.at(change.path).kind;
      end(std::move(result));
    };
    auto collection = Collection::begin(ground_.api, ground_.reactor, std::move(request), found);
    if (!collection) return end(std::unexpected(collection.error()));
    collection_ = std::move(*collection);
  });
}

}  // namespace

Result<void> open_docker_context(DockerGround& ground, Job job, OpenedContext opened) {
  auto context = std::make_shared<DockerContext>(ground, std::move(job));
  TRY(check_docker_job(ground, context->job(), ContainerUse::context));
  DockerContext::open(std::move(context), std::move(opened));
  return {};
}

}  // namespace casemate
