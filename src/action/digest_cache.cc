#include "action/digest_cache.h"

#include <cerrno>
#include <cstring>
#include <ctime>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "action/bytecode.h"
#include "base/digest.h"
#include "store/hints.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::string_view kMagic = "casemate digests 1\n";
constexpr std::size_t kHash = 32;
constexpr std::size_t kFew = 4096;  // as many are kept also if nobody asked for them this time
constexpr std::size_t kMostBytecode = 64u << 20;
constexpr std::size_t kRecord = sizeof(FileStamp) + kHash;
static_assert(sizeof(FileStamp) == 5 * sizeof(std::uint64_t));

// A hash as half the bytes, and back.
std::string packed(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    bytes += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
  }
  return bytes;
}

std::string unpacked(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    hex += kDigits[static_cast<unsigned char>(byte) >> 4];
    hex += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return hex;
}

// Bytecode's record beside that of the file as it is: a number that no inode has, and instead of its time, which the other one tells as
// well as its time of change, the source's.
FileStamp bytecode_stamp(FileStamp stamp, std::uint64_t source) {
  stamp.inode = ~stamp.inode;
  stamp.modified = static_cast<std::int64_t>(source);
  return stamp;
}

}  // namespace

std::size_t DigestCache::StampHash::operator()(const FileStamp& stamp) const {
  return std::hash<std::uint64_t>()(stamp.inode * 0x9e3779b97f4a7c15ull ^ static_cast<std::uint64_t>(stamp.changed) ^ stamp.device << 32);
}

DigestCache::DigestCache(const std::string& store, std::string_view identity)
    : store_(store), name_(sha256_hex(fmt::format("files\n{}", identity))) {
  if (!store_.empty()) load();
}

void DigestCache::load() {
  const auto bytes = digest_files(store_).read(name_);
  if (!bytes || !bytes->starts_with(kMagic)) return;
  std::string_view rest = std::string_view(*bytes).substr(kMagic.size());
  known_.reserve(rest.size() / kRecord);
  for (; rest.size() >= kRecord; rest.remove_prefix(kRecord)) {
    FileStamp stamp;
    std::memcpy(&stamp, rest.data(), sizeof stamp);
    known_[stamp].hash = rest.substr(sizeof stamp, kHash);
  }
}

std::optional<BlobDigest> DigestCache::known(const FileStamp& stamp) {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(stamp);
  if (found == known_.end()) return std::nullopt;
  found->second.used = true;
  return BlobDigest{unpacked(found->second.hash), stamp.size};
}

Result<BlobDigest> DigestCache::read(int fd) {
  for (int tries = 0; tries < 3; ++tries) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    struct stat before{};
    struct stat after{};
    if (::lseek(fd, 0, SEEK_SET) < 0 || ::fstat(fd, &before) < 0) return fail_errno("look at a file");
    TRY_ASSIGN(std::string hash, sha256_hex_of_fd(fd));
    if (::fstat(fd, &after) < 0) return fail_errno("look at a file");
    const FileStamp stamp = stamp_of(before);
    if (stamp_of(after) != stamp) continue;
    if (is_settled(stamp, now)) {
      remember(stamp, hash);
    }
    return BlobDigest{std::move(hash), stamp.size};
  }
  return fail(ErrorCode::corrupt, "somebody writes to it while it is read");
}

std::optional<BlobDigest> DigestCache::known_bytecode(const FileStamp& stamp, std::uint64_t source) {
  return known(bytecode_stamp(stamp, source));
}

Result<std::optional<BlobDigest>> DigestCache::read_bytecode(int fd, std::uint64_t source) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  struct stat before{};
  struct stat after{};
  std::string header(kBytecodeHeader, '\0');
  if (::fstat(fd, &before) < 0) return fail_errno("look at a file");
  const ssize_t got = ::pread(fd, header.data(), header.size(), 0);
  if (got < 0) return fail_errno("read a file");
  header.resize(static_cast<std::size_t>(got));
  const auto timeless = header_without_time(header, source);
  if (!timeless || static_cast<std::uint64_t>(before.st_size) > kMostBytecode) return std::nullopt;
  if (::lseek(fd, 0, SEEK_SET) < 0) return fail_errno("read a file");
  TRY_ASSIGN(std::string bytes, read_all(fd, kMostBytecode));
  if (::fstat(fd, &after) < 0) return fail_errno("look at a file");
  const FileStamp stamp = stamp_of(before);
  if (stamp_of(after) != stamp || bytes.size() != stamp.size || !bytes.starts_with(header)) return std::nullopt;
  std::string hash = sha256_hex(bytes.replace(0, kBytecodeHeader, *timeless));
  if (is_settled(stamp, now)) remember(bytecode_stamp(stamp, source), hash);
  return BlobDigest{std::move(hash), stamp.size};
}

void DigestCache::remember(const FileStamp& stamp, const std::string& hash) {
  const std::lock_guard lock(mutex_);
  known_[stamp] = {packed(hash), true};
  changed_ = true;
}

void DigestCache::save() {
  std::string bytes(kMagic);
  {
    const std::lock_guard lock(mutex_);
    if (store_.empty() || !changed_) return;
    changed_ = false;
    for (const auto& [stamp, known] : known_) {
      if (!known.used && known_.size() > kFew) continue;
      bytes.append(reinterpret_cast<const char*>(&stamp), sizeof stamp);
      bytes += known.hash;
    }
  }
  digest_files(store_).write(name_, std::move(bytes));
}

HintFiles digest_files(const std::string& store) { return {store + "/digests", 256, 512ull << 20}; }

}  // namespace casemate
