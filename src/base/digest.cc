#include "base/digest.h"

#include <cerrno>

// The plain functions of SHA-256, not EVP: behind EVP stand providers, configuration files and sockets, 4 MB of a static program, which
// are set up at the first digest. OpenSSL 3 calls the plain ones deprecated because EVP can exchange the implementation; we want this one.
#define OPENSSL_SUPPRESS_DEPRECATED 1
#include <openssl/sha.h>
#include <unistd.h>

namespace casemate {

struct Sha256::Context {
  SHA256_CTX sha;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { SHA256_Init(&context_->sha); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) { SHA256_Update(&context_->sha, bytes.data(), bytes.size()); }

std::string Sha256::hex() {
  unsigned char raw[SHA256_DIGEST_LENGTH];
  SHA256_Final(raw, &context_->sha);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(sizeof raw * 2);
  for (const unsigned char byte : raw) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

Result<std::string> sha256_hex_of_fd(int fd) {
  Sha256 hash;
  static thread_local std::string buffer(256 << 10, '\0');  // a fresh one costs more than to digest most files
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::system, "can't read a file to digest it", errno, "read");
    if (got == 0) return hash.hex();
    hash.update(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
}

}  // namespace casemate
