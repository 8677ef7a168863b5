// daemon_trouble: what has gone wrong between us and a daemon, in one line that says what to do.
#pragma once

#include <chrono>
#include <string_view>

#include "casemate/result.h"
#include "docker/endpoint.h"
#include "net/curl_handles.h"

namespace casemate {

/// Error::where of all troubles with the daemon itself.
inline constexpr const char* kDockerDaemon = "docker daemon";

/// libcurl's failure `code` of `easy`; `reason` is its CURLOPT_ERRORBUFFER, `doing` the request ("GET /version"). not_found: nobody
/// listens; refused: no permission, or certificates; corrupt: no HTTP; system: it broke off.
[[nodiscard]] Error daemon_unreachable(const DockerEndpoint& endpoint, CURL* easy, CURLcode code, std::string_view reason,
                                       std::string_view doing);
/// It has said nothing for `silence`.
[[nodiscard]] Error daemon_hangs(const DockerEndpoint& endpoint, std::chrono::milliseconds silence, std::string_view doing);
/// Its answer came at less than 1 KiB in a `lap`.
[[nodiscard]] Error daemon_dribbles(const DockerEndpoint& endpoint, std::chrono::milliseconds lap, std::string_view doing);
/// It answers, but not as a daemon does: `what` follows "what listens at X".
[[nodiscard]] Error daemon_talks_nonsense(const DockerEndpoint& endpoint, std::string_view what, std::string_view doing);

}  // namespace casemate
