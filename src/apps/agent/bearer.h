// bearer: the tokens that a backend hands out at a login or a refresh.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace casemate {

/// The pair that one login or refresh gives.
struct BearerTokens {
  std::string access;                     ///< visible ASCII: fit for a header
  std::string refresh;                    ///< "": none was given
  std::chrono::milliseconds lifetime{0};  ///< of `access`, from now
};

/// How long an access token lives that does not say so.
inline constexpr std::chrono::minutes kUsualLifetime{15};

/// Reads `{"type","accessToken","refreshToken"}`; nullopt: no such object, or no access token that could stand in a header. The lifetime is
/// that of a JWT (RFC 7519) by its `exp`, from its `iat` where it has one (then no clock but the backend's counts), else from `now`, the
/// Unix time; one that would be over already says that the clocks differ, and it, as a token that is no JWT, is taken to live for
/// kUsualLifetime. The signature is the backend's business.
[[nodiscard]] std::optional<BearerTokens> read_tokens(std::string_view body,
                                                      std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

}  // namespace casemate
