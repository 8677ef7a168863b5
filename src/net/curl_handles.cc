#include "net/curl_handles.h"

#include <cstdlib>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

namespace casemate {
namespace {

std::set<int> descriptors() {
  std::set<int> all;
  std::error_code problem;
  for (std::filesystem::directory_iterator at("/proc/self/fd", problem), end; !problem && at != end; at.increment(problem))
    all.insert(std::atoi(at->path().filename().c_str()));
  std::erase_if(all, [](int fd) { return ::fcntl(fd, F_GETFD) < 0; });  // the one it was read by
  return all;
}

}  // namespace

Result<void> start_curl() {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return fail(ErrorCode::internal, fmt::format("libcurl can't start: {}", curl_easy_strerror(ready)));
  return {};
}

CurlMulti make_curl_multi() {
  const std::set<int> before = descriptors();
  CurlMulti multi(curl_multi_init());
  for (const int fd : descriptors()) {
    if (!before.contains(fd)) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return multi;
}

curl_socket_t open_curl_socket(void*, curlsocktype, curl_sockaddr* address) {
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace casemate
