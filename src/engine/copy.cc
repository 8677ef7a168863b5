#include "engine/copy.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "sys/fd.h"

namespace casemate {
namespace {

struct Extent {
  std::uint64_t data;  // start of the next data at or after the position asked for; `size` if there is none
  std::uint64_t end;   // where that data ends
};

// Where the filesystem knows no holes everything is data.
Extent next_extent(int fd, std::uint64_t at, std::uint64_t size) {
  const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? Extent{size, size} : Extent{at, size};
  const off_t end = ::lseek(fd, data, SEEK_HOLE);
  return {std::min(static_cast<std::uint64_t>(data), size), end < 0 ? size : std::min(static_cast<std::uint64_t>(end), size)};
}

ssize_t read_at(int fd, char* buffer, std::size_t length, std::uint64_t at) {
  for (;;) {
    const ssize_t got = ::pread(fd, buffer, length, static_cast<off_t>(at));
    if (got >= 0 || errno != EINTR) return got;
  }
}

int write_at(int fd, std::string_view bytes, std::uint64_t at) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(put));
    at += static_cast<std::uint64_t>(put);
  }
  return 0;
}

// The kernel's own copy of [at, end). Returns where it stopped: less than `end` if it can't do these two files, or the file ended.
std::uint64_t copy_in_kernel(int from, int to, std::uint64_t at, std::uint64_t end) {
  while (at < end) {
    off_t in = static_cast<off_t>(at);
    off_t out = in;
    const ssize_t put = ::copy_file_range(from, &in, to, &out, std::min<std::uint64_t>(end - at, 1u << 30), 0);
    if (put <= 0) break;
    at += static_cast<std::uint64_t>(put);
  }
  return at;
}

void add_zeros(Sha256& hash, std::uint64_t count) {
  static constexpr char kZeros[64 << 10] = {};
  while (count > 0) {
    const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(count, sizeof kZeros));
    hash.update(std::string_view(kZeros, piece));
    count -= piece;
  }
}

}  // namespace

Copied Copier::copy(int from, int to, std::uint64_t size, bool digest) {
  Copied copied;
  copied.size = size;
  if (to < 0 && !digest) return copied;
  std::optional<Sha256> hash;
  if (digest) hash.emplace();
  struct stat info{};
  // Small and dense files, nearly all there are, need no search for holes.
  const bool sparse = ::fstat(from, &info) < 0 || static_cast<std::uint64_t>(info.st_blocks) * 512 < size;
  std::uint64_t at = 0;
  bool ended = false;
  while (at < size && !ended) {
    const Extent extent = sparse ? next_extent(from, at, size) : Extent{at, size};
    if (hash) add_zeros(*hash, extent.data - at);
    at = extent.data;
    if (to >= 0 && !hash && copied.write_error == 0 && at < extent.end) at = copy_in_kernel(from, to, at, extent.end);
    while (at < extent.end) {
      const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(extent.end - at, buffer_.size()));
      const ssize_t got = read_at(from, buffer_.data(), want, at);
      if (got < 0) copied.read_error = errno;
      if (got <= 0) {
        ended = true;
        break;
      }
      const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
      if (hash) hash->update(bytes);
      if (to >= 0 && copied.write_error == 0) {
        copied.write_error = write_at(to, bytes, at);
        if (copied.write_error != 0 && !hash) return copied;
      }
      at += bytes.size();
    }
  }
  copied.size = at;
  // A hole at the end is made by the length alone.
  if (to >= 0 && copied.write_error == 0 && sparse && ::ftruncate(to, static_cast<off_t>(at)) < 0) copied.write_error = errno;
  if (hash && copied.read_error == 0) copied.digest = "sha256:" + hash->hex();
  return copied;
}

bool Copier::same(int a, int b, std::uint64_t size) {
  const std::size_t half = std::min(buffer_.size(), other_.size());
  for (std::uint64_t at = 0; at < size;) {
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(size - at, half));
    const ssize_t from_a = read_at(a, buffer_.data(), want, at);
    if (from_a <= 0) return false;
    const ssize_t from_b = read_at(b, other_.data(), static_cast<std::size_t>(from_a), at);
    if (from_b != from_a || std::string_view(buffer_.data(), static_cast<std::size_t>(from_a)) !=
                                std::string_view(other_.data(), static_cast<std::size_t>(from_b)))
      return false;
    at += static_cast<std::uint64_t>(from_a);
  }
  return true;
}

}  // namespace casemate
