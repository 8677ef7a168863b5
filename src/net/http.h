// http: requests over HTTP(S), by libcurl. One client is one connection pool of one thread; what a server answers is hostile and bounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"

namespace casemate {

/// One request.
struct HttpRequest {
  std::string method = "GET";
  std::string url;                   ///< http:// or https:// alone
  std::vector<std::string> headers;  ///< "Name: value"
  std::string body;
};

/// One answer, whole.
struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::string body;
  std::chrono::microseconds took{0};
};

/// How a request failed that got no whole answer.
struct HttpFailure {
  std::string what;          ///< one line, without secrets: "could not connect to HOST: ..."
  bool sent = false;         ///< the server may have seen the whole request: its last byte has left, and no whole answer came
  bool interrupted = false;  ///< the caller's stop_fd became readable
  /// Trying again is of no use: not a URL, a certificate that is not to be trusted, an answer that is too large.
  bool unanswerable = false;
};

/// What is the same for all requests of a client.
struct HttpOptions {
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds timeout = std::chrono::seconds(30);  ///< for the whole of a request
  std::uint64_t most_bytes = 16ull << 20;                        ///< of an answer's body
  std::string ca_file;  ///< PEM, instead of the system's; "": the system's. There is no way not to verify
  std::string user_agent = "casemate";
  int stop_fd = -1;  ///< borrowed; once it is readable (or its other end is closed), a request ends as interrupted, also a new one
};

/// "HOST:PORT" of an http:// or https:// URL, for texts: nothing else of it is fit for a log, user and password least of all. Fails with
/// invalid_input for anything else.
Result<std::string> http_origin(std::string_view url);

/// Keeps connections alive between requests. Follows no redirects; honours no proxy but what the environment names (http_proxy, no_proxy).
/// Speaks HTTP/1.1. A GET may be sent again by itself where a kept connection turns out to be dead; any other method always gets a new
/// connection, so it is sent once at most (RFC 9110, 9.2.2). The process must ignore SIGPIPE.
class HttpClient {
 public:
  /// Fails with invalid_input for a ca_file that can't be read or holds no certificate; it is read once, here.
  static Result<HttpClient> create(HttpOptions options = {});
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();
  /// Blocks until there is a whole answer, of whatever status, or a failure.
  std::expected<HttpResponse, HttpFailure> send(const HttpRequest& request);

 private:
  struct Parts;
  explicit HttpClient(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
