// passing: descriptors that travel with messages over unix sockets (unix(7), SCM_RIGHTS), and sockets that keep messages apart.
#pragma once

#include <cstddef>
#include <utility>

#include <sys/types.h>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// The most descriptors of one message here; the kernel takes 253 (SCM_MAX_FD).
inline constexpr int kMostPassed = 16;

/// A pair of connected SOCK_SEQPACKET sockets, close-on-exec: what is sent at once is received at once.
Result<std::pair<UniqueFd, UniqueFd>> make_message_sockets();

/// Sends `size` bytes with `count` descriptors (borrowed, at most kMostPassed) as one message, never with a SIGPIPE. As sendmsg(2), but for
/// EINTR. Neither allocates nor locks: for the child after clone too.
ssize_t send_passing(int socket, const void* bytes, std::size_t size, const int* fds, int count) noexcept;

/// Receives one message of at most `size` bytes, and at most `most` of its descriptors into `fds`, close-on-exec; `count` says how many.
/// What is more is closed. As recvmsg(2), but for EINTR: 0 is the end. Neither allocates nor locks.
ssize_t receive_passing(int socket, void* bytes, std::size_t size, int* fds, int most, int& count) noexcept;

}  // namespace casemate
