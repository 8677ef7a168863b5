#include "docker/call.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/units.h"
#include "docker/connection.h"
#include "docker/daemon_trouble.h"

namespace casemate {
namespace {

constexpr std::size_t kMostHeaderBytes = 64u << 10;
constexpr long kConnectMs = 10'000;

CurlList header_list(const DockerRequest& request) {
  CurlList list(curl_slist_append(nullptr, "Expect:"));  // no waiting for "100 Continue"
  const auto add = [&list](const std::string& line) {
    if (list && !curl_slist_append(list.get(), line.c_str())) list.reset();
  };
  // Else libcurl would call it a form.
  add(request.body.empty() && !request.produce ? "Content-Type:" : "Content-Type: " + request.content_type);
  for (const std::string& header : request.headers) add(header);
  return list;
}

// "Name: value" into `fields`; other lines (the status, the empty one) are none.
void take_field(std::string_view line, std::map<std::string, std::string>& fields) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || line.starts_with("HTTP/")) return;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  line.remove_prefix(colon + 1);
  const std::size_t first = line.find_first_not_of(" \t\r\n");
  const std::size_t last = line.find_last_not_of(" \t\r\n");
  fields[name] = first == std::string_view::npos ? "" : line.substr(first, last - first + 1);
}

}  // namespace

void DockerCall::set_body(CurlOptions& to) {
  if (request_.produce) {
    to.set(CURLOPT_UPLOAD, 1L);  // of unknown length: chunked
    to.set(CURLOPT_READFUNCTION, &on_read);
    to.set(CURLOPT_READDATA, this);
  } else if (request_.method == "HEAD") {
    to.set(CURLOPT_NOBODY, 1L);
    return;
  } else if (request_.method == "GET" || (request_.method == "DELETE" && request_.body.empty())) {
    to.set(CURLOPT_HTTPGET, 1L);
  } else {
    to.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    to.set(CURLOPT_POSTFIELDS, request_.body.data());
  }
  to.set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
}

Result<void> DockerCall::prepare(const DockerEndpoint& endpoint, const std::string& url) {
  easy_.reset(curl_easy_init());
  headers_ = header_list(request_);
  if (!easy_ || !headers_) return fail(ErrorCode::exhausted, "libcurl can't ask the docker daemon: out of memory");
  const long silence = request_.silence.count() > 0 ? static_cast<long>(request_.silence.count()) : kConnectMs;
  CurlOptions to{.easy = easy_.get()};
  set_endpoint(to, endpoint);
  to.set(CURLOPT_URL, url.c_str());
  to.set(CURLOPT_HTTPHEADER, headers_.get());
  to.set(CURLOPT_ERRORBUFFER, reason_.data());
  to.set(CURLOPT_PRIVATE, this);
  to.set(CURLOPT_CONNECTTIMEOUT_MS, std::min(silence, kConnectMs));
  to.set(CURLOPT_WRITEFUNCTION, &on_body);
  to.set(CURLOPT_WRITEDATA, this);
  to.set(CURLOPT_HEADERFUNCTION, &on_header);
  to.set(CURLOPT_HEADERDATA, this);
  to.set(CURLOPT_NOPROGRESS, 0L);
  to.set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  to.set(CURLOPT_XFERINFODATA, this);
  set_body(to);
  if (to.code != CURLE_OK) return fail(ErrorCode::internal, fmt::format("libcurl can't ask {}: {}", doing(), curl_easy_strerror(to.code)));
  last_byte_ = Reactor::Clock::now();
  return {};
}

bool DockerCall::take_body(std::string_view bytes) {
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (request_.stream && status >= 200 && status < 300) {
    const Result<void> taken = request_.stream(bytes);
    if (!taken) failed_ = taken.error();
    return taken.has_value();
  }
  if (bytes.size() > request_.most_bytes - reply_.body.size()) {
    nonsense_ = fmt::format("answers with more than {}", format_bytes(request_.most_bytes));
    return false;
  }
  reply_.body.append(bytes);
  return true;
}

std::size_t DockerCall::on_body(char* bytes, std::size_t, std::size_t count, void* self) {
  auto& call = *static_cast<DockerCall*>(self);
  call.last_byte_ = Reactor::Clock::now();
  call.answered_ += count;
  return !call.muted_ && call.take_body({bytes, count}) ? count : 0;
}

std::size_t DockerCall::on_header(char* bytes, std::size_t, std::size_t count, void* self) {
  auto& call = *static_cast<DockerCall*>(self);
  call.last_byte_ = Reactor::Clock::now();
  if (!call.lap_began) call.lap_began = call.last_byte_;
  call.header_bytes_ += count;
  call.answered_ += count;
  if (call.header_bytes_ > kMostHeaderBytes) {
    call.nonsense_ = fmt::format("answers with more than {} of headers", format_bytes(kMostHeaderBytes));
    return 0;
  }
  take_field({bytes, count}, call.reply_.fields);
  return count;
}

std::size_t DockerCall::on_read(char* to, std::size_t, std::size_t most, void* self) {
  auto& call = *static_cast<DockerCall*>(self);
  if (call.muted_) return CURL_READFUNC_ABORT;
  call.last_byte_ = Reactor::Clock::now();
  if (call.produced_taken_ == call.produced_.size()) {
    Result<std::string> produced = call.request_.produce();
    if (!produced) {
      call.failed_ = produced.error();
      return CURL_READFUNC_ABORT;
    }
    call.produced_ = std::move(*produced);
    call.produced_taken_ = 0;
  }
  const std::size_t count = std::min(most, call.produced_.size() - call.produced_taken_);
  std::copy_n(call.produced_.data() + call.produced_taken_, count, to);
  call.produced_taken_ += count;
  return count;
}

int DockerCall::on_progress(void* self, curl_off_t, curl_off_t down, curl_off_t, curl_off_t up) {
  auto& call = *static_cast<DockerCall*>(self);
  if (down + up != call.bytes_) call.last_byte_ = Reactor::Clock::now();
  call.bytes_ = down + up;
  return call.muted_ ? 1 : 0;
}

Result<DockerReply> DockerCall::outcome(const DockerEndpoint& endpoint, CURLcode code) {
  if (failed_) return std::unexpected(std::move(*failed_));
  if (!nonsense_.empty()) return std::unexpected(daemon_talks_nonsense(endpoint, nonsense_, doing()));
  long status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) return std::unexpected(daemon_unreachable(endpoint, easy_.get(), code, reason_.data(), doing()));
  reply_.status = static_cast<int>(status);
  if (const auto stat = reply_.fields.find("x-docker-container-path-stat"); stat != reply_.fields.end()) reply_.path_stat = stat->second;
  return std::move(reply_);
}

}  // namespace casemate
