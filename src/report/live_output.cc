#include "report/live_output.h"

#include <algorithm>

#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostWaiting = 64u << 20;
// pipe(7): a pipe that polls writable takes PIPE_BUF bytes without blocking; a terminal that does takes at least some of them.
constexpr std::size_t kWithoutBlocking = 4096;
constexpr int kPipeSize = 1 << 20;  // what any user may ask for (/proc/sys/fs/pipe-max-size)

// How many bytes at the end of `bytes` may be the beginning of a UTF-8 sequence whose rest has not arrived.
std::size_t unfinished_bytes(std::string_view bytes) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

}  // namespace

LiveOutput::LiveOutput(int fd) : fd_(fd), terminal_(::isatty(fd) == 1) {
  struct stat info{};
  if (::fstat(fd, &info) < 0) broken_ = true;
  always_ready_ = S_ISREG(info.st_mode);
  if (S_ISFIFO(info.st_mode)) ::fcntl(fd, F_SETPIPE_SZ, kPipeSize);  // refused is fine
}

void LiveOutput::add(std::string_view bytes) {
  if (bytes.empty() || broken_) return;
  if (terminal_)
    add_safe(bytes);
  else
    keep(bytes);
  write_ready();
}

void LiveOutput::add_own(std::string_view text) {
  if (broken_) return;
  keep(text);
  in_line_ = false;
  write_ready();
}

void LiveOutput::add_safe(std::string_view bytes) {
  std::string text = std::move(unfinished_);
  unfinished_.clear();
  text.append(bytes);
  const std::size_t wait = unfinished_bytes(text);
  unfinished_ = text.substr(text.size() - wait);
  text.resize(text.size() - wait);
  std::string lines;
  lines.reserve(text.size());
  for (const char byte : text) {
    if (byte == '\r')
      lines += '\n';
    else if (byte != '\n' || !after_return_)
      lines += byte;
    after_return_ = byte == '\r';
  }
  keep(printable(lines));
}

void LiveOutput::keep(std::string_view bytes) {
  const std::size_t held = waiting_.size() - taken_;
  const std::size_t room = kMostWaiting - std::min(kMostWaiting, held);
  dropped_ += bytes.size() - std::min(room, bytes.size());
  waiting_.append(bytes.substr(0, room));
  if (!waiting_.empty()) in_line_ = waiting_.back() != '\n';
}

void LiveOutput::give_up(int errno_value) {
  broken_ = true;  // the job's business goes on
  if (errno_value != EPIPE && errno_value != EBADF) problem_ = errno_value;
}

void LiveOutput::write_ready() {
  while (taken_ < waiting_.size() && !broken_) {
    pollfd ready{fd_, POLLOUT, 0};
    if (!always_ready_ && (::poll(&ready, 1, 0) <= 0 || !(ready.revents & (POLLOUT | POLLERR)))) break;
    const std::size_t left = waiting_.size() - taken_;
    const ssize_t put = ::write(fd_, waiting_.data() + taken_, always_ready_ ? left : std::min(left, kWithoutBlocking));
    if (put >= 0)
      taken_ += static_cast<std::size_t>(put);
    else if (errno == EAGAIN)
      break;
    else if (errno != EINTR)
      give_up(errno);
  }
  // Moving the rest to the front each time would cost a slow reader's backlog again and again.
  if (taken_ == waiting_.size() || taken_ > kMostWaiting) {
    waiting_.erase(0, taken_);
    taken_ = 0;
  }
}

std::size_t LiveOutput::backlog() {
  write_ready();
  return broken_ ? 0 : waiting_.size() - taken_;
}

void LiveOutput::finish() {
  if (!unfinished_.empty()) keep(printable(std::move(unfinished_)));
  unfinished_.clear();
  if (dropped_ > 0) waiting_.append(fmt::format("\n[casemate: {} bytes left out: their reader was too slow]\n", dropped_));
  dropped_ = 0;
  std::string_view rest = std::string_view(waiting_).substr(taken_);
  while (!rest.empty() && !broken_) {
    pollfd ready{fd_, POLLOUT, 0};
    if (!always_ready_) ::poll(&ready, 1, -1);  // the descriptor may be non-blocking
    const ssize_t put = ::write(fd_, rest.data(), rest.size());
    if (put >= 0)
      rest.remove_prefix(static_cast<std::size_t>(put));
    else if (errno != EINTR && errno != EAGAIN)
      give_up(errno);
  }
  waiting_.clear();
  taken_ = 0;
}

}  // namespace casemate
