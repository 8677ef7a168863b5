#include "apps/pytest/watch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostDirectories = 8192;
constexpr std::size_t kMostFiles = 200'000;
constexpr std::uint32_t kEvents =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

constexpr std::string_view kOthers[] = {".git",        ".hg",         ".svn",        ".jj",       "__pycache__",  ".pytest_cache",
                                        ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox",      ".nox",         ".venv",
                                        ".idea",       ".vscode",     ".coverage",   ".DS_Store", "node_modules", ".maelstrom-pytest"};

// Files that editors keep beside the one that is edited, or write first and then rename.
bool is_editors(std::string_view name) {
  return name.ends_with('~') || name.starts_with(".#") || (name.starts_with('#') && name.ends_with('#')) || name == "4913" ||
         (name.starts_with('.') && (name.ends_with(".swp") || name.ends_with(".swx") || name.ends_with(".swo"))) ||
         name.ends_with(".tmp") || name.ends_with(".pyc") || name.ends_with("___jb_tmp___") || name.ends_with("___jb_old___");
}

std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_environment(const std::string& directory) {
  return ::access((directory + "/pyvenv.cfg").c_str(), F_OK) == 0 || ::access((directory + "/conda-meta").c_str(), F_OK) == 0;
}

std::optional<struct stat> status_of(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 ? std::optional(info) : std::nullopt;
}

}  // namespace

Result<ProjectWatch> ProjectWatch::begin(const std::string& directory, std::vector<std::string> left_out) {
  ProjectWatch watch(std::move(left_out));
  watch.root_ = directory;
  watch.inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.inotify_) return fail_errno("watch the project (fs.inotify.max_user_instances)");
  TRY(watch.add(directory, nullptr));
  return watch;
}

bool ProjectWatch::is_left_out(const std::string& path) const {
  const std::string_view name = name_of(path);
  return std::find(std::begin(kOthers), std::end(kOthers), name) != std::end(kOthers) || is_editors(name) ||
         std::find(left_out_.begin(), left_out_.end(), path) != left_out_.end();
}

// A directory with all below it. What is found goes to `found`, and is known from here on.
Result<void> ProjectWatch::add(const std::string& directory, std::vector<std::string>* found) {
  if (directories_.size() >= kMostDirectories || files_.size() >= kMostFiles) {
    partial_ = true;
    return {};
  }
  if (directory != root_ && is_environment(directory)) return {};
  const int watch = ::inotify_add_watch(inotify_.get(), directory.c_str(), kEvents);
  if (watch < 0 && errno == ENOSPC && !directories_.empty()) {
    partial_ = true;
    return {};
  }
  if (watch < 0 && !directories_.empty()) return {};  // gone again, or not ours to read
  if (watch < 0) return fail_errno(fmt::format("watch {} (fs.inotify.max_user_watches)", printable_name(directory)));
  directories_[watch] = directory;
  std::error_code problem;
  auto entry = std::filesystem::directory_iterator(directory, problem);
  for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    const std::string path = entry->path().string();
    if (is_left_out(path)) continue;
    const auto info = status_of(path);
    if (info && S_ISDIR(info->st_mode)) {
      TRY(add(path, found));
    } else if (const std::string file = look_at(path); found && !file.empty()) {
      found->push_back(file);
    }
  }
  return {};
}

// The path if it is not what it was.
std::string ProjectWatch::look_at(const std::string& path) {
  const auto info = status_of(path);
  if (!info) return files_.erase(path) > 0 ? path : "";
  if (!S_ISREG(info->st_mode)) return "";
  const Stamp now{info->st_ino, info->st_size, info->st_mtim.tv_sec * 1'000'000'000 + info->st_mtim.tv_nsec};
  const auto known = files_.find(path);
  if (known != files_.end() && known->second == now) return "";
  if (known == files_.end() && files_.size() >= kMostFiles) return "";
  files_[path] = now;
  return path;
}

std::string ProjectWatch::forget_below(const std::string& directory) {
  const std::string prefix = directory + "/";
  std::string any;
  std::erase_if(files_, [&](const auto& file) {
    if (!file.first.starts_with(prefix)) return false;
    any = file.first;
    return true;
  });
  std::erase_if(directories_, [&](const auto& watched) {
    if (watched.second != directory && !watched.second.starts_with(prefix)) return false;
    ::inotify_rm_watch(inotify_.get(), watched.first);  // it may have moved elsewhere
    return true;
  });
  return any;
}

std::string ProjectWatch::take_events(const char* events, std::size_t size) {
  std::string changed;
  for (std::size_t at = 0; at + sizeof(inotify_event) <= size;) {
    inotify_event event;
    std::memcpy(&event, events + at, sizeof event);
    const char* const name = events + at + sizeof event;
    at += sizeof event + event.len;
    std::vector<std::string> found;
    if ((event.mask & IN_Q_OVERFLOW) != 0) {
      found.push_back(forget_below(root_));
      (void)add(root_, &found);
    }
    const auto where = directories_.find(event.wd);
    if (where == directories_.end() || event.len == 0) {
      if ((event.mask & IN_IGNORED) != 0) directories_.erase(event.wd);
    } else if (const std::string path = where->second + "/" + std::string(name, ::strnlen(name, event.len)); is_left_out(path)) {
      continue;
    } else if ((event.mask & IN_ISDIR) != 0) {
      if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0)
        (void)add(path, &found);
      else
        found.push_back(forget_below(path));
    } else if ((event.mask & IN_CREATE) == 0) {  // what was made will be closed
      found.push_back(look_at(path));
    }
    for (std::string& one : found) {
      if (changed.empty()) changed = std::move(one);
    }
  }
  return changed;
}

std::string ProjectWatch::changed() {
  alignas(inotify_event) char events[64 << 10];
  std::string changed;
  for (;;) {
    const ssize_t got = ::read(inotify_.get(), events, sizeof events);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return changed;
    std::string one = take_events(events, static_cast<std::size_t>(got));
    if (changed.empty()) changed = std::move(one);
  }
}

}  // namespace casemate
