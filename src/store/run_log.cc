// Theory of operation. A log is written to tests/<name>.<random>.part, locked by flock(2) for as long as its writer lives, and renamed at
// the end. Whoever makes one first removes the parts that nobody locks. A writer whose part was removed between its open and its lock sees
// that the file has no name any more, and makes another.
#include "store/run_log.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "store/parts.h"
#include "store/place.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::string_view kPart = ".part", kLog = ".jsonl";
constexpr std::size_t kBlock = 256 << 10;

Result<Place> logs_place(std::string directory) {
  TRY_ASSIGN(directory, absolute_path(directory.empty() ? state_directory() : directory));
  return Place{directory + "/tests", "CASEMATE_STATE_DIR"};
}

std::string log_path(const Place& place, const std::string& project) {
  return fmt::format("{}/{}{}", place.directory, sha256_hex(project).substr(0, 24), kLog);
}

std::vector<std::string> names_with(const std::string& directory, std::string_view end) {
  std::vector<std::string> names;
  DIR* opened = ::opendir(directory.c_str());
  if (!opened) return names;
  while (const dirent* entry = ::readdir(opened)) {
    if (std::string_view(entry->d_name).ends_with(end)) names.emplace_back(entry->d_name);
  }
  ::closedir(opened);
  return names;
}

// Parts whose writers are gone. What can't be removed is nobody's trouble now.
void sweep(const std::string& directory) {
  for (const std::string& name : names_with(directory, kPart)) {
    const std::string path = fmt::format("{}/{}", directory, name);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  }
}

void keep_newest(const std::string& directory) {
  std::vector<std::pair<timespec, std::string>> logs;
  for (const std::string& name : names_with(directory, kLog)) {
    struct stat info{};
    const std::string path = fmt::format("{}/{}", directory, name);
    if (::lstat(path.c_str(), &info) == 0) logs.emplace_back(info.st_mtim, path);
  }
  if (logs.size() <= kRunLogs) return;
  std::sort(logs.begin(), logs.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.tv_sec, a.first.tv_nsec) > std::pair(b.first.tv_sec, b.first.tv_nsec);
  });
  for (std::size_t i = kRunLogs; i < logs.size(); ++i) ::unlink(logs[i].second.c_str());
}

}  // namespace

Result<RunLogWriter> RunLogWriter::create(const std::string& project, std::string directory) {
  TRY_ASSIGN(const Place place, logs_place(std::move(directory)));
  TRY(place.make());
  sweep(place.directory);
  const std::string path = log_path(place, project);
  for (;;) {
    std::string part = fmt::format("{}.{}{}", path, random_name(), kPart);
    UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return place.failure("write " + printable_name(part), errno);
    struct stat info{};
    if (::flock(fd.get(), LOCK_EX) < 0 && errno == EINTR) continue;
    if (::fstat(fd.get(), &info) < 0 || info.st_nlink == 0) continue;
    return RunLogWriter(path, std::move(part), std::move(fd));
  }
}

RunLogWriter::RunLogWriter(RunLogWriter&& other) noexcept { *this = std::move(other); }

RunLogWriter& RunLogWriter::operator=(RunLogWriter&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(part_, other.part_);
  std::swap(fd_, other.fd_);
  std::swap(pending_, other.pending_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

RunLogWriter::~RunLogWriter() {
  if (!part_.empty()) ::unlink(part_.c_str());
}

Result<void> RunLogWriter::append(std::string_view line) {
  pending_ += line;
  pending_ += '\n';
  bytes_ += line.size() + 1;
  return pending_.size() < kBlock ? Result<void>() : flush();
}

Result<void> RunLogWriter::flush() {
  auto written = write_all(fd_.get(), pending_);
  pending_.clear();
  if (!written) return Place{path_, "CASEMATE_STATE_DIR"}.failure("write " + printable_name(part_), written.error().errno_value);
  return {};
}

Result<void> RunLogWriter::publish() {
  TRY(flush());
  if (::rename(part_.c_str(), path_.c_str()) < 0) return fail_errno("put the events of the run in place as " + printable_name(path_));
  part_.clear();
  fd_.reset();
  keep_newest(path_.substr(0, path_.rfind('/')));
  return {};
}

Result<void> read_run_log(const std::string& project, std::size_t longest, const std::function<Result<void>(std::string_view)>& take,
                          std::string directory) {
  TRY_ASSIGN(const Place place, logs_place(std::move(directory)));
  const std::string path = log_path(place, project);
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ENOENT)
    return fail(ErrorCode::not_found, fmt::format("no run of tests in {} is kept", printable_name(project)), ENOENT);
  if (!fd) return place.failure("read " + printable_name(path), errno);
  std::string buffer(kBlock, '\0'), pending;
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read " + printable_name(path));
    if (got == 0) break;
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    for (std::size_t end; (end = rest.find('\n')) != std::string_view::npos; rest.remove_prefix(end + 1)) {
      pending += rest.substr(0, end);
      TRY(take(pending));
      pending.clear();
    }
    pending += rest;
    if (pending.size() > longest) break;
  }
  if (!pending.empty()) return fail(ErrorCode::corrupt, fmt::format("{} was cut short or changed", printable_name(path)));
  return {};
}

}  // namespace casemate
