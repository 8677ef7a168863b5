// seccomp: the filter programs that a job runs under, compiled when casemate is built (cmake/seccomp_generate.cc) from seccomp_policy.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <linux/filter.h>

#include "casemate/job.h"

namespace casemate {

/// The program for `profile`: static data, ready for seccomp(SECCOMP_SET_MODE_FILTER) after PR_SET_NO_NEW_PRIVS. Calls of another
/// architecture or ABI (i386's int 0x80) kill the process; x32 and unknown numbers give ENOSYS. With `allow_new_namespaces` a job of the
/// standard profile may also make and join namespaces and mount in them (a browser's sandbox, bwrap); the strict profile never allows that.
[[nodiscard]] std::span<const sock_filter> seccomp_program(Profile profile, bool allow_new_namespaces = false);

/// Puts the calling thread under `program` for good, and sets no_new_privs. Neither allocates nor locks: for the child after clone.
/// 0, or errno: EINVAL where the kernel has no seccomp filters.
[[nodiscard]] int install_seccomp(std::span<const sock_filter> program) noexcept;

/// The profile in words for `casemate explain`: a line for each class of calls, what happens to it and why.
[[nodiscard]] std::vector<std::string> describe(Profile profile, bool allow_new_namespaces = false);

}  // namespace casemate
