#include "docker/hijack.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <sys/epoll.h>

#include "docker/daemon_trouble.h"
#include "docker/http_answer.h"
#include "docker/raw_stream.h"

namespace casemate {
namespace {

constexpr std::size_t kPieceBytes = 16u << 10;
constexpr std::size_t kMostAnswer = kMostHttpHead + 2 * kMostRefusal;  // chunks have lines between them

std::string request_text(const DockerEndpoint& endpoint, const DockerRequest& request, const std::string& target) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: casemate/{}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
                                 request.method, target, host_field(endpoint), CASEMATE_VERSION);
  if (!request.body.empty()) text += fmt::format("Content-Type: {}\r\n", request.content_type);
  text += fmt::format("Content-Length: {}\r\n", request.body.size());
  for (const std::string& header : request.headers) text += header + "\r\n";
  return text + "\r\n" + request.body;
}

}  // namespace

Hijack::Hijack(Reactor& reactor, const DockerEndpoint& endpoint, const DockerRequest& request, Done done)
    : reactor_(reactor),
      endpoint_(endpoint),
      doing_(request.method + " " + request.path.substr(0, request.path.find('?'))),
      silence_(request.silence),
      done_(std::move(done)) {}

Hijack::~Hijack() { reactor_.cancel(timer_); }

Result<std::unique_ptr<Hijack>> Hijack::start(Reactor& reactor, std::shared_ptr<SocketEvents> sockets, const DockerEndpoint& endpoint,
                                              const DockerRequest& request, const std::string& target, Done done) {
  std::unique_ptr<Hijack> made(new Hijack(reactor, endpoint, request, std::move(done)));
  made->out_ = request_text(endpoint, request, target);
  const auto patience = request.silence.count() > 0 ? request.silence : std::chrono::milliseconds(std::chrono::seconds(30));
  TRY_ASSIGN(made->connection_, RawConnection::start(reactor, std::move(sockets), endpoint, patience,
                                                     [raw = made.get()](CURLcode code) { raw->connected(code); }));
  made->restart_clock();
  return made;
}

void Hijack::restart_clock() {
  reactor_.cancel(std::exchange(timer_, 0));
  if (silence_.count() == 0) return;
  timer_ = reactor_.schedule(Reactor::Clock::now() + silence_, [this] {
    timer_ = 0;
    finish(std::unexpected(daemon_hangs(endpoint_, silence_, doing_)));
  });
}

void Hijack::finish(Result<std::unique_ptr<DockerStream>> result) {
  connection_.reset();
  reactor_.cancel(std::exchange(timer_, 0));
  const Done done = std::move(done_);
  done(std::move(result));  // this may be gone now
}

void Hijack::connected(CURLcode code) {
  if (code != CURLE_OK) {
    finish(std::unexpected(daemon_unreachable(endpoint_, connection_->easy(), code, connection_->reason(), doing_)));
    return;
  }
  progress();
}

void Hijack::progress() {
  connection_->want(EPOLLIN | (out_.empty() ? 0u : EPOLLOUT), [this](std::uint32_t events) {
    if (!out_.empty() && (events & EPOLLOUT) != 0) {
      send();
    } else {
      receive();
    }
  });
}

void Hijack::send() {
  const auto sent = connection_->send(out_);
  if (sent && *sent) out_.erase(0, **sent);
  if (!sent) out_.clear();  // it may have answered before it stopped to listen
  restart_clock();
  progress();
}

void Hijack::receive() {
  char piece[kPieceBytes];
  for (;;) {
    const auto got = connection_->receive(piece, sizeof piece);
    if (!got) {
      finish(std::unexpected(daemon_unreachable(endpoint_, connection_->easy(), got.error(), connection_->reason(), doing_)));
      return;
    }
    if (!*got) break;
    answer_.append(piece, **got);
    if (**got == 0 || answer_.size() > kMostAnswer) {
      take_answer(true);
      return;
    }
    // What comes after a head is the stream's, and stays where it is until somebody listens.
    if (answer_.find("\r\n\r\n") != std::string::npos) break;
  }
  take_answer(false);  // the clock goes on: a head that dribbles is none
}

void Hijack::take_answer(bool ended) {
  const auto nonsense = [this](std::string_view what) { finish(std::unexpected(daemon_talks_nonsense(endpoint_, what, doing_))); };
  const auto head = parse_http_head(answer_);
  if (!head) return nonsense(head.error().what);
  if (!*head) {
    if (ended) nonsense(answer_.empty() ? "closes the connection without an answer" : "breaks off its answer");
    return;
  }
  std::string rest = answer_.substr((*head)->bytes);
  if ((*head)->is_raw()) {
    finish(make_raw_stream(reactor_, std::move(connection_), std::move(rest)));
    return;
  }
  const auto body = parse_http_body(**head, rest, ended);
  if (!body) return nonsense(body.error().what);
  if (!*body) return;
  if ((*head)->status < 300) return nonsense("does not give up HTTP on the connection");
  DockerReply reply;
  reply.status = (*head)->status;
  reply.body = **body;
  finish(std::unexpected(docker_failure(reply, doing_)));
}

}  // namespace casemate
