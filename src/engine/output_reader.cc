#include "engine/output_reader.h"

#include <algorithm>
#include <utility>

#include <sys/ioctl.h>

namespace casemate {
namespace {

constexpr std::size_t kMostBacklog = 1 << 20;
constexpr auto kBacklogPause = std::chrono::milliseconds(5);
constexpr std::uint64_t kMostOfTerminal = 1 << 20;

thread_local char read_buffer[64 << 10];  // an engine is one thread's; what is read is passed on before the next read

}  // namespace

std::size_t bytes_in(const UniqueFd& pipe) {
  int count = 0;
  return pipe && ::ioctl(pipe.get(), FIONREAD, &count) == 0 && count > 0 ? static_cast<std::size_t>(count) : 0;
}

OutputReader::OutputReader(Reactor& reactor, Ends ends, JobListener& listener, Capture& capture, std::optional<std::uint64_t> limit,
                           std::function<void()> give_up)
    : reactor_(reactor), ends_(ends), listener_(listener), capture_(capture), limit_(limit), give_up_(std::move(give_up)) {}

Result<void> OutputReader::watch() {
  if (ends_.out) TRY(reactor_.watch(ends_.out.get(), [this] { ready(Stream::out, ends_.out); }));
  if (ends_.err) TRY(reactor_.watch(ends_.err.get(), [this] { ready(Stream::err, ends_.err); }));
  return {};
}

void OutputReader::stop() {
  if (ends_.out) reactor_.unwatch(ends_.out.get());
  if (ends_.err) reactor_.unwatch(ends_.err.get());
  if (pause_) reactor_.cancel(*pause_);
  pause_.reset();
}

void OutputReader::ready(Stream stream, UniqueFd& fd) {
  if (!take(stream, fd) || !listener_.wants(stream)) {
    reactor_.unwatch(fd.get());
    fd.reset();
  }
  if (listener_.backlog() > kMostBacklog) pause();
}

// Leaves the pipes unread until the listener's reader has caught up.
void OutputReader::pause() {
  stop();
  pause_ = reactor_.schedule(Reactor::Clock::now() + kBacklogPause, [this] {
    pause_.reset();
    if (listener_.backlog() > kMostBacklog) return pause();
    if (!watch()) give_up_();
  });
}

// One read; false at the end of the stream.
bool OutputReader::take(Stream stream, UniqueFd& fd) {
  const ssize_t got = ::read(fd.get(), read_buffer, sizeof read_buffer);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  std::string_view bytes(read_buffer, static_cast<std::size_t>(got));
  if (limit_) {
    const std::uint64_t left = *limit_ - std::min(*limit_, capture_.total());
    if (bytes.size() > left) {
      bytes = bytes.substr(0, left);
      over_limit_ = true;
      give_up_();
    }
  }
  if (bytes.empty()) return true;
  capture_.add(stream, bytes);
  listener_.output(stream, bytes);
  return true;
}

void OutputReader::drain(Stream stream, UniqueFd& fd) {
  const std::uint64_t enough = capture_.total() + bytes_in(fd);
  while (fd && !over_limit_ && capture_.total() < enough) {
    const std::uint64_t before = capture_.total();
    if (!take(stream, fd) || capture_.total() == before) break;
  }
}

void OutputReader::drain() {
  drain(Stream::out, ends_.out);
  drain(Stream::err, ends_.err);
}

void OutputReader::drain_terminal() {
  const std::uint64_t enough = capture_.total() + kMostOfTerminal;
  while (ends_.out && !over_limit_ && capture_.total() < enough) {
    const std::uint64_t before = capture_.total();
    if (!take(Stream::out, ends_.out) || capture_.total() == before) break;
  }
}

}  // namespace casemate
