#include "witness/user_namespace.h"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "sys/fd.h"

namespace casemate {
namespace {

// A file of /proc that takes one write(2) whole. 0 or the errno.
int put(const char* path, const std::string& text) {
  const UniqueFd file(::open(path, O_WRONLY | O_CLOEXEC));
  if (!file) return errno;
  return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
}

}  // namespace

int enter_user_namespace(int more) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER | more) < 0) return errno;
  (void)put("/proc/self/setgroups", "deny");
  if (const int problem = put("/proc/self/uid_map", fmt::format("{0} {0} 1", uid))) return problem;
  return put("/proc/self/gid_map", fmt::format("{0} {0} 1", gid));
}

}  // namespace casemate
