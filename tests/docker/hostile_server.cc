#include "hostile_server.h"

#include <cstdlib>
#include <filesystem>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace casemate {
namespace {

constexpr int kTickMs = 20;

bool wait_for(int fd, short events, const std::atomic<bool>& over) {
  while (!over) {
    pollfd asked{.fd = fd, .events = events, .revents = 0};
    if (::poll(&asked, 1, kTickMs) > 0) return true;
  }
  return false;
}

}  // namespace

std::string HostilePeer::read_head() {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char byte = 0;
    if (!wait_for(fd_, POLLIN, over_) || ::recv(fd_, &byte, 1, 0) <= 0) return "";
    head += byte;
  }
  return head;
}

std::string HostilePeer::read_all() {
  std::string all;
  char piece[4096];
  for (;;) {
    if (!wait_for(fd_, POLLIN, over_)) return all;
    const ssize_t got = ::recv(fd_, piece, sizeof piece, 0);
    if (got <= 0) return all;
    all.append(piece, static_cast<std::size_t>(got));
  }
}

bool HostilePeer::say(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!wait_for(fd_, POLLOUT, over_)) return false;
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void HostilePeer::hang() { read_all(); }

HostileServer::HostileServer(Script script, bool tcp) : script_(std::move(script)) {
  listening_ = UniqueFd(::socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (tcp) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ::getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    endpoint_ = *parse_docker_host(fmt::format("tcp://127.0.0.1:{}", ntohs(address.sin_port)), false, "");
  } else {
    directory_ = std::filesystem::temp_directory_path() / "casemate_hostile.XXXXXX";
    EXPECT_NE(::mkdtemp(directory_.data()), nullptr);
    endpoint_ = *parse_docker_host("unix://" + directory_ + "/s", false, "");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    endpoint_.path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_EQ(::listen(listening_.get(), 64), 0);
  thread_ = std::thread([this] { serve(); });
}

HostileServer::~HostileServer() {
  over_ = true;
  thread_.join();
  for (std::thread& peer : peers_) peer.join();
  std::error_code problem;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, problem);
}

void HostileServer::serve() {
  while (wait_for(listening_.get(), POLLIN, over_)) {
    const int fd = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    ++connections_;
    peers_.emplace_back([this, fd] {
      const UniqueFd owned(fd);
      HostilePeer peer(fd, over_);
      script_(peer);
    });
  }
}

std::string http_answer(int status, std::string_view body, std::string_view more_fields) {
  return fmt::format("HTTP/1.1 {} Word\r\n{}Content-Length: {}\r\n\r\n{}", status, more_fields, body.size(), body);
}

}  // namespace casemate
