// connection: how libcurl reaches a daemon, and a connection to one on which libcurl speaks no HTTP.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "docker/curl_loop.h"
#include "docker/endpoint.h"

namespace casemate {

/// "http://docker" (unix_socket), "https://host:2376": what URLs begin with.
[[nodiscard]] std::string base_url(const DockerEndpoint& endpoint);
/// "docker", "host:2376": the Host field.
[[nodiscard]] std::string host_field(const DockerEndpoint& endpoint);
/// The options of every handle to this daemon: where it is, certificates (always verified), no proxies, no redirects, HTTP/1.1.
void set_endpoint(CurlOptions& to, const DockerEndpoint& endpoint);

/// A connection that libcurl has made (CURLOPT_CONNECT_ONLY) and keeps open for us. Closed by the destructor.
class RawConnection {
 public:
  /// Calls `connected` once, from the reactor; it may destroy the connection.
  static Result<std::unique_ptr<RawConnection>> start(Reactor& reactor, std::shared_ptr<SocketEvents> sockets,
                                                      const DockerEndpoint& endpoint, std::chrono::milliseconds patience,
                                                      std::function<void(CURLcode)> connected);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  /// Bytes read into `buffer`; 0: the other end has ended; nullopt: nothing now.
  std::expected<std::optional<std::size_t>, CURLcode> receive(char* buffer, std::size_t size);
  /// Bytes taken; nullopt: none now.
  std::expected<std::optional<std::size_t>, CURLcode> send(std::string_view bytes);
  /// shutdown(2) of our direction; nothing where the connection is TLS.
  void close_writing();
  /// Calls `ready` as SocketEvents does; 0: never.
  void want(std::uint32_t events, SocketEvents::Ready ready);
  [[nodiscard]] bool is_tls() const { return tls_; }
  [[nodiscard]] CURL* easy() const { return easy_.get(); }
  /// libcurl's words for the last failure.
  [[nodiscard]] std::string_view reason() const { return reason_.data(); }

 private:
  RawConnection(std::shared_ptr<SocketEvents> sockets, bool tls) : sockets_(std::move(sockets)), tls_(tls) {}

  std::shared_ptr<SocketEvents> sockets_;
  bool tls_;
  int fd_ = -1;
  std::array<char, CURL_ERROR_SIZE> reason_{};
  // A loop of its own: in a shared one libcurl's search for connections that have died would take this one for idle, and close it.
  std::unique_ptr<CurlLoop> loop_;
  CurlEasy easy_;
};

}  // namespace casemate
