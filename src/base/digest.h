// digest: SHA-256 of bytes and files, written "sha256:<64 hex digits>" as OCI and REAPI have it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "casemate/result.h"

namespace casemate {

/// Accumulates bytes into one SHA-256 (FIPS 180-4, by OpenSSL).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::string_view bytes);
  /// The digest as 64 lower-case hex digits; the object can't be used after.
  [[nodiscard]] std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// Whether this could be a digest's text: 64 lower-case hex digits.
[[nodiscard]] bool is_sha256_hex(std::string_view text);
/// 64 lower-case hex digits.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
/// Reads `fd` from its current offset to the end. Fails with `system` on a read error.
Result<std::string> sha256_hex_of_fd(int fd);

}  // namespace casemate
