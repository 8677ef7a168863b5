// http_answer: the answer to a request that asks the daemon to give up HTTP on its connection (RFC 9112), which libcurl does not read for
// us. Pure, and bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// What of an answer's head decides what follows it.
struct HttpHead {
  int status = 0;
  std::size_t bytes = 0;  ///< of the head, with the empty line at its end
  std::optional<std::uint64_t> content_length;
  bool chunked = false;

  /// The connection is a raw stream from here: 101, or the plain 200 of old daemons, without a body of HTTP's.
  [[nodiscard]] bool is_raw() const { return status == 101 || (status == 200 && !chunked && !content_length); }
};

/// Bytes that a head may have, with all interim (1xx) answers before it; a longer one is an error.
inline constexpr std::size_t kMostHttpHead = 64u << 10;
/// Bytes that are kept of a refusal's body.
inline constexpr std::size_t kMostRefusal = 64u << 10;

/// The head at the start of `bytes`; nullopt: it has not ended yet. corrupt: what no HTTP/1 server says.
Result<std::optional<HttpHead>> parse_http_head(std::string_view bytes);

/// The body that `rest`, which follows the head, has so far: nullopt: more is to come (never where `ended`: then what there is counts). At
/// most kMostRefusal bytes, the rest is dropped. corrupt: chunks that are none.
Result<std::optional<std::string>> parse_http_body(const HttpHead& head, std::string_view rest, bool ended);

}  // namespace casemate
