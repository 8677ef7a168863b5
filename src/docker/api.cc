#include "docker/api.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "docker/call.h"
#include "docker/connection.h"
#include "docker/curl_loop.h"
#include "docker/daemon_trouble.h"
#include "docker/daemon_version.h"
#include "docker/hijack.h"

namespace casemate {
namespace {

constexpr std::uint64_t kLeastOfLap = 1024;  // bytes, DockerRequest::lap

using OpenedStream = std::function<void(Result<std::unique_ptr<DockerStream>>)>;

// What would make a request something else than it says. Paths are percent-encoded by who makes them.
bool is_clean(const DockerRequest& request) {
  const auto plain = [](char byte) { return byte > 0x20 && byte < 0x7f && byte != '#'; };
  const auto line = [](char byte) { return static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7f; };
  return request.path.starts_with('/') && std::all_of(request.path.begin(), request.path.end(), plain) &&
         std::all_of(request.method.begin(), request.method.end(), plain) &&
         std::all_of(request.content_type.begin(), request.content_type.end(), line) &&
         std::all_of(request.headers.begin(), request.headers.end(),
                     [&line](const std::string& header) { return std::all_of(header.begin(), header.end(), line); });
}

class CurlDockerApi final : public DockerApi {
 public:
  CurlDockerApi(Reactor& reactor, DockerEndpoint endpoint) : reactor_(reactor), endpoint_(std::move(endpoint)) {}
  ~CurlDockerApi() override {
    reactor_.cancel(late_);
    for (auto& [id, timer] : soon_) reactor_.cancel(timer);
    for (auto& [id, call] : calls_) reactor_.cancel(call->silence_timer);
    loop_.reset();  // before the handles in it
  }
  CurlDockerApi(const CurlDockerApi&) = delete;
  CurlDockerApi& operator=(const CurlDockerApi&) = delete;

  Result<void> open() {
    TRY_ASSIGN(sockets_, SocketEvents::create(reactor_));
    TRY_ASSIGN(loop_, CurlLoop::create(reactor_, *sockets_, [this](CURL* easy, CURLcode code) { ended(easy, code); }));
    return {};
  }

  void negotiate(std::function<void(Result<DockerVersion>)> done) override;
  [[nodiscard]] const DockerVersion& version() const override { return version_; }
  [[nodiscard]] const DockerEndpoint& endpoint() const override { return endpoint_; }
  [[nodiscard]] Reactor& reactor() const override { return reactor_; }
  DockerCallId call(DockerRequest request, DockerCall::Done done) override;
  DockerCallId open_stream(DockerRequest request, OpenedStream done) override;
  void forget(DockerCallId id) override;

 private:
  [[nodiscard]] std::string target(const std::string& path) const { return version_.api.empty() ? path : "/v" + version_.api + path; }
  // Does it in a turn of the loop of its own, unless `id` is forgotten before.
  void soon(DockerCallId id, std::function<void()> what) {
    soon_[id] = reactor_.schedule(Reactor::Clock::now(), [this, id, what = std::move(what)] {
      soon_.erase(id);
      what();
    });
  }
  Result<void> start(DockerCallId id, DockerCall& call);
  Result<void> start_stream(DockerCallId id, const DockerRequest& request, const OpenedStream& done);
  void ended(CURL* easy, CURLcode code);
  void finish(DockerCallId id, Result<DockerReply> result);
  void watch_silence(DockerCallId id, DockerCall& call);
  static bool end_lap(DockerCall& call, Reactor::Clock::time_point now);
  void ask_soon(const std::string& path, const DockerCall::Done& done);

  Reactor& reactor_;
  DockerEndpoint endpoint_;
  DockerVersion version_;
  std::shared_ptr<SocketEvents> sockets_;
  std::unique_ptr<CurlLoop> loop_;
  std::unordered_map<DockerCallId, std::unique_ptr<DockerCall>> calls_;
  std::unordered_map<CURL*, DockerCallId> by_handle_;
  std::unordered_map<DockerCallId, std::unique_ptr<Hijack>> openings_;
  std::unordered_map<DockerCallId, Reactor::TimerId> soon_;
  Reactor::TimerId late_ = 0;  // of negotiate()
  DockerCallId next_ = 1;
};

// ---- calls

DockerCallId CurlDockerApi::call(DockerRequest request, DockerCall::Done done) {
  const DockerCallId id = next_++;
  DockerCall& call = *(calls_[id] = std::make_unique<DockerCall>(std::move(request), std::move(done)));
  if (!is_clean(call.request())) {
    soon(id, [this, id] {
      finish(id, fail(ErrorCode::invalid_input, "a request to the docker daemon has a path or header that none can have"));
    });
  } else if (!loop_->may_change()) {
    soon(id, [this, id, &call] {
      if (auto started = start(id, call); !started) finish(id, std::unexpected(started.error()));
    });
  } else if (auto started = start(id, call); !started) {
    soon(id, [this, id, error = started.error()] { finish(id, std::unexpected(error)); });
  }
  return id;
}

Result<void> CurlDockerApi::start(DockerCallId id, DockerCall& call) {
  TRY(call.prepare(endpoint_, base_url(endpoint_) + target(call.request().path)));
  TRY(loop_->add(call.easy()));
  call.added = true;
  by_handle_[call.easy()] = id;
  watch_silence(id, call);
  return {};
}

void CurlDockerApi::watch_silence(DockerCallId id, DockerCall& call) {
  const auto silence = call.request().silence;
  if (silence.count() == 0) return;
  const auto lap = call.request().lap;
  auto due = call.last_byte() + silence;
  if (lap.count() > 0) due = std::min<Reactor::Clock::time_point>(due, call.lap_began.value_or(Reactor::Clock::now()) + lap);
  call.silence_timer = reactor_.schedule(due, [this, id, &call, silence, lap] {
    call.silence_timer = 0;
    const auto now = Reactor::Clock::now();
    if (now - call.last_byte() >= silence) return finish(id, std::unexpected(daemon_hangs(endpoint_, silence, call.doing())));
    if (lap.count() > 0 && !end_lap(call, now)) return finish(id, std::unexpected(daemon_dribbles(endpoint_, lap, call.doing())));
    watch_silence(id, call);
  });
}

// False: the answer came too slowly.
bool CurlDockerApi::end_lap(DockerCall& call, Reactor::Clock::time_point now) {
  if (!call.lap_began || now - *call.lap_began < call.request().lap) return true;
  const bool slow = call.answered() - call.lap_answered < kLeastOfLap;
  call.lap_began = now;
  call.lap_answered = call.answered();
  return !slow;
}

void CurlDockerApi::ended(CURL* easy, CURLcode code) {
  const auto found = by_handle_.find(easy);
  if (found == by_handle_.end()) return;
  const DockerCallId id = found->second;
  finish(id, calls_.at(id)->outcome(endpoint_, code));
}

// Not within a callback of libcurl.
void CurlDockerApi::finish(DockerCallId id, Result<DockerReply> result) {
  auto node = calls_.extract(id);
  const std::unique_ptr<DockerCall> call = std::move(node.mapped());
  reactor_.cancel(call->silence_timer);
  if (call->added) {
    by_handle_.erase(call->easy());
    loop_->remove(call->easy());
  }
  if (!call->muted()) call->take_done()(std::move(result));
}

void CurlDockerApi::forget(DockerCallId id) {
  openings_.erase(id);
  if (const auto timer = soon_.find(id); timer != soon_.end()) {
    reactor_.cancel(timer->second);
    soon_.erase(timer);
  }
  const auto found = calls_.find(id);
  if (found == calls_.end()) return;
  found->second->mute();
  if (loop_->may_change()) {
    finish(id, DockerReply{});
  } else {
    soon(id, [this, id] {
      if (calls_.contains(id)) finish(id, DockerReply{});
    });
  }
}

// ---- streams

DockerCallId CurlDockerApi::open_stream(DockerRequest request, OpenedStream done) {
  const DockerCallId id = next_++;
  soon(id, [this, id, request = std::move(request), done = std::move(done)] {
    const Result<void> started =
        is_clean(request) ? start_stream(id, request, done)
                          : fail(ErrorCode::invalid_input, "a request to the docker daemon has a path or header that none can have");
    if (!started) done(std::unexpected(started.error()));
  });
  return id;
}

Result<void> CurlDockerApi::start_stream(DockerCallId id, const DockerRequest& request, const OpenedStream& done) {
  const auto ended = [this, id, done](Result<std::unique_ptr<DockerStream>> result) {
    const auto opening = openings_.extract(id);  // lives until we have returned to it
    const OpenedStream tell = done;
    tell(std::move(result));
  };
  TRY_ASSIGN(openings_[id], Hijack::start(reactor_, sockets_, endpoint_, request, target(request.path), ended));
  return {};
}

// ---- who is there

void CurlDockerApi::negotiate(std::function<void(Result<DockerVersion>)> done) {
  version_ = {};
  const auto settle = [this](Result<DockerVersion> version, const std::function<void(Result<DockerVersion>)>& tell) {
    if (version) version_ = *version;
    tell(std::move(version));
  };
  ask_soon("/_ping", [this, done, settle](Result<DockerReply> ping) {
    if (!ping) return done(std::unexpected(ping.error()));
    const Result<std::optional<DockerVersion>> podman = podman_version(endpoint_, *ping);
    if (!podman) return done(std::unexpected(podman.error()));
    if (*podman) return settle(**podman, done);
    ask_soon("/version", [this, done, settle](Result<DockerReply> reply) {
      settle(reply ? daemon_version(endpoint_, *reply) : std::unexpected(reply.error()), done);
    });
  });
}

// A small question that any daemon answers in 5 s: one that dribbles is none either.
void CurlDockerApi::ask_soon(const std::string& path, const DockerCall::Done& done) {
  DockerRequest request;
  request.path = path;
  request.silence = std::chrono::seconds(5);
  request.most_bytes = 256u << 10;
  const DockerCallId id = call(request, [this, done](Result<DockerReply> reply) {
    reactor_.cancel(std::exchange(late_, 0));
    done(std::move(reply));
  });
  late_ = reactor_.schedule(Reactor::Clock::now() + request.silence, [this, id, path, done] {
    late_ = 0;
    forget(id);
    done(std::unexpected(daemon_hangs(endpoint_, std::chrono::seconds(5), "GET " + path)));
  });
}

}  // namespace

Result<std::unique_ptr<DockerApi>> DockerApi::create(Reactor& reactor, DockerEndpoint endpoint) {
  auto made = std::make_unique<CurlDockerApi>(reactor, std::move(endpoint));
  TRY(made->open());
  return made;
}

Result<DockerReply> call_and_wait(DockerApi& api, Reactor& reactor, DockerRequest request, int stop_fd) {
  std::optional<Result<DockerReply>> answer;
  bool stopped = false;
  const DockerCallId id = api.call(std::move(request), [&answer](Result<DockerReply> reply) { answer = std::move(reply); });
  if (stop_fd >= 0) {
    const Result<void> watched = reactor.watch(stop_fd, [&stopped] { stopped = true; });
    if (!watched) {
      api.forget(id);
      return std::unexpected(watched.error());
    }
  }
  Result<void> turned;
  while (!answer && !stopped && turned) turned = reactor.turn(std::chrono::seconds(1));
  if (stop_fd >= 0) reactor.unwatch(stop_fd);
  if (answer) return std::move(*answer);
  api.forget(id);
  if (!turned) return std::unexpected(turned.error());
  return fail(ErrorCode::cancelled, "interrupted while the docker daemon was asked");
}

DockerRequest container_removal(const std::string& id) {
  return {.method = "DELETE", .path = fmt::format("/containers/{}?force=1&v=1", id)};
}

void remove_container(DockerApi& api, Reactor& reactor, const std::string& id, std::chrono::milliseconds most) {
  DockerRequest request = container_removal(id);
  request.silence = request.lap = most;
  (void)call_and_wait(api, reactor, std::move(request));
}

}  // namespace casemate
