#include "store/artifact_files.h"

#include <cerrno>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "store/parts.h"
#include "sys/fd.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kHalfWritten = "new.";
constexpr std::size_t kMostRead = std::size_t{1} << 30;

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* open = ::opendir(directory.c_str());
  if (!open) return names;
  while (const dirent* entry = ::readdir(open)) names.emplace_back(entry->d_name);
  ::closedir(open);
  return names;
}

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// A rename is on disk once its directory is.
[[nodiscard]] bool synchronise_directory(const std::string& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return fd && ::fsync(fd.get()) == 0;
}

}  // namespace

Result<ArtifactFiles> ArtifactFiles::open(const Place& place) {
  Place own{place.directory + "/plans", place.variable};
  TRY(own.make());
  auto lock = LockFile::open(own.directory + "/lock", true);
  if (!lock) return place.failure("open " + printable_name(own.directory + "/lock"), lock.error().errno_value);
  return ArtifactFiles(std::move(own), std::move(*lock));
}

Result<std::string> ArtifactFiles::keep(std::string_view bytes) {
  if (kept_.empty()) TRY(lock_.lock(LockFile::Part::use, LockFile::Mode::shared));
  const std::string hex = sha256_hex(bytes);
  std::string digest = std::string(kPrefix) + hex;
  kept_.insert(digest);
  const std::string directory = fmt::format("{}/{}", place_.directory, hex.substr(0, 2));
  const std::string path = fmt::format("{}/{}", directory, hex.substr(2));
  // Whoever's disk lost the end of a file gets it written again, for its length alone tells that cheaply.
  struct stat info{};
  const bool there = ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) == bytes.size();
  if (!there) TRY(write(directory, path, bytes));
  return digest;
}

Result<void> ArtifactFiles::write(const std::string& directory, const std::string& path, std::string_view bytes) const {
  const bool made = ::mkdir(directory.c_str(), 0700) == 0;
  if ((made && !synchronise_directory(place_.directory)) || (!made && errno != EEXIST))
    return place_.failure("make the directory " + printable_name(directory), errno);
  const std::string half = fmt::format("{}/{}{}", place_.directory, kHalfWritten, random_name());
  const UniqueFd fd(::open(half.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return place_.failure("keep an artifact", errno);
  int error = 0;
  if (auto written = write_all(fd.get(), bytes); !written)
    error = written.error().errno_value;
  else if (::fdatasync(fd.get()) < 0 || ::rename(half.c_str(), path.c_str()) < 0)
    error = errno;
  if (error == 0 && synchronise_directory(directory)) return {};
  if (error == 0) error = errno;
  ::unlink(half.c_str());
  return place_.failure("keep an artifact", error);
}

void ArtifactFiles::let_go(const std::string& digest) {
  if (kept_.erase(digest) > 0 && kept_.empty()) lock_.unlock(LockFile::Part::use);
}

void ArtifactFiles::let_go_all() {
  if (!kept_.empty()) lock_.unlock(LockFile::Part::use);
  kept_.clear();
}

Result<std::string> ArtifactFiles::read(const std::string& digest) const {
  if (!digest.starts_with(kPrefix) || !is_sha256_hex(std::string_view(digest).substr(kPrefix.size())))
    return fail(ErrorCode::invalid_input, fmt::format("'{}' is no digest (sha256:<64 hex digits>)", printable_line(digest)));
  const std::string hex = digest.substr(kPrefix.size());
  auto bytes = read_file(fmt::format("{}/{}/{}", place_.directory, hex.substr(0, 2), hex.substr(2)), kMostRead);
  if (!bytes && bytes.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, fmt::format("the artifact {} is not there (any more)", digest), ENOENT);
  if (!bytes) return bytes;
  if (sha256_hex(*bytes) != hex) return fail(ErrorCode::corrupt, fmt::format("the artifact {} is damaged", digest));
  return bytes;
}

Result<bool> ArtifactFiles::remove_others(const std::set<std::string>& named) {
  if (!kept_.empty()) return false;
  TRY_ASSIGN(const bool alone, lock_.try_lock(LockFile::Part::use, LockFile::Mode::exclusive));
  if (!alone) return false;
  for (const std::string& name : names_in(place_.directory)) {
    const std::string path = fmt::format("{}/{}", place_.directory, name);
    if (name.starts_with(kHalfWritten)) ::unlink(path.c_str());
    if (name.size() != 2 || !is_hex(name)) continue;
    for (const std::string& rest : names_in(path)) {
      if (is_sha256_hex(name + rest) && !named.contains(fmt::format("{}{}{}", kPrefix, name, rest)))
        ::unlink(fmt::format("{}/{}", path, rest).c_str());
    }
  }
  lock_.unlock(LockFile::Part::use);
  return true;
}

}  // namespace casemate
