#include "docker/raw_stream.h"

#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <sys/epoll.h>

#include "base/terminal.h"
#include "docker/daemon_trouble.h"

namespace casemate {
namespace {

constexpr std::size_t kPieceBytes = 64u << 10;
constexpr int kMostPieces = 16;                // in a row: others wait for the loop too
constexpr std::size_t kSentBytes = 256 << 10;  // that may stay in front of the queue

class RawStream final : public DockerStream {
 public:
  RawStream(Reactor& reactor, std::unique_ptr<RawConnection> connection, std::string first)
      : reactor_(reactor), connection_(std::move(connection)), first_(std::move(first)) {}
  ~RawStream() override {
    *gone_ = true;
    reactor_.cancel(timer_);
  }
  RawStream(const RawStream&) = delete;
  RawStream& operator=(const RawStream&) = delete;

  void listen(std::function<void(std::string_view)> arrived, std::function<void(Result<void>)> ended) override {
    arrived_ = std::move(arrived);
    ended_ = std::move(ended);
    read_soon();
    rearm();
  }

  void pause(bool paused) override {
    if (std::exchange(paused_, paused) && !paused) read_soon();
    rearm();
  }

  void write(std::string bytes, bool close_after) override {
    if (closing_ || over_) return;
    out_ += bytes;
    closing_ = close_after;
    rearm();
  }

  [[nodiscard]] std::size_t queued() const override { return out_.size() - sent_; }
  [[nodiscard]] bool can_close_writing() const override { return !connection_->is_tls(); }

 private:
  [[nodiscard]] bool reading() const { return ended_ && !paused_ && !over_; }
  [[nodiscard]] bool writing() const { return !over_ && (queued() > 0 || (closing_ && !closed_)); }

  void rearm() {
    const std::uint32_t events = (reading() ? EPOLLIN : 0u) | (writing() ? EPOLLOUT : 0u);
    if (events == wanted_) return;
    wanted_ = events;
    connection_->want(events, [this](std::uint32_t ready) {
      if ((ready & (EPOLLOUT | EPOLLERR)) != 0 && writing()) send();
      if ((ready & ~EPOLLOUT) != 0 && reading()) receive();
    });
  }

  // What TLS, or we, have read already is told by no event.
  void read_soon() {
    if (timer_ != 0 || over_) return;
    timer_ = reactor_.schedule(Reactor::Clock::now(), [this] {
      timer_ = 0;
      if (reading()) receive();
    });
  }

  void send() {
    while (queued() > 0) {
      const auto sent = connection_->send(std::string_view(out_).substr(sent_));
      if (!sent) {  // nobody takes it any more; what the other end has said before it went is still to be read
        out_.clear();
        sent_ = 0;
        closing_ = closed_ = true;
        break;
      }
      if (!*sent) break;
      sent_ += **sent;
    }
    if (queued() == 0 || sent_ > kSentBytes) out_.erase(0, std::exchange(sent_, 0));
    if (queued() == 0 && closing_ && !closed_) {
      closed_ = true;
      connection_->close_writing();
    }
    rearm();
  }

  void receive() {
    const auto gone = gone_;
    const auto arrived = arrived_;  // it may destroy us, and itself with us
    if (!first_.empty()) {
      const std::string first = std::move(first_);
      first_.clear();
      arrived(first);
      if (*gone) return;
    }
    const auto piece = std::make_unique<std::array<char, kPieceBytes>>();
    for (int i = 0; i < kMostPieces && reading(); ++i) {
      const auto got = connection_->receive(piece->data(), piece->size());
      if (!got) return finish(failure(got.error()));
      if (!*got) return;
      if (**got == 0) return finish({});
      arrived({piece->data(), **got});
      if (*gone) return;
    }
    if (reading()) read_soon();
  }

  // A daemon that closes while some of what we wrote is unread resets the connection: the end of a container that did not read its stdin.
  Result<void> failure(CURLcode code) {
    long number = 0;
    curl_easy_getinfo(connection_->easy(), CURLINFO_OS_ERRNO, &number);
    if (number == ECONNRESET && !connection_->is_tls()) return {};
    const std::string_view reason = connection_->reason().empty() ? curl_easy_strerror(code) : connection_->reason();
    return fail(ErrorCode::system, fmt::format("the stream from the docker daemon broke off: {}", printable_name(reason.substr(0, 200))),
                static_cast<int>(number), kDockerDaemon);
  }

  void finish(Result<void> result) {
    over_ = true;
    rearm();
    const auto ended = std::move(ended_);
    ended(std::move(result));  // this may be gone now
  }

  Reactor& reactor_;
  std::unique_ptr<RawConnection> connection_;
  std::string first_;
  std::string out_;
  std::size_t sent_ = 0;  // of out_
  std::function<void(std::string_view)> arrived_;
  std::function<void(Result<void>)> ended_;
  Reactor::TimerId timer_ = 0;
  std::uint32_t wanted_ = 0;
  bool paused_ = false;
  bool closing_ = false;  // the end of our writing is queued
  bool closed_ = false;   // and done
  bool over_ = false;
  std::shared_ptr<bool> gone_ = std::make_shared<bool>(false);
};

}  // namespace

std::unique_ptr<DockerStream> make_raw_stream(Reactor& reactor, std::unique_ptr<RawConnection> connection, std::string first) {
  // Whoever waited for the answer's head is not asked any more.
  connection->want(0, {});
  return std::make_unique<RawStream>(reactor, std::move(connection), std::move(first));
}

}  // namespace casemate
