// call: one request to the daemon on a handle of libcurl, and what has come of its answer.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "docker/api.h"
#include "docker/curl_loop.h"
#include "engine/reactor.h"

namespace casemate {

/// A call under way. libcurl's callbacks know its address.
class DockerCall {
 public:
  using Done = std::function<void(Result<DockerReply>)>;

  DockerCall(DockerRequest request, Done done) : request_(std::move(request)), done_(std::move(done)) {}
  DockerCall(const DockerCall&) = delete;
  DockerCall& operator=(const DockerCall&) = delete;

  /// Makes the handle ready for `url`. internal, exhausted: libcurl can't.
  Result<void> prepare(const DockerEndpoint& endpoint, const std::string& url);
  /// What a handle that came to its end with `code` means.
  Result<DockerReply> outcome(const DockerEndpoint& endpoint, CURLcode code);
  [[nodiscard]] CURL* easy() const { return easy_.get(); }
  [[nodiscard]] const DockerRequest& request() const { return request_; }
  /// "GET /version", for messages.
  [[nodiscard]] std::string doing() const { return request_.method + " " + request_.path.substr(0, request_.path.find('?')); }
  /// When a byte last went one way or the other.
  [[nodiscard]] Reactor::Clock::time_point last_byte() const { return last_byte_; }
  /// Bytes of the answer, with its head.
  [[nodiscard]] std::uint64_t answered() const { return answered_; }
  [[nodiscard]] Done take_done() { return std::move(done_); }
  /// From here on nothing that comes is handed on, and the transfer ends by itself.
  void mute() { muted_ = true; }
  [[nodiscard]] bool muted() const { return muted_; }

  Reactor::TimerId silence_timer = 0;
  std::optional<Reactor::Clock::time_point> lap_began;  ///< DockerRequest::lap; the first with the answer
  std::uint64_t lap_answered = 0;                       ///< answered() then
  bool added = false;                                   ///< to the loop

 private:
  static std::size_t on_body(char* bytes, std::size_t, std::size_t count, void* self);
  static std::size_t on_header(char* bytes, std::size_t, std::size_t count, void* self);
  static std::size_t on_read(char* to, std::size_t, std::size_t most, void* self);
  static int on_progress(void* self, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up);
  bool take_body(std::string_view bytes);
  void set_body(CurlOptions& to);

  DockerRequest request_;
  Done done_;
  CurlList headers_;
  std::array<char, CURL_ERROR_SIZE> reason_{};
  DockerReply reply_;
  std::size_t header_bytes_ = 0;
  std::uint64_t answered_ = 0;
  std::optional<Error> failed_;  // of our own making, and why the transfer was ended
  std::string nonsense_;         // the same, where the daemon is at fault
  std::string produced_;
  std::size_t produced_taken_ = 0;
  curl_off_t bytes_ = 0;
  bool muted_ = false;
  Reactor::Clock::time_point last_byte_ = Reactor::Clock::now();
  CurlEasy easy_;
};

}  // namespace casemate
