#include "docker/connection.h"

#include <fmt/format.h>
#include <sys/socket.h>

namespace casemate {
namespace {

constexpr long kKeepAliveIdle = 30;   // seconds until a silent tcp connection is probed
constexpr long kKeepAliveEvery = 10;  // and then

}  // namespace

std::string host_field(const DockerEndpoint& endpoint) {
  if (endpoint.local()) return "docker";
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", endpoint.host, v6 ? "]" : "", endpoint.port);
}

std::string base_url(const DockerEndpoint& endpoint) {
  return (endpoint.kind == DockerEndpoint::Kind::tls ? "https://" : "http://") + host_field(endpoint);
}

void set_endpoint(CurlOptions& to, const DockerEndpoint& endpoint) {
  to.set(CURLOPT_PROTOCOLS_STR, "http,https");
  to.set(CURLOPT_FOLLOWLOCATION, 0L);
  to.set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  to.set(CURLOPT_PROXY, "");  // nor one of the environment
  to.set(CURLOPT_NOSIGNAL, 1L);
  to.set(CURLOPT_QUICK_EXIT, 1L);
  to.set(CURLOPT_PATH_AS_IS, 1L);
  to.set(CURLOPT_USERAGENT, "casemate/" CASEMATE_VERSION);
  to.set(CURLOPT_OPENSOCKETFUNCTION, &open_curl_socket);
  if (endpoint.local()) {
    to.set(CURLOPT_UNIX_SOCKET_PATH, endpoint.path.c_str());
    return;
  }
  to.set(CURLOPT_TCP_KEEPALIVE, 1L);
  to.set(CURLOPT_TCP_KEEPIDLE, kKeepAliveIdle);
  to.set(CURLOPT_TCP_KEEPINTVL, kKeepAliveEvery);
  if (endpoint.kind != DockerEndpoint::Kind::tls) return;
  to.set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  to.set(CURLOPT_SSL_VERIFYPEER, 1L);
  to.set(CURLOPT_SSL_VERIFYHOST, 2L);
  to.set(CURLOPT_CAINFO, endpoint.ca.c_str());
  to.set(CURLOPT_CAPATH, static_cast<char*>(nullptr));  // Debian's libcurl looks into /etc/ssl/certs too
  if (endpoint.certificate.empty()) return;
  to.set(CURLOPT_SSLCERT, endpoint.certificate.c_str());
  to.set(CURLOPT_SSLKEY, endpoint.key.c_str());
}

Result<std::unique_ptr<RawConnection>> RawConnection::start(Reactor& reactor, std::shared_ptr<SocketEvents> sockets,
                                                            const DockerEndpoint& endpoint, std::chrono::milliseconds patience,
                                                            std::function<void(CURLcode)> connected) {
  std::unique_ptr<RawConnection> made(new RawConnection(std::move(sockets), endpoint.kind == DockerEndpoint::Kind::tls));
  const auto ended = [raw = made.get(), connected = std::move(connected)](CURL* easy, CURLcode code) {
    curl_socket_t socket = CURL_SOCKET_BAD;
    if (code == CURLE_OK) curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket);
    raw->fd_ = socket;
    const auto tell = connected;  // what is captured may go while it runs
    tell(code == CURLE_OK && socket == CURL_SOCKET_BAD ? CURLE_COULDNT_CONNECT : code);
  };
  TRY_ASSIGN(made->loop_, CurlLoop::create(reactor, *made->sockets_, ended));
  made->easy_.reset(curl_easy_init());
  if (!made->easy_) return fail(ErrorCode::exhausted, "libcurl can't start: out of memory");
  CurlOptions to{.easy = made->easy_.get()};
  set_endpoint(to, endpoint);
  to.set(CURLOPT_URL, base_url(endpoint).c_str());
  to.set(CURLOPT_ERRORBUFFER, made->reason_.data());
  to.set(CURLOPT_CONNECT_ONLY, 1L);
  to.set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(patience.count()));
  if (to.code != CURLE_OK) return fail(ErrorCode::internal, fmt::format("libcurl: {}", curl_easy_strerror(to.code)));
  TRY(made->loop_->add(made->easy_.get()));
  return made;
}

RawConnection::~RawConnection() {
  if (fd_ >= 0) sockets_->drop(fd_);
}

std::expected<std::optional<std::size_t>, CURLcode> RawConnection::receive(char* buffer, std::size_t size) {
  std::size_t got = 0;
  const CURLcode code = curl_easy_recv(easy_.get(), buffer, size, &got);
  if (code == CURLE_AGAIN) return std::nullopt;
  if (code != CURLE_OK) return std::unexpected(code);
  return got;
}

std::expected<std::optional<std::size_t>, CURLcode> RawConnection::send(std::string_view bytes) {
  std::size_t sent = 0;
  const CURLcode code = curl_easy_send(easy_.get(), bytes.data(), bytes.size(), &sent);
  if (code == CURLE_AGAIN) return std::nullopt;
  if (code != CURLE_OK) return std::unexpected(code);
  return sent;
}

void RawConnection::close_writing() {
  if (!tls_ && fd_ >= 0) ::shutdown(fd_, SHUT_WR);
}

void RawConnection::want(std::uint32_t events, SocketEvents::Ready ready) {
  if (fd_ < 0) return;
  if (events == 0 || !sockets_->want(fd_, events, std::move(ready))) sockets_->drop(fd_);
}

}  // namespace casemate
