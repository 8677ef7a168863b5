#include "apps/agent/report_watch.h"

#include <cstring>

#include <sys/inotify.h>

namespace casemate {

Result<ReportWatch> ReportWatch::begin(const std::string& directory) {
  UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd) return fail_errno("watch the report's directory");
  // IN_OPEN, for without another event between them the kernel makes one of two that are equal.
  if (::inotify_add_watch(fd.get(), directory.c_str(), IN_OPEN | IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0)
    return fail_errno("watch the report's directory");
  return ReportWatch(std::move(fd));
}

unsigned ReportWatch::writes(std::string_view name) {
  unsigned count = 0;
  alignas(inotify_event) char buffer[16 << 10];
  for (;;) {
    const ssize_t got = ::read(fd_.get(), buffer, sizeof buffer);
    if (got <= 0) return count;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      const char* of = buffer + at + sizeof event;
      const bool written = (event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0 && event.len > 0;
      if (written && std::string_view(of, ::strnlen(of, event.len)) == name) ++count;
      if ((event.mask & IN_Q_OVERFLOW) != 0) count += 2;  // what was lost may be any number: more than once
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
}

}  // namespace casemate
