#include "net/http.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include <curl/curl.h>
#include <fmt/format.h>
#include <poll.h>

#include "base/terminal.h"
#include "base/units.h"
#include "net/curl_handles.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostHeaderBytes = 256u << 10;  // of an answer, with all its 1xx before it
constexpr std::size_t kMostAuthorities = 16u << 20;
constexpr std::size_t kMostReason = 200;
constexpr int kPollMs = 1000;  // libcurl's own timers cut it short

struct EndUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, EndUrl>;
using Easy = CurlEasy;
using Multi = CurlMulti;
using List = CurlList;
using Options = CurlOptions;

std::string part_of(const Url& url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
  std::string copy = text;
  curl_free(text);
  return copy;
}

bool is_readable(int fd) {
  pollfd asked{.fd = fd, .events = POLLIN, .revents = 0};
  return fd >= 0 && ::poll(&asked, 1, 0) > 0;
}

// What one request has come to; libcurl's callbacks fill it.
struct Transfer {
  std::uint64_t most_bytes = 0;
  HttpResponse answer;
  std::size_t header_bytes = 0;
  bool too_large = false;
  bool connected = false;  // and TLS is agreed on: the request's first byte is next
  std::array<char, CURL_ERROR_SIZE> reason{};
};

std::size_t take_body(char* bytes, std::size_t, std::size_t count, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  transfer.too_large = transfer.too_large || count > transfer.most_bytes - transfer.answer.body.size();
  if (transfer.too_large) return 0;
  transfer.answer.body.append(bytes, count);
  return count;
}

std::size_t take_header(char*, std::size_t, std::size_t count, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  transfer.header_bytes += count;
  transfer.too_large = transfer.too_large || transfer.header_bytes > kMostHeaderBytes;
  return transfer.too_large ? 0 : count;
}

int note_connected(void* to, char*, char*, int, int) {
  static_cast<Transfer*>(to)->connected = true;
  return CURL_PREREQFUNC_OK;
}

void set_protection(Options& to, const HttpOptions& options, const std::string& authorities) {
  to.set(CURLOPT_PROTOCOLS_STR, "http,https");
  to.set(CURLOPT_FOLLOWLOCATION, 0L);
  to.set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  to.set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  to.set(CURLOPT_SSL_VERIFYPEER, 1L);
  to.set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!authorities.empty()) {
    curl_blob blob{.data = const_cast<char*>(authorities.data()), .len = authorities.size(), .flags = CURL_BLOB_NOCOPY};
    to.set(CURLOPT_CAINFO, static_cast<char*>(nullptr));
    to.set(CURLOPT_CAPATH, static_cast<char*>(nullptr));  // Debian's libcurl looks into /etc/ssl/certs too
    to.set(CURLOPT_CAINFO_BLOB, &blob);
  }
  to.set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  to.set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  to.set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(options.most_bytes));
  to.set(CURLOPT_USERAGENT, options.user_agent.c_str());
  to.set(CURLOPT_NOSIGNAL, 1L);
  to.set(CURLOPT_QUICK_EXIT, 1L);  // an interrupted request waits for no name server
}

void set_callbacks(Options& to, Transfer& transfer) {
  to.set(CURLOPT_ERRORBUFFER, transfer.reason.data());
  to.set(CURLOPT_WRITEFUNCTION, &take_body);
  to.set(CURLOPT_WRITEDATA, &transfer);
  to.set(CURLOPT_HEADERFUNCTION, &take_header);
  to.set(CURLOPT_HEADERDATA, &transfer);
  to.set(CURLOPT_PREREQFUNCTION, &note_connected);
  to.set(CURLOPT_PREREQDATA, &transfer);
  to.set(CURLOPT_OPENSOCKETFUNCTION, &open_curl_socket);
}

void set_request(Options& to, const HttpRequest& request, const List& headers) {
  to.set(CURLOPT_URL, request.url.c_str());
  to.set(CURLOPT_HTTPHEADER, headers.get());
  if (request.method == "GET" && request.body.empty()) {
    to.set(CURLOPT_HTTPGET, 1L);
    return;
  }
  // On a kept connection that dies without a byte of an answer libcurl sends a request again, a POST too, though the server may have taken
  // it.
  to.set(CURLOPT_FRESH_CONNECT, 1L);
  to.set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  to.set(CURLOPT_POSTFIELDS, request.body.data());
  to.set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

bool has_controls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f; });
}

// Null: out of memory.
List header_list(const std::vector<std::string>& headers) {
  List list(curl_slist_append(nullptr, "Expect:"));  // no waiting for "100 Continue", which few servers say
  for (const std::string& header : headers) {
    if (list && !curl_slist_append(list.get(), header.c_str())) list.reset();
  }
  return list;
}

// Whether the server can have seen all of `request`. libcurl counts what the kernel has taken.
bool was_sent(CURL* easy, const Transfer& transfer, const HttpRequest& request) {
  long headers = 0;
  curl_off_t body = 0;
  curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &headers);
  curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &body);
  return transfer.connected && headers > 0 && static_cast<std::uint64_t>(body) >= request.body.size();
}

// Why, in libcurl's words; where those could quote a proxy's URL with its password, in fewer.
std::string reason_of(CURL* easy, const Transfer& transfer, const std::string& origin, CURLcode code) {
  long number = 0;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
  std::string reason = transfer.reason.data();
  // "Failed to connect to HOST port PORT after N ms: ...": said once is enough, where it is not a proxy's that is named there.
  const std::size_t colon = origin.rfind(':');
  const bool direct = reason.find(fmt::format(" to {} port {} ", origin.substr(0, colon), origin.substr(colon + 1))) != std::string::npos;
  if (code == CURLE_COULDNT_CONNECT && number != 0 && direct) reason = std::strerror(static_cast<int>(number));
  const bool quotes = reason.find("://") != std::string::npos || reason.find('@') != std::string::npos;
  if (reason.empty() || quotes || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_URL_MALFORMAT) reason = curl_easy_strerror(code);
  return printable_name(reason.substr(0, kMostReason));
}

bool is_unanswerable(const Transfer& transfer, CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_FILESIZE_EXCEEDED:
      return true;
    default:
      return transfer.too_large;
  }
}

HttpFailure unusable(std::string what) { return {.what = std::move(what), .sent = false, .interrupted = false, .unanswerable = true}; }

}  // namespace

struct HttpClient::Parts {
  HttpOptions options;
  std::string authorities;  // PEM; "": the system's
  Transfer transfer;        // of the request under way, or the last one: the handle knows its address
  List headers;
  Multi multi;
  Easy easy;

  // nullopt: stop_fd became readable before the end.
  std::optional<CURLcode> drive() {
    for (bool stopped = false;;) {
      int running = 0;
      if (curl_multi_perform(multi.get(), &running) != CURLM_OK) return CURLE_FAILED_INIT;
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
        if (message->msg == CURLMSG_DONE) return message->data.result;
      }
      if (stopped) return std::nullopt;
      curl_waitfd stop{.fd = options.stop_fd, .events = CURL_WAIT_POLLIN, .revents = 0};
      if (curl_multi_poll(multi.get(), &stop, options.stop_fd >= 0 ? 1 : 0, kPollMs, nullptr) != CURLM_OK) return CURLE_FAILED_INIT;
      stopped = is_readable(options.stop_fd);
    }
  }

  HttpFailure failure(const HttpRequest& request, const std::string& origin, std::optional<CURLcode> code) {
    HttpFailure failure;
    failure.sent = was_sent(easy.get(), transfer, request);
    failure.interrupted = !code;
    if (!code) {
      failure.what = fmt::format("interrupted while asking {}", origin);
      return failure;
    }
    failure.unanswerable = is_unanswerable(transfer, *code);
    if (transfer.too_large || *code == CURLE_FILESIZE_EXCEEDED) {
      failure.sent = true;
      failure.what = transfer.header_bytes > kMostHeaderBytes
                         ? fmt::format("the answer of {} has more than {} of headers", origin, format_bytes(kMostHeaderBytes))
                         : fmt::format("the answer of {} is larger than {}", origin, format_bytes(options.most_bytes));
      return failure;
    }
    const char* const step = !transfer.connected ? "could not connect to" : !failure.sent ? "could not send to" : "no whole answer from";
    failure.what = fmt::format("{} {}: {}", step, origin, reason_of(easy.get(), transfer, origin, *code));
    return failure;
  }
};

Result<std::string> http_origin(std::string_view url) {
  const Url parsed(curl_url());
  if (!parsed) return fail(ErrorCode::exhausted, "out of memory");
  const std::string text(url.substr(0, url.find('\0')));
  const CURLUcode code = curl_url_set(parsed.get(), CURLUPART_URL, text.c_str(), 0);
  const std::string scheme = part_of(parsed, CURLUPART_SCHEME);
  const std::string host = part_of(parsed, CURLUPART_HOST);
  if (code != CURLUE_OK || text.size() != url.size() || (scheme != "http" && scheme != "https") || host.empty())
    return fail(ErrorCode::invalid_input, "not an http:// or https:// URL with a host");
  return printable_name(host + ":" + part_of(parsed, CURLUPART_PORT));
}

Result<HttpClient> HttpClient::create(HttpOptions options) {
  TRY(start_curl());
  std::string authorities;
  if (!options.ca_file.empty()) {
    auto text = read_file(options.ca_file, kMostAuthorities);
    if (!text)
      return fail(ErrorCode::invalid_input, fmt::format("can't use certificates: {}", text.error().what), text.error().errno_value);
    if (text->find("-----BEGIN CERTIFICATE-----") == std::string::npos)
      return fail(ErrorCode::invalid_input, fmt::format("'{}' holds no certificate in PEM", printable_name(options.ca_file)));
    authorities = std::move(*text);
  }
  auto parts =
      std::make_unique<Parts>(std::move(options), std::move(authorities), Transfer{}, List{}, make_curl_multi(), Easy(curl_easy_init()));
  if (!parts->multi || !parts->easy) return fail(ErrorCode::exhausted, "libcurl can't start: out of memory");
  curl_multi_setopt(parts->multi.get(), CURLMOPT_MAXCONNECTS, 2L);
  return HttpClient(std::move(parts));
}

HttpClient::HttpClient(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

std::expected<HttpResponse, HttpFailure> HttpClient::send(const HttpRequest& request) {
  const auto origin = http_origin(request.url);
  if (!origin) return std::unexpected(unusable(origin.error().what));
  if (std::any_of(request.headers.begin(), request.headers.end(), has_controls))
    return std::unexpected(unusable(fmt::format("a header for {} has control characters", *origin)));
  if (is_readable(parts_->options.stop_fd))
    return std::unexpected(HttpFailure{.what = fmt::format("interrupted before asking {}", *origin), .interrupted = true});
  CURL* const easy = parts_->easy.get();
  curl_easy_reset(easy);
  Transfer& transfer = parts_->transfer = Transfer{.most_bytes = parts_->options.most_bytes};
  parts_->headers = header_list(request.headers);
  Options to{.easy = easy, .code = parts_->headers ? CURLE_OK : CURLE_OUT_OF_MEMORY};
  set_protection(to, parts_->options, parts_->authorities);
  set_callbacks(to, transfer);
  set_request(to, request, parts_->headers);
  if (to.code != CURLE_OK || curl_multi_add_handle(parts_->multi.get(), easy) != CURLM_OK)
    return std::unexpected(unusable(fmt::format("libcurl can't ask {}: {}", *origin, curl_easy_strerror(to.code))));
  const std::optional<CURLcode> code = parts_->drive();
  curl_multi_remove_handle(parts_->multi.get(), easy);
  if (code != CURLE_OK) return std::unexpected(parts_->failure(request, *origin, code));
  long status = 0;
  curl_off_t took = 0;
  char* type = nullptr;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &took);
  curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
  transfer.answer.status = static_cast<int>(status);
  transfer.answer.content_type = type ? type : "";
  transfer.answer.took = std::chrono::microseconds(took);
  return std::move(transfer.answer);
}

}  // namespace casemate
