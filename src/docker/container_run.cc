#include "docker/container_run.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/units.h"
#include "base/untrusted_json.h"
#include "engine/delivery.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBacklog = 1u << 20;
constexpr auto kBacklogPause = std::chrono::milliseconds(5);
constexpr auto kLook = std::chrono::milliseconds(250);
constexpr int kRest = 9;  // times what the last look at the size took
constexpr auto kSetupTime = std::chrono::seconds(60);
constexpr auto kLastBytes = std::chrono::seconds(5);  // for output that is still on its way when the container has ended
constexpr int kNotExecuted = 125;                     // the status of a cell's process that could not become its command
constexpr auto kKillTime = std::chrono::seconds(10);

}  // namespace

ContainerRun::ContainerRun(DockerGround& ground, Job job, JobListener& listener, Done done)
    : ground_(ground),
      job_(std::move(job)),
      listener_(&listener),
      done_(std::move(done)),
      capture_(job_.capture_bytes),
      errors_(
          token_, [this](std::string_view bytes) { take(Stream::err, bytes); }, [this](std::string_view line) { hear(line); }),
      frames_([this](Stream stream, std::string_view bytes) { stream == Stream::err ? errors_.feed(bytes) : take(stream, bytes); }) {}

ContainerRun::~ContainerRun() {
  living_.reset();
  for (const DockerCallId id : calls_) ground_.api.forget(id);
  for (const Reactor::TimerId timer : timers_) ground_.reactor.cancel(timer);
  if (stdin_watched_) ground_.reactor.unwatch(job_.stdin_fd);
  stream_.reset();
  collection_.reset();
  if (id_.empty() && creation_) id_ = creation_->id();
  creation_.reset();
  if (id_.empty()) return;
  remove_container(ground_.api, ground_.reactor, id_, ground_.removal_time());
}

Result<std::unique_ptr<ContainerRun>> ContainerRun::create(DockerGround& ground, Job job, JobListener& listener, Done done) {
  std::unique_ptr<ContainerRun> run(new ContainerRun(ground, std::move(job), listener, std::move(done)));
  // What makes no sense is said before anything is made.
  TRY(check_docker_job(ground, run->job_, ContainerUse::job));
  TRY_ASSIGN(run->destinations_, open_destinations(run->job_));
  return run;
}

// ---- requests and timers, all of which end with us

void ContainerRun::call(DockerRequest request, std::function<void(Result<DockerReply>)> then) {
  const auto id = std::make_shared<DockerCallId>();
  *id = ground_.api.call(std::move(request), [this, id, then = std::move(then)](Result<DockerReply> reply) {
    calls_.erase(*id);
    then(std::move(reply));
  });
  calls_.insert(*id);
}

void ContainerRun::call(const char* method, const std::string& path, std::function<void(Result<DockerReply>)> then, bool waits) {
  DockerRequest request{.method = method, .path = fmt::format("/containers/{}{}", id_, path)};
  if (waits) request.silence = std::chrono::milliseconds(0);
  call(std::move(request), std::move(then));
}

void ContainerRun::schedule(Clock::duration after, std::function<void()> due) {
  const auto id = std::make_shared<Reactor::TimerId>();
  *id = ground_.reactor.schedule(Clock::now() + after, [this, id, due = std::move(due)] {
    timers_.erase(*id);
    due();
  });
  timers_.insert(*id);
}

// ---- the way up

void ContainerRun::begin() {
  creation_ = std::make_unique<ContainerCreation>(ground_, job_, keep_.empty() ? ContainerUse::job : ContainerUse::kept, token_);
  creation_->begin([this](const Result<void>& made) {
    id_ = creation_->id();
    if (own_end_) return remove();
    if (!made) {
      own_end_ = Outcome{Outcome::Kind::setup_failed, made.error().errno_value, creation_->step(), made.error().what};
      return remove();
    }
    result_.notes = creation_->spec().notes;
    attach();
  });
}

void ContainerRun::attach() {
  schedule(kSetupTime, [this] {
    if (start_ || ending_) return;
    own_end_ = Outcome{Outcome::Kind::setup_failed, ETIMEDOUT, "prepare the container"};
    remove();
  });
  DockerRequest request{.method = "POST"};
  request.path =
      fmt::format("/containers/{}/attach?stream=1&stdout=1&stderr=1{}", id_, job_.forward_stdin || !keep_.empty() ? "&stdin=1" : "");
  const auto id = std::make_shared<DockerCallId>();
  *id = ground_.api.open_stream(std::move(request), [this, id](Result<std::unique_ptr<DockerStream>> stream) {
    calls_.erase(*id);
    if (ending_) return;
    if (!stream) {
      own_end_ = Outcome{Outcome::Kind::setup_failed, stream.error().errno_value, "attach to the container", stream.error().what};
      return remove();
    }
    attached(std::move(*stream));
  });
  calls_.insert(*id);
}

void ContainerRun::attached(std::unique_ptr<DockerStream> stream) {
  stream_ = std::move(stream);
  stream_->listen(
      [this](std::string_view bytes) {
        if (const auto taken = frames_.feed(bytes); !taken) lose(taken.error().what);
      },
      [this](const Result<void>& how) { stream_ended(how); });
  start();
}

void ContainerRun::start() {
  call("POST", "/start", [this](const Result<DockerReply>& reply) {
    if (ending_) return;
    if (reply && reply->status == 204) return started();
    if (!reply) return lose(reply.error());
    own_end_ = Outcome{Outcome::Kind::setup_failed, 0, "start the container", docker_failure(*reply, "start the container").what};
    remove();
  });
}

// From here the job's own clock runs.
void ContainerRun::started() {
  start_ = Clock::now();
  if (given_up_) kill();
  wait();
  if (job_.limits.wall) {
    schedule(*job_.limits.wall,
             [this] { give_up({Outcome::Kind::timed_out, 0, "", fmt::format("wall time {}", format_duration(*job_.limits.wall))}); });
  }
  if (creation_->spec().watch_cpu) watch_cpu();
  if (creation_->spec().watch_disk) watch_disk();
  if (!keep_.empty()) return stream_->write(environment_text(creation_->job().env), true);
  if (job_.forward_stdin) forward_stdin();
}

void ContainerRun::wait() {
  call("POST", "/wait?condition=not-running", [this](const Result<DockerReply>& reply) { waited(reply); }, true);
}

// ---- while it runs

void ContainerRun::take(Stream stream, std::string_view bytes) {
  if (given_up_ && given_up_->kind == Outcome::Kind::output_limit) return;
  const auto& most = job_.limits.output_bytes;
  if (most) {
    const std::uint64_t left = *most - std::min(*most, capture_.total());
    if (bytes.size() > left) {
      bytes = bytes.substr(0, left);
      if (!bytes.empty()) capture_.add(stream, bytes), listener_->output(stream, bytes);
      return give_up({Outcome::Kind::output_limit, 0, "", fmt::format("more than {}", format_bytes(*most))});
    }
  }
  if (bytes.empty()) return;
  capture_.add(stream, bytes);
  if (!listener_->wants(stream)) {
    // Its reader is gone: what write(2) would have said to it. The other stream may go on.
    if (!std::exchange(out_broken_, true)) signal(SIGPIPE);
    return;
  }
  listener_->output(stream, bytes);
  if (listener_->backlog() > kMostBacklog) hold_back();
}

// From the witness: a piece of the report, or facts.
void ContainerRun::hear(std::string_view line) {
  const auto piece = reported_piece(line);
  if (!piece) return report_.hear(line);
  if (!piece->bytes.empty()) listener_->report(piece->bytes);
  if (piece->ends_line) listener_->report("\n");
}

// Leaves the daemon's stream unread until the listener's reader has caught up.
void ContainerRun::hold_back() {
  if (!stream_ || stream_over_ || std::exchange(holding_back_, true)) return;
  stream_->pause(true);
  schedule(kBacklogPause, [this] {
    holding_back_ = false;
    if (listener_->backlog() > kMostBacklog) return hold_back();
    if (stream_) stream_->pause(false);
  });
}

void ContainerRun::forward_stdin() {
  if (!stream_ || stream_over_ || ending_) return;
  stdin_watched_ = ground_.reactor.watch(job_.stdin_fd, [this] { read_stdin(); }).has_value();
  if (!stdin_watched_) read_stdin();  // a regular file: epoll(7) has none
}

void ContainerRun::read_stdin() {
  if (!stream_ || stream_over_ || ending_) {
    if (std::exchange(stdin_watched_, false)) ground_.reactor.unwatch(job_.stdin_fd);
    return;
  }
  const auto again = [this] {
    if (stdin_watched_) ground_.reactor.unwatch(job_.stdin_fd);
    stdin_watched_ = false;
    schedule(kBacklogPause, [this] { forward_stdin(); });
  };
  if (stream_->queued() > kMostBacklog) return again();
  std::string bytes(64u << 10, '\0');
  const ssize_t got = ::read(job_.stdin_fd, bytes.data(), bytes.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (!stdin_watched_) again();
    return;
  }
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  stream_->write(std::move(bytes), got <= 0);
  if (got > 0) {
    if (!stdin_watched_) schedule({}, [this] { read_stdin(); });
    return;
  }
  if (stdin_watched_) ground_.reactor.unwatch(job_.stdin_fd);
  stdin_watched_ = false;
}

void ContainerRun::watch_cpu() {
  call("GET", "/stats?stream=false&one-shot=true", [this](const Result<DockerReply>& reply) {
    if (ending_ || waited_) return;
    if (reply && reply->status == 200) {
      if (auto stats = parse_stats(reply->body)) {
        if (stats->cpu_us > 0) stats_ = *stats;
        if (std::chrono::microseconds(stats->cpu_us) > *job_.limits.cpu_time)
          return give_up({Outcome::Kind::timed_out, 0, "", fmt::format("CPU time {}", format_duration(*job_.limits.cpu_time))});
      }
    }
    schedule(kLook, [this] { watch_cpu(); });
  });
}

Outcome ContainerRun::disk_limit(const std::string& what) const {
  return {Outcome::Kind::disk_limit, report_.exit_status.value_or(0), "", what};
}

void ContainerRun::watch_disk() {
  // Where dockerd compares the whole image for it, it is not kept busy with that.
  schedule(std::max<Clock::duration>(kLook, kRest * size_took_), [this] {
    if (ending_ || waited_) return;
    call("GET", "/json?size=1", [this, asked = Clock::now()](const Result<DockerReply>& reply) {
      if (ending_ || waited_) return;
      size_took_ = Clock::now() - asked;
      if (reply && reply->status == 200) {
        const auto json = untrusted_object(reply->body);
        if (json && number_at(*json, "SizeRw") > *job_.limits.disk_bytes)
          return give_up(disk_limit(fmt::format("the container's writable layer has more than {}", format_bytes(*job_.limits.disk_bytes))));
      }
      watch_disk();
    });
  });
}

void ContainerRun::fall_silent() {
  ending_ = true;
  done_ = nullptr;
  stream_.reset();
}

void ContainerRun::signal(int number) {
  if (collection_) collection_->stop();
  if (ending_) return;
  if (!start_) return cancel();
  call("POST", fmt::format("/kill?signal={}", number), [](const Result<DockerReply>&) {});
}

void ContainerRun::cancel() {
  if (collection_) collection_->stop();
  if (ending_) return;
  if (!start_) {
    const bool again = own_end_.has_value();
    own_end_ = Outcome{Outcome::Kind::cancelled};
    if (creation_ && again) id_ = creation_->id();
    if (creation_ && (again || creation_->image().id.empty())) creation_.reset();  // a pull may take its time; the daemon finishes it
    if (!id_.empty() || !creation_) remove();
    return;  // else the container that is being made comes to its end, and is removed
  }
  give_up({Outcome::Kind::cancelled});
}

void ContainerRun::give_up(Outcome outcome) {
  if (ending_ || given_up_) {
    if (given_up_ && outcome.kind == Outcome::Kind::cancelled) given_up_ = std::move(outcome);
    return;
  }
  given_up_ = std::move(outcome);
  if (!waited_) kill();
}

void ContainerRun::kill() {
  if (std::exchange(killed_, true)) return;
  call("POST", "/kill?signal=KILL", [](const Result<DockerReply>&) {});
  schedule(kKillTime, [this] {
    if (!waited_) lose("the daemon did not end the container");
  });
}

void ContainerRun::lose(const Error& why) { lose(why.what, kExecutorGone); }

void ContainerRun::lose(std::string why, std::string_view step) {
  if (ending_) return;
  if (!own_end_) own_end_ = Outcome{Outcome::Kind::lost, 0, std::string(step), std::move(why)};
  remove();
}

// ---- the way down

void ContainerRun::waited(const Result<DockerReply>& reply) {
  if (ending_) return;
  if (!reply) return lose(reply.error());
  if (reply->status == 404) return lose("the container was removed from outside");
  if (reply->status != 200) return lose(docker_failure(*reply, "wait for the container").what);
  if (const auto json = untrusted_object(reply->body)) exit_code_ = static_cast<int>(number_at(*json, "StatusCode"));
  end_ = Clock::now();
  waited_ = true;
  if (stream_over_) return ended();
  await_last_bytes();
}

// Output may still be on its way, or its reader slow: as long as some comes, or waits for that reader, there is more.
void ContainerRun::await_last_bytes() {
  schedule(kLastBytes, [this, had = capture_.total()] {
    if (ending_) return;
    if (!given_up_ && (holding_back_ || capture_.total() != had)) return await_last_bytes();
    ended();
  });
}

void ContainerRun::stream_ended(const Result<void>& /*how*/) {
  stream_over_ = true;
  if (waited_) ended();  // else the daemon's word on the container comes, or that it is gone
}

void ContainerRun::ended() {
  if (std::exchange(ending_, true)) return;
  errors_.end();
  const bool size = creation_->spec().watch_disk;
  call("GET", size ? "/json?size=1" : "/json", [this](const Result<DockerReply>& reply) { inspected(reply); });
}

void ContainerRun::inspected(const Result<DockerReply>& reply) {
  const auto lost = [&](std::string why, std::string_view step = {}) {
    if (!given_up_) own_end_ = Outcome{Outcome::Kind::lost, 0, std::string(step), std::move(why)};
    remove();
  };
  if (!reply) return lost(reply.error().what, kExecutorGone);
  if (reply->status == 404) return lost("the container was removed from outside");
  const auto json = untrusted_object(reply->body);
  if (reply->status != 200 || !json) return lost(docker_failure(*reply, "inspect the container").what);
  if (const auto* state = member_if(*json, "State", &nlohmann::json::is_object)) {
    oom_killed_ = true_at(*state, "OOMKilled");
    exit_code_ = static_cast<int>(number_at(*state, "ExitCode"));
  }
  if (creation_->spec().watch_disk && !given_up_ && number_at(*json, "SizeRw") > *job_.limits.disk_bytes)
    given_up_ =
        disk_limit(fmt::format("the container's writable layer had more than {} in the end", format_bytes(*job_.limits.disk_bytes)));
  decide();
  collect();
}

void ContainerRun::decide() {
  result_.outcome = outcome();
  result_.exit_status = report_.exit_status;
  if (report_.exec_errno) result_.exit_status = kNotExecuted;
  result_.leftovers = report_.leftovers;
}

Outcome ContainerRun::outcome() const {
  using Kind = Outcome::Kind;
  if (own_end_) return *own_end_;
  if (given_up_) return *given_up_;
  if (report_.exec_errno) {
    return {Kind::setup_failed, *report_.exec_errno, "execve " + printable_name(creation_->job().argv[0])};
  }
  const auto out_of_memory = [&] {
    return Outcome{Kind::out_of_memory, 0, "", fmt::format("limit {}", format_bytes(job_.limits.memory_bytes.value_or(0)))};
  };
  if (!report_.ended) {
    if (oom_killed_) return out_of_memory();
    return {Kind::lost, 0, "",
            fmt::format("the container ended without a report of its job (exit status {}): somebody killed it", exit_code_)};
  }
  Outcome plain = report_.signal ? Outcome{Kind::signaled, *report_.signal} : Outcome{Kind::exited, report_.exit_status.value_or(0)};
  // Who reports tests ends well also when one has failed, for want of what the limit took.
  if (plain.succeeded() && !job_.report) return plain;
  if (report_.oom_kills > 0 || (oom_killed_ && plain.kind == Kind::signaled && plain.code == SIGKILL)) return out_of_memory();
  // RLIMIT_CPU, whose hard limit is the soft one: the kernel kills (setrlimit(2)).
  const auto used = std::chrono::microseconds(report_.user_cpu_us + report_.system_cpu_us);
  const bool by_cpu = plain.code == SIGXCPU || (plain.code == SIGKILL && job_.limits.cpu_time && used >= *job_.limits.cpu_time);
  if (plain.kind == Kind::signaled && by_cpu && job_.limits.cpu_time)
    return {Kind::timed_out, 0, "", fmt::format("CPU time {}", format_duration(*job_.limits.cpu_time))};
  if (report_.pids_refused > 0)
    return {Kind::too_many_processes, plain.code, "", fmt::format("limit {}, then {}", job_.limits.pids.value_or(0), words(plain))};
  if (report_.disk_full) return {Kind::disk_limit, plain.code, "", fmt::format("a writable layer was full, then {}", words(plain))};
  return plain;
}

Resources ContainerRun::resources() const {
  Resources used;
  const auto from = start_.value_or(began_);
  used.wall = std::chrono::duration_cast<std::chrono::microseconds>(end_.value_or(Clock::now()) - from);
  if (report_.ended) {
    used = resources_of(report_);
  } else if (stats_) {
    used.user_cpu = std::chrono::microseconds(stats_->user_us.value_or(stats_->cpu_us));
    used.system_cpu = std::chrono::microseconds(stats_->system_us.value_or(0));
    used.peak_memory_bytes = stats_->peak_memory_bytes;
  }
  return used;
}

void ContainerRun::collect() {
  if (job_.collect.empty()) return commit();
  Collection::Request request{
      .container = id_, .image = creation_->image().id, .label_value = ground_.label_value, .destination = job_.collect_to};
  for (std::size_t i = 0; i < job_.collect.size(); ++i) {
    CollectedPlace place{.path = job_.collect[i].substr(1)};
    for (const ContainerSpecBody::Upload& upload : creation_->spec().uploads) {
      if (upload.target != job_.collect[i]) continue;
      place.lower = upload.lower;
      place.whole = upload.volume;
    }
    if (i < destinations_.size()) place.destination_fd = destinations_[i].get();
    if (job_.collect.size() > 1) place.prefix = place.path + "/";
    request.places.push_back(std::move(place));
  }
  auto collection = Collection::begin(ground_.api, ground_.reactor, std::move(request), [this](JobResult collected) {
    result_.changes = std::move(collected.changes);
    result_.changes_truncated = collected.changes_truncated;
    result_.collect_error = std::move(collected.collect_error);
    schedule({}, [this] {
      collection_.reset();
      commit();
    });
  });
  if (!collection) {
    result_.collect_error = collection.error().what;
    return commit();
  }
  collection_ = std::move(*collection);
}

void ContainerRun::commit() {
  if (keep_.empty() || !result_.outcome.succeeded()) return remove();
  ground_.images.commit(
      id_, kept_name(keep_), {{std::string(kDockerKept), keep_}}, [this, living = std::weak_ptr<void>(living_)](Result<DockerImage> image) {
        if (living.expired()) return;
        if (image) {
          kept_ = image->id;
        } else {
          result_.outcome = Outcome{Outcome::Kind::lost, 0, "", "what the command changed can't be kept: " + image.error().what};
        }
        remove();
      });
}

void ContainerRun::remove() {
  ending_ = true;
  stream_.reset();
  if (stdin_watched_) ground_.reactor.unwatch(job_.stdin_fd);
  stdin_watched_ = false;
  if (own_end_) decide();
  if (id_.empty()) {
    schedule({}, [this] { complete(); });
    return;
  }
  DockerRequest request = container_removal(id_);
  if (own_end_) request.silence = request.lap = std::chrono::seconds(3);
  call(std::move(request), [this](const Result<DockerReply>& reply) {
    if (reply && reply->status >= 400 && reply->status != 404) result_.notes.push_back(docker_failure(*reply, "remove the container").what);
    id_.clear();  // what could not be removed is swept at the next start
    complete();
  });
}

void ContainerRun::complete() {
  result_.resources = resources();
  result_.output = capture_.take();
  if (creation_ && id_.empty()) creation_.reset();
  const Done done = std::move(done_);  // it may destroy us
  if (done) done(*this, std::move(result_));
}

}  // namespace casemate
