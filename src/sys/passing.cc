#include "sys/passing.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

namespace casemate {

Result<std::pair<UniqueFd, UniqueFd>> make_message_sockets() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return fail_errno("make a socket pair");
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

ssize_t send_passing(int socket, const void* bytes, std::size_t size, const int* fds, int count) noexcept {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostPassed * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (count > 0) {
    const std::size_t room = static_cast<std::size_t>(count) * sizeof(int);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(room);
    cmsghdr* attached = CMSG_FIRSTHDR(&header);
    attached->cmsg_level = SOL_SOCKET;
    attached->cmsg_type = SCM_RIGHTS;
    attached->cmsg_len = CMSG_LEN(room);
    std::memcpy(CMSG_DATA(attached), fds, room);
  }
  ssize_t sent;
  while ((sent = ::sendmsg(socket, &header, MSG_NOSIGNAL)) < 0 && errno == EINTR) {
  }
  return sent;
}

ssize_t receive_passing(int socket, void* bytes, std::size_t size, int* fds, int most, int& count) noexcept {
  iovec part{bytes, size};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostPassed * sizeof(int))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t got;
  while ((got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  count = 0;
  const cmsghdr* attached = got < 0 ? nullptr : CMSG_FIRSTHDR(&header);
  if (!attached || attached->cmsg_level != SOL_SOCKET || attached->cmsg_type != SCM_RIGHTS) return got;
  for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= attached->cmsg_len; at += sizeof(int)) {
    int fd;
    std::memcpy(&fd, reinterpret_cast<const char*>(attached) + at, sizeof fd);
    if (count < most) {
      fds[count++] = fd;
    } else {
      ::close(fd);
    }
  }
  return got;
}

}  // namespace casemate
