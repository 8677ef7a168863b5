#include "remote/operation_log.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/directories.h"
#include "store/place.h"
#include "sys/fd.h"
#include "sys/random.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestFile = 64u << 20;
constexpr int kTries = 3;

// "+NAME\0" where one begins, "-NAME\0" where it ends. What was torn when its writer died is not there.
std::unordered_set<std::string> running_in(std::string_view text) {
  std::unordered_set<std::string> running;
  for (std::size_t end = 0; (end = text.find('\0')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    const std::string_view name = text.substr(0, end);
    if (name.size() < 2) continue;
    if (name[0] == '+') running.emplace(name.substr(1));
    if (name[0] == '-') running.erase(std::string(name.substr(1)));
  }
  return running;
}

}  // namespace

OperationLog::OperationLog(std::string directory, std::string_view engine)
    : directory_(std::move(directory)), prefix_(sha256_hex(engine).substr(0, 16) + "-") {}

OperationLog::~OperationLog() {
  if (file_) ::unlink(path_.c_str());
}

std::string OperationLog::directory() {
  const Place place{state_directory(), "CASEMATE_STATE_DIR"};
  if (!place.make()) return "";
  std::string made = place.directory + "/remote";
  ::mkdir(made.c_str(), 0700);
  return made;
}

// Between its making and its lock another process may have taken it for one that was left.
bool OperationLog::open() {
  if (directory_.empty()) return false;
  for (int i = 0; i < kTries; ++i) {
    path_ = directory_ + "/" + prefix_ + random_name();
    UniqueFd file(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    struct stat info{};
    if (!file) return false;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) < 0 || ::fstat(file.get(), &info) < 0 || info.st_nlink == 0) continue;
    file_ = std::move(file);
    return true;
  }
  return false;
}

void OperationLog::write(char what, const std::string& operation) {
  if (!broken_ && !file_) broken_ = !open();
  if (broken_) return;
  std::string line = what + operation;
  line += '\0';
  broken_ = !write_all(file_.get(), line);
}

void OperationLog::began(const std::string& operation) {
  if (operation.empty() || operation.find('\0') != std::string::npos) return;
  const std::lock_guard lock(mutex_);
  if (running_.insert(operation).second) write('+', operation);
}

void OperationLog::ended(const std::string& operation) {
  const std::lock_guard lock(mutex_);
  if (running_.erase(operation) == 0) return;
  // Of nothing that runs nothing is to be kept: the file of a long run stays small.
  if (running_.empty() && file_ && ::ftruncate(file_.get(), 0) == 0) return;
  write('-', operation);
}

void OperationLog::end_left(const std::function<bool(const std::string&)>& end) const {
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, problem)) {
    const std::string path = entry.path();
    if (!entry.path().filename().native().starts_with(prefix_)) continue;
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) < 0) continue;  // its process lives, or another one is at it
    if (const auto text = read_all(file.get(), kLongestFile)) {
      const auto left = running_in(*text);
      if (!std::all_of(left.begin(), left.end(), end)) return;
    }
    ::unlink(path.c_str());
  }
}

}  // namespace casemate
