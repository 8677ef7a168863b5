// loopback: servers on 127.0.0.1 for the tests of what speaks HTTP: one that behaves (cpp-httplib), one that does whatever a test wants,
// byte by byte, and certificates for both.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/fd.h"

namespace casemate {

/// A connection as its server has it.
class Peer {
 public:
  Peer(UniqueFd fd, int stopped) : fd_(std::move(fd)), stopped_(stopped) {}
  /// One request, head and body (by Content-Length); "" at the end of the connection, or of the server.
  std::string read_request() {
    std::string text;
    std::size_t whole = std::string::npos;
    while (text.size() < whole && wait(POLLIN)) {
      char bytes[65536];
      const ssize_t count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
      if (count <= 0) return "";
      text.append(bytes, static_cast<std::size_t>(count));
      const std::size_t head = text.find("\r\n\r\n");
      if (whole != std::string::npos || head == std::string::npos) continue;
      const std::size_t length = text.find("Content-Length: ");
      whole = head + 4 + (length < head ? std::strtoul(text.c_str() + length + 16, nullptr, 10) : 0);
    }
    return text.size() >= whole ? text : "";
  }
  /// False: the other side has gone, or the server is stopped.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = wait(POLLOUT) ? ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) : 0;
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  void answer(int status, std::string_view body) {
    send("HTTP/1.1 " + std::to_string(status) + " x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }
  /// Ends the connection by an RST.
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }
  void close() { fd_.reset(); }
  /// Until the server is stopped, or the other side goes.
  void hang() {
    char byte = 0;
    while (wait(POLLIN) && ::recv(fd_.get(), &byte, 1, 0) > 0) continue;
  }
  /// Without reading a byte.
  void wait_for_stop() const {
    pollfd stopped{stopped_, POLLIN, 0};
    ::poll(&stopped, 1, -1);
  }

 private:
  [[nodiscard]] bool wait(short events) const {
    pollfd both[2] = {{fd_.get(), events, 0}, {stopped_, POLLIN, 0}};
    return ::poll(both, 2, -1) > 0 && both[1].revents == 0;
  }
  UniqueFd fd_;
  int stopped_;
};

/// Gives each connection to `serve`, with its number from 0, in a thread of its own.
class RawServer {
 public:
  using Serve = std::function<void(Peer&, int)>;
  explicit RawServer(Serve serve)
      : serve_(std::move(serve)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), stop_(*make_pipe()) {
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) < 0 || ::listen(listener_.get(), 64) < 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) < 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    // A signal that a test sends to the process is its client's, in the thread of the test.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    acceptor_ = std::thread([this] { accept_all(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  ~RawServer() {
    stop_.write.reset();
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept_all() {
    for (;;) {
      pollfd both[2] = {{listener_.get(), POLLIN, 0}, {stop_.read.get(), POLLIN, 0}};
      if (::poll(both, 2, -1) < 0 || both[1].revents != 0) return;
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) continue;
      threads_.emplace_back([this, number = connections_++, peer = std::make_shared<Peer>(std::move(fd), stop_.read.get())] {
        serve_(*peer, number);
        peer->close();
      });
    }
  }
  Serve serve_;
  UniqueFd listener_;
  Pipe stop_;
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

/// A port of 127.0.0.1 on which nobody listens, nor will while this lives.
class DeafPort {
 public:
  DeafPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    if (::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size) < 0 ||
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size) < 0)
      std::abort();
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::string origin() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  UniqueFd fd_;
  int port_ = 0;
};

/// A httplib server (Server, SSLServer) that listens while this lives. Handlers are added before start().
template <class Server>
class Listening {
 public:
  template <class... Arguments>
  explicit Listening(Arguments&&... arguments) : server(std::forward<Arguments>(arguments)...) {
    server.set_logger([this](const auto&, const auto&) { ++requests; });
    server.set_tcp_nodelay(true);
    server.set_socket_options([](auto fd) {
      const int yes = 1;
      ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
  }
  ~Listening() {
    server.stop();
    if (thread_.joinable()) thread_.join();
  }
  void start() {
    port = server.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server.listen_after_bind(); });
    while (!server.is_running()) std::this_thread::yield();
  }
  Server server;
  int port = 0;
  std::atomic<int> requests = 0;

 private:
  std::thread thread_;
};

/// An authority and what it signed, in a directory that goes with this: ca.pem, and NAME.pem with NAME.key for `right` (127.0.0.1 and
/// localhost), `other` (other.example alone) and `self` (127.0.0.1, signed by itself).
class Certificates {
 public:
  Certificates() {
    std::string name = (std::filesystem::temp_directory_path() / "casemate_test.XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    top_ = name;
    const std::string here = "subjectAltName=IP:127.0.0.1,DNS:localhost";
    make("ca", "/CN=an authority", "basicConstraints=critical,CA:TRUE", "");
    make("right", "/CN=right", here, "ca");
    make("other", "/CN=other", "subjectAltName=DNS:other.example", "ca");
    make("self", "/CN=self", here, "");
  }
  ~Certificates() {
    std::error_code ignored;
    std::filesystem::remove_all(top_, ignored);
  }
  Certificates(const Certificates&) = delete;
  Certificates& operator=(const Certificates&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return top_ / name; }

 private:
  void make(const std::string& name, const std::string& subject, const std::string& extension, const std::string& signer) {
    std::string command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '" + subject +
                          "' -addext '" + extension + "' -keyout " + path(name + ".key") + " -out " + path(name + ".pem");
    if (!signer.empty()) command += " -addext basicConstraints=CA:FALSE -CA " + path(signer + ".pem") + " -CAkey " + path(signer + ".key");
    if (std::system((command + " >>" + path("log") + " 2>&1").c_str()) != 0)
      ADD_FAILURE() << command << "\n" << std::ifstream(path("log")).rdbuf();
  }
  std::filesystem::path top_;
};

}  // namespace casemate
