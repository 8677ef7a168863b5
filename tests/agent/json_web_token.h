// json_web_token: tokens as a backend makes them (RFC 7519), for tests; the signature is none.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace casemate {

inline std::string base64url(std::string_view bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  unsigned held = 0;
  int bits = 0;
  for (const char byte : bytes) {
    held = held << 8 | static_cast<unsigned char>(byte);
    for (bits += 8; bits >= 6; bits -= 6) text += kDigits[held >> (bits - 6) & 63];
  }
  if (bits > 0) text += kDigits[held << (6 - bits) & 63];
  return text;
}

inline std::string jwt(const nlohmann::json& claims) {
  return base64url(R"({"alg":"HS256"})") + "." + base64url(claims.dump()) + ".s3cret-signature";
}

}  // namespace casemate
