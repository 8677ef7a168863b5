#include "base/digest.h"

#include <cstdio>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace casemate {
namespace {

// The examples of FIPS 180-4's companion (NIST, "SHA256.pdf" and "SHA2_Additional.pdf").
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kTwoBlocks = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
constexpr const char* kMillion = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Digest, gives_the_published_values) {
  EXPECT_EQ(sha256_hex(""), kEmpty);
  EXPECT_EQ(sha256_hex("abc"), kAbc);
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), kTwoBlocks);
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')), kMillion);
}

TEST(Digest, pieces_make_no_difference) {
  for (const std::size_t piece : {1u, 63u, 64u, 65u, 4096u}) {
    Sha256 hash;
    const std::string bytes(piece, 'a');
    std::size_t left = 1'000'000;
    for (; left >= piece; left -= piece) hash.update(bytes);
    hash.update(std::string(left, 'a'));
    EXPECT_EQ(hash.hex(), kMillion) << piece;
  }
}

TEST(Digest, nul_bytes_count) { EXPECT_NE(sha256_hex(std::string("a\0b", 3)), sha256_hex("ab")); }

TEST(Digest, survives_a_move) {
  Sha256 first;
  first.update("a");
  Sha256 second = std::move(first);
  second.update("bc");
  EXPECT_EQ(second.hex(), kAbc);
}

TEST(Digest, reads_a_file_from_where_it_is) {
  const int fd = ::memfd_create("digest_test", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "..abc", 5), 5);
  ::lseek(fd, 2, SEEK_SET);
  EXPECT_EQ(sha256_hex_of_fd(fd).value_or("failed"), kAbc);
  EXPECT_EQ(sha256_hex_of_fd(fd).value_or("failed"), kEmpty);
  ::close(fd);
}

TEST(Digest, says_when_a_file_cannot_be_read) {
  const int fd = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const auto digest = sha256_hex_of_fd(fd);
  ::close(fd);
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().errno_value, EISDIR);
}

}  // namespace
}  // namespace casemate
