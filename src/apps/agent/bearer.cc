#include "apps/agent/bearer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include <openssl/evp.h>

#include "base/untrusted_json.h"

namespace casemate {
namespace {

using Json = nlohmann::json;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kMostToken = 16u << 10;
constexpr JsonBounds kBounds{.depth = 8, .values = 1000};
constexpr std::chrono::hours kMostLifetime{24 * 365};

// base64url without padding (RFC 4648, 5); "" if it is none.
std::string decode(std::string_view text) {
  std::string padded(text);
  std::replace(padded.begin(), padded.end(), '-', '+');
  std::replace(padded.begin(), padded.end(), '_', '/');
  while (padded.size() % 4 != 0) padded += '=';
  std::string bytes(padded.size() / 4 * 3, '\0');
  const int count = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), reinterpret_cast<const unsigned char*>(padded.data()),
                                    static_cast<int>(padded.size()));
  if (count < 0) return "";
  bytes.resize(static_cast<std::size_t>(count) - std::min<std::size_t>(padded.size() - text.size(), static_cast<std::size_t>(count)));
  return bytes;
}

// A number of seconds since 1970; NaN if it is none.
Seconds moment(const Json& claims, const char* key) {
  const Json* value = member_if(claims, key, &Json::is_number);
  return Seconds(value ? value->get<double>() : std::numeric_limits<double>::quiet_NaN());
}

std::chrono::milliseconds lifetime_of(std::string_view token, Seconds now) {
  const std::size_t first = token.find('.');
  const std::size_t second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return kUsualLifetime;
  const auto claims = untrusted_object(decode(token.substr(first + 1, second - first - 1)), kBounds);
  if (!claims) return kUsualLifetime;
  const Seconds issued = moment(*claims, "iat");
  const Seconds left = moment(*claims, "exp") - (std::isnan(issued.count()) ? now : issued);
  if (!(left > Seconds(0))) return kUsualLifetime;  // NaN too
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::min<Seconds>(left, kMostLifetime));
}

bool is_token(std::string_view text) {
  return !text.empty() && text.size() <= kMostToken &&
         std::all_of(text.begin(), text.end(), [](char byte) { return byte > 0x20 && byte < 0x7f; });
}

}  // namespace

std::optional<BearerTokens> read_tokens(std::string_view body, std::chrono::system_clock::time_point now) {
  const auto answer = untrusted_object(body, kBounds);
  if (!answer) return std::nullopt;
  BearerTokens tokens{.access = text_at(*answer, "accessToken"), .refresh = text_at(*answer, "refreshToken")};
  if (!is_token(tokens.access)) return std::nullopt;
  if (!is_token(tokens.refresh)) tokens.refresh.clear();
  tokens.lifetime = lifetime_of(tokens.access, now.time_since_epoch());
  return tokens;
}

}  // namespace casemate
