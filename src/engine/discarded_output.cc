#include "engine/discarded_output.h"

#include <cerrno>
#include <iterator>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace casemate {
namespace {

constexpr std::size_t kMostEnds = 64;
constexpr auto kPause = std::chrono::milliseconds(5);  // after as much as a pipe holds

bool nobody_writes(int fd) {
  pollfd end{fd, POLLIN, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & (POLLIN | POLLHUP)) == POLLHUP;
}

}  // namespace

void DiscardedOutput::close_all() {
  while (!ends_.empty()) remove(ends_.begin());
}

void DiscardedOutput::take(UniqueFd end) {
  if (!end || nobody_writes(end.get())) return;
  if (ends_.size() >= kMostEnds) remove(ends_.begin());
  ends_.push_back({std::move(end), {}});
  watch(std::prev(ends_.end()));
}

void DiscardedOutput::watch(Place end) {
  if (!reactor_.watch(end->fd.get(), [this, end] { read(end); })) remove(end);
}

void DiscardedOutput::read(Place end) {
  char buffer[16 << 10];
  ssize_t got = 0;
  std::size_t all = 0;
  while (all < (64u << 10) && (got = ::read(end->fd.get(), buffer, sizeof buffer)) > 0) all += static_cast<std::size_t>(got);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return remove(end);
  reactor_.unwatch(end->fd.get());
  end->pause = reactor_.schedule(Reactor::Clock::now() + kPause, [this, end] {
    end->pause.reset();
    watch(end);
  });
}

void DiscardedOutput::remove(Place end) {
  reactor_.unwatch(end->fd.get());
  if (end->pause) reactor_.cancel(*end->pause);
  ends_.erase(end);
}

}  // namespace casemate
