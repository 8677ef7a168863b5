// curl_handles: owners of libcurl's handles, and what all of them have in common here.
#pragma once

#include <memory>

#include <curl/curl.h>

#include "casemate/result.h"

namespace casemate {

/// Ends a handle of libcurl by the function that is for its kind.
struct EndCurl {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
/// The same for a multi handle, which is the same type as an easy one, void.
struct EndCurlMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
using CurlEasy = std::unique_ptr<CURL, EndCurl>;
using CurlMulti = std::unique_ptr<CURLM, EndCurlMulti>;
using CurlList = std::unique_ptr<curl_slist, EndCurl>;

/// curl_global_init(3), once for the process.
Result<void> start_curl();

/// As curl_multi_init(3), but the pair of sockets by which it can be woken is closed on exec too. Null: out of memory.
[[nodiscard]] CurlMulti make_curl_multi();

/// CURLOPT_OPENSOCKETFUNCTION: libcurl 7.88 opens its sockets without O_CLOEXEC, and no program of ours must inherit one.
curl_socket_t open_curl_socket(void*, curlsocktype, curl_sockaddr* address);

/// Options of a handle; the first that can't be set counts.
struct CurlOptions {
  CURL* easy;
  CURLcode code = CURLE_OK;
  template <class Value>
  void set(CURLoption option, Value value) {
    if (code == CURLE_OK) code = curl_easy_setopt(easy, option, value);
  }
};

}  // namespace casemate
