#include "image/file_index.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::string_view kMagic = "casemate index 1\n";
constexpr std::string_view kManifestMagic = "casemate files 1\n";
constexpr std::size_t kMostBytes = 1ull << 30;
constexpr std::size_t kMostIndexes = 128;
constexpr std::size_t kDigest = 64;

// On disk, in our own byte order: an index is of no use elsewhere. Then the path, and the digest's 64 digits.
struct Record {
  FileStamp stamp;
  std::uint64_t path_bytes;
};
static_assert(sizeof(Record) == 6 * 8);

}  // namespace

std::string manifest_entry(const ListedFile& file) {
  std::string entry(1, static_cast<char>(file.type));
  switch (file.type) {
    case ListedFile::Type::directory:
      return entry + fmt::format("{:o}", file.mode);
    case ListedFile::Type::file:
      return entry + fmt::format("{:o} ", file.mode) + file.digest;
    case ListedFile::Type::symlink:
      break;
  }
  return entry + file.target;
}

std::string manifest_of(const std::vector<ListedFile>& files) {
  std::string text(kManifestMagic);
  for (const ListedFile& file : files) {
    text += manifest_entry(file);
    text += '\0';
    text += file.path;
    text += '\0';
  }
  return text;
}

std::optional<std::vector<ManifestEntry>> parse_manifest_of_files(std::string_view text) {
  if (!text.starts_with(kManifestMagic)) return std::nullopt;
  text.remove_prefix(kManifestMagic.size());
  std::vector<ManifestEntry> entries;
  while (!text.empty()) {
    const std::size_t end = text.find('\0');
    const std::size_t next = end == std::string_view::npos ? end : text.find('\0', end + 1);
    if (end == 0 || next == std::string_view::npos) return std::nullopt;
    entries.push_back({text.substr(end + 1, next - end - 1), text.substr(0, end)});
    text.remove_prefix(next + 1);
  }
  return entries;
}

std::string key_of_manifest(std::string_view manifest) { return sha256_hex(manifest); }

FileIndex::FileIndex(std::string store_directory, std::string_view identity)
    : directory_(std::move(store_directory) + "/indexes"), path_(directory_ + "/" + sha256_hex(identity)) {
  load();
}

void FileIndex::load() {
  base_.clear();
  const auto bytes = read_file(path_, kMostBytes);
  if (!bytes || bytes->size() < kMagic.size() + 2 * kDigest || !bytes->starts_with(kMagic)) return;
  std::string_view rest = *bytes;
  const std::string_view sum = rest.substr(rest.size() - kDigest);
  rest.remove_suffix(kDigest);
  if (sha256_hex(rest) != sum) return;
  rest.remove_prefix(kMagic.size());
  const std::string_view base = rest.substr(0, kDigest);
  rest.remove_prefix(kDigest);
  known_.reserve(rest.size() / 160);
  while (rest.size() >= sizeof(Record)) {
    Record record;
    std::memcpy(&record, rest.data(), sizeof record);
    rest.remove_prefix(sizeof record);
    if (record.path_bytes > rest.size() || rest.size() - record.path_bytes < kDigest) break;
    Known& known = known_[std::string(rest.substr(0, record.path_bytes))];
    if (!known.fresh) known = {record.stamp, std::string(rest.substr(record.path_bytes, kDigest))};
    rest.remove_prefix(record.path_bytes + kDigest);
  }
  if (is_sha256_hex(base)) base_ = base;
}

std::string FileIndex::digest_of(const std::string& source, const FileStamp& stamp) const {
  const auto found = known_.find(source);
  return found != known_.end() && found->second.stamp == stamp ? found->second.digest : "";
}

void FileIndex::remember(const std::string& source, const FileStamp& stamp, const std::string& digest) {
  known_[source] = {stamp, digest, true};
  changed_ = true;
}

std::string FileIndex::base_manifest() const {
  if (base_.empty()) return "";
  const std::string path = directory_ + "/" + base_ + ".list";
  auto text = read_file(path, kMostBytes);
  if (text) ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);  // the oldest go
  return text && key_of_manifest(*text) == base_ ? std::move(*text) : "";
}

void FileIndex::set_base(std::string key, std::string_view manifest) {
  if (::access((directory_ + "/" + key + ".list").c_str(), F_OK) < 0) write(directory_ + "/" + key + ".list", manifest);
  changed_ = changed_ || base_ != key;
  base_ = std::move(key);
}

void FileIndex::save(const std::vector<ListedFile>& files) {
  if (!changed_) return;
  std::string bytes(kMagic);
  bytes += base_.empty() ? std::string(kDigest, '-') : base_;
  for (const ListedFile& file : files) {
    if (file.source.empty()) continue;
    const auto found = known_.find(file.source);
    if (found == known_.end() || found->second.digest.size() != kDigest) continue;
    const Record record{found->second.stamp, file.source.size()};
    bytes.append(reinterpret_cast<const char*>(&record), sizeof record);
    bytes += file.source;
    bytes += found->second.digest;
  }
  bytes += sha256_hex(bytes);
  if (bytes.size() > kMostBytes) return;
  write(path_, bytes);
  changed_ = false;
  sweep();
}

void FileIndex::write(const std::string& path, std::string_view bytes) const {
  ::mkdir(directory_.c_str(), 0700);
  const std::string fresh = fmt::format("{}.{}.new", path, ::getpid());
  ::unlink(fresh.c_str());
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return;
  if (!write_all(file.get(), bytes) || ::rename(fresh.c_str(), path.c_str()) < 0) ::unlink(fresh.c_str());
}

Result<UniqueFd> FileIndex::lock() const {
  ::mkdir(directory_.c_str(), 0700);
  TRY_ASSIGN(UniqueFd lock, open_file(path_ + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  while (::flock(lock.get(), LOCK_EX) < 0) {
    if (errno != EINTR) return fail_errno("lock " + path_);
  }
  return lock;
}

// The oldest beyond the bound go, and what a killed writer left.
void FileIndex::sweep() const {
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return;
  struct Found {
    std::int64_t modified;
    std::string name;
  };
  std::vector<Found> found;
  DirectoryReader reader(directory.get());
  for (auto entry = reader.next(); entry && *entry; entry = reader.next()) {
    const std::string name((*entry)->name);
    if (const auto info = stat_beneath(directory.get(), name)) found.push_back({stamp_of(*info).modified, name});
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.modified > b.modified; });
  for (std::size_t i = kMostIndexes; i < found.size(); ++i) ::unlinkat(directory.get(), found[i].name.c_str(), 0);
  const std::int64_t newest = found.empty() ? 0 : found.front().modified;
  for (const Found& one : found) {
    constexpr std::int64_t kHour = 3600ll * 1'000'000'000;
    if (one.name.ends_with(".new") && one.modified + kHour < newest) ::unlinkat(directory.get(), one.name.c_str(), 0);
  }
}

std::uint64_t clear_file_indexes(const std::string& store_directory) {
  const UniqueFd directory(::open((store_directory + "/indexes").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) return 0;
  std::uint64_t bytes = 0;
  DirectoryReader reader(directory.get());
  for (auto entry = reader.next(); entry && *entry; entry = reader.next()) {
    const std::string name((*entry)->name);
    const auto info = stat_beneath(directory.get(), name);
    if (info && ::unlinkat(directory.get(), name.c_str(), 0) == 0) bytes += static_cast<std::uint64_t>(info->st_size);
  }
  return bytes;
}

}  // namespace casemate
