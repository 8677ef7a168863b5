#include "store/hints.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kDigest = 64;
constexpr std::string_view kUnfinished = ".new";

struct HintFile {
  std::string name;
  timespec used{};
  std::uint64_t bytes = 0;
};

std::vector<HintFile> files_of(int directory) {
  std::vector<HintFile> files;
  DirectoryReader reader(directory);
  for (auto entry = reader.next(); entry && *entry; entry = reader.next()) {
    std::string name((*entry)->name);
    if (const auto info = stat_beneath(directory, name))
      files.push_back({std::move(name), info->st_mtim, static_cast<std::uint64_t>(info->st_size)});
  }
  return files;
}

}  // namespace

std::optional<std::string> HintFiles::read(const std::string& name) const {
  const std::string path = directory_ + "/" + name;
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!file) return std::nullopt;
  auto bytes = read_all(file.get(), most_bytes_);
  if (!bytes || bytes->size() < kDigest) return std::nullopt;
  const std::string sum = bytes->substr(bytes->size() - kDigest);
  bytes->resize(bytes->size() - kDigest);
  if (sha256_hex(*bytes) != sum) return std::nullopt;
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return std::move(*bytes);
}

void HintFiles::write(const std::string& name, std::string bytes) const {
  static std::atomic<unsigned> count = 0;  // threads of one process write apart
  bytes += sha256_hex(bytes);
  if (bytes.size() > most_bytes_) return;
  ::mkdir(directory_.c_str(), 0700);
  const std::string path = directory_ + "/" + name;
  const std::string fresh = fmt::format("{}.{}.{}{}", path, ::getpid(), count++, kUnfinished);
  ::unlink(fresh.c_str());
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return;
  if (!write_all(file.get(), bytes) || ::rename(fresh.c_str(), path.c_str()) < 0) ::unlink(fresh.c_str());
  sweep();
}

bool HintFiles::touch(const std::string& name) const {
  return ::utimensat(AT_FDCWD, (directory_ + "/" + name).c_str(), nullptr, AT_SYMLINK_NOFOLLOW) == 0;
}

HintTotals HintFiles::totals() const {
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) return {};
  HintTotals totals;
  for (const HintFile& file : files_of(directory.get())) {
    ++totals.files;
    totals.bytes += file.bytes;
    totals.last_used = std::max<std::int64_t>(totals.last_used, file.used.tv_sec);
  }
  return totals;
}

std::uint64_t HintFiles::clear() const {
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) return 0;
  std::uint64_t bytes = 0;
  for (const HintFile& file : files_of(directory.get())) {
    if (::unlinkat(directory.get(), file.name.c_str(), 0) == 0) bytes += file.bytes;
  }
  return bytes;
}

// What a killed writer left goes after an hour.
void HintFiles::sweep() const {
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!directory) return;
  std::vector<HintFile> files = files_of(directory.get());
  std::sort(files.begin(), files.end(), [](const HintFile& a, const HintFile& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) > std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  std::size_t kept = 0;
  std::uint64_t bytes = 0;
  for (const HintFile& file : files) {
    const bool stale = file.name.ends_with(kUnfinished) && file.used.tv_sec + 3600 < files.front().used.tv_sec;
    bytes += file.bytes;
    if (!stale && ++kept <= most_files_ && bytes <= most_bytes_) continue;
    bytes -= file.bytes;
    ::unlinkat(directory.get(), file.name.c_str(), 0);
  }
}

}  // namespace casemate
