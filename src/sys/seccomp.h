// seccomp: the filter programs that a job runs under, compiled when casemate is built (cmake/seccomp_generate.cc) from seccomp_policy.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <linux/filter.h>

#include "casemate/job.h"

namespace casemate {

/// How a job's filter differs from its profile's.
struct FilterChoice {
  /// Standard profile only: the job may make and join namespaces and mount in them (a browser's sandbox, bwrap). Strict never allows that.
  bool allow_new_namespaces = false;
  /// Standard profile only: setns(2), for an interpreter whose forks enter cells; each of them gives it up.
  bool enter_namespaces = false;
  /// No cgroup holds the memory limit, a watchdog does: memfd_create is absent, because memory that no process has mapped is seen by none.
  bool memory_is_watched = false;
};

/// The program for `profile`: static data, ready for seccomp(SECCOMP_SET_MODE_FILTER) after PR_SET_NO_NEW_PRIVS. Calls of another
/// architecture or ABI (i386's int 0x80) kill the process; x32 and unknown numbers give ENOSYS.
[[nodiscard]] std::span<const sock_filter> seccomp_program(Profile profile, FilterChoice choice = {});

/// Puts the calling thread under `program` for good, and sets no_new_privs. Neither allocates nor locks: for the child after clone.
/// 0, or errno: EINVAL where the kernel has no seccomp filters.
[[nodiscard]] int install_seccomp(std::span<const sock_filter> program) noexcept;

/// The profile in words for `casemate explain`: a line for each class of calls, what happens to it and why.
[[nodiscard]] std::vector<std::string> describe(Profile profile, FilterChoice choice = {});

}  // namespace casemate
