#include "sys/seccomp.h"

#include <cerrno>
#include <string_view>

#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_profiles.inc"
#include "sys/seccomp_policy.h"

namespace casemate {
namespace {

std::string_view words(CallVerdict verdict) {
  switch (verdict) {
    case CallVerdict::allow:
      return "allowed";
    case CallVerdict::refuse:
      return "EPERM";
    case CallVerdict::absent:
      return "ENOSYS";
    case CallVerdict::clone_flags:
    case CallVerdict::unshare_flags:
      return "allowed, EPERM for new namespaces";
    case CallVerdict::terminal_command:
      return "allowed, EPERM for TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS";
    case CallVerdict::socket_family:
      return "allowed for unix, inet, inet6, netlink, else EAFNOSUPPORT";
    case CallVerdict::socket_family_strict:
      return "allowed for unix, inet, inet6 (none raw) and netlink route, else EAFNOSUPPORT or EPERM";
    case CallVerdict::mode_second:
    case CallVerdict::mode_third:
    case CallVerdict::open_mode:
    case CallVerdict::openat_mode:
      return "allowed, EPERM for set-id bits";
    case CallVerdict::personality:
      return "allowed for 0, ADDR_NO_RANDOMIZE and the query, else EPERM";
    case CallVerdict::personality_strict:
      return "allowed for 0 and the query, else EPERM";
    case CallVerdict::not_init:
    case CallVerdict::not_init_priority:
      return "allowed, EPERM for the cell's init";
  }
  return "?";
}

}  // namespace

std::span<const sock_filter> seccomp_program(Profile profile, FilterChoice choice) {
  using Filter = std::span<const sock_filter>;
  if (profile == Profile::strict) return choice.memory_is_watched ? Filter(kStrictWatchedProgram) : Filter(kStrictProgram);
  if (choice.allow_new_namespaces) return choice.memory_is_watched ? Filter(kNestingWatchedProgram) : Filter(kNestingProgram);
  if (choice.enter_namespaces) return choice.memory_is_watched ? Filter(kEnteringWatchedProgram) : Filter(kEnteringProgram);
  return choice.memory_is_watched ? Filter(kStandardWatchedProgram) : Filter(kStandardProgram);
}

int install_seccomp(std::span<const sock_filter> program) noexcept {
  const sock_fprog description = {static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &description) != 0) return errno;
  return 0;
}

std::vector<std::string> describe(Profile profile, FilterChoice choice) {
  const bool strict = profile == Profile::strict;
  std::vector<std::string> lines;
  for (const SyscallClass& kind : kSyscallClasses) {
    CallVerdict verdict = strict ? kind.strict : kind.standard;
    if (kind.nesting && choice.allow_new_namespaces && !strict) verdict = CallVerdict::allow;
    if (kind.entering && choice.enter_namespaces && !strict) verdict = CallVerdict::allow;
    if (kind.hides_memory && choice.memory_is_watched) verdict = CallVerdict::absent;
    lines.push_back(fmt::format("{}: {} ({})", kind.name, words(verdict), kind.reason));
  }
  lines.emplace_back("all other numbers: ENOSYS (new calls are let in when somebody has looked at them)");
  lines.emplace_back("other architectures: the process is killed with SIGSYS");
  return lines;
}

}  // namespace casemate
