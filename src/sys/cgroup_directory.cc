#include "sys/cgroup_directory.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <memory>
#include <vector>

#include <dirent.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>

namespace casemate {
namespace {

using Clock = std::chrono::steady_clock;

// No cgroup of ours nests deeper; a bound for trees that somebody else made.
constexpr int kMaxDepth = 16;

int milliseconds_until(Clock::time_point end) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::max<long long>(left, 0));
}

void sleep_us(long us) {
  const timespec pause{0, us * 1000};
  ::nanosleep(&pause, nullptr);
}

UniqueFd open_directory(int parent, const std::string& name) {
  return UniqueFd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

std::vector<std::string> children_of(int directory) {
  std::vector<std::string> names;
  UniqueFd copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* stream = copy ? ::fdopendir(copy.get()) : nullptr;
  if (!stream) return names;
  static_cast<void>(copy.release());
  while (const dirent* entry = ::readdir(stream)) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(stream);
  return names;
}

// Process ids in one cgroup, ours and those of other pid namespaces (0) left out.
std::vector<pid_t> listed_processes(int directory) {
  std::vector<pid_t> pids;
  const UniqueFd fd(::openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC));
  if (!fd) return pids;
  const auto text = read_all(fd.get(), 4u << 20);
  if (!text) return pids;  // removed meanwhile (ENODEV)
  const char* at = text->data();
  const char* const end = at + text->size();
  while (at < end) {
    pid_t pid = 0;
    const auto [stop, problem] = std::from_chars(at, end, pid);
    if (problem != std::errc{}) break;
    if (pid > 0 && pid != ::getpid()) pids.push_back(pid);
    at = stop + 1;
  }
  return pids;
}

// One round: kills what one cgroup lists and waits for those to end. False if there was nothing to kill.
bool kill_listed(int directory, Clock::time_point end) {
  constexpr std::size_t kBatch = 128;
  std::vector<pid_t> pids = listed_processes(directory);
  if (pids.empty()) return false;
  if (pids.size() > kBatch) pids.resize(kBatch);
  std::vector<std::pair<pid_t, UniqueFd>> held;
  for (const pid_t pid : pids) {
    if (UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); fd) held.emplace_back(pid, std::move(fd));
  }
  // Only what is still listed: the pid may have been another process's by the time it was opened.
  const std::vector<pid_t> still = listed_processes(directory);
  for (auto& [pid, fd] : held) {
    if (std::find(still.begin(), still.end(), pid) == still.end()) {
      fd.reset();
    } else {
      ::syscall(SYS_pidfd_send_signal, fd.get(), SIGKILL, nullptr, 0);
    }
  }
  for (auto& [pid, fd] : held) {
    if (!fd) continue;
    pollfd wait{fd.get(), POLLIN, 0};
    ::poll(&wait, 1, std::min(milliseconds_until(end), 100));
  }
  return true;
}

bool kill_tree(int directory, Clock::time_point end, int depth) {
  while (kill_listed(directory, end)) {
    if (Clock::now() >= end) return false;
    sleep_us(100);  // a process may stay listed for a moment after its end
  }
  bool empty = true;
  if (depth >= kMaxDepth) return empty;
  for (const std::string& child : children_of(directory)) {
    if (const UniqueFd fd = open_directory(directory, child); fd) empty = kill_tree(fd.get(), end, depth + 1) && empty;
  }
  return empty;
}

void remove_children(int directory, int depth) {
  if (depth >= kMaxDepth) return;
  for (const std::string& child : children_of(directory)) {
    if (const UniqueFd fd = open_directory(directory, child); fd) remove_children(fd.get(), depth + 1);
    ::unlinkat(directory, child.c_str(), AT_REMOVEDIR);
  }
}

}  // namespace

int write_control(int directory, const std::string& file, std::string_view value) {
  const UniqueFd fd(::openat(directory, file.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return errno;
  ssize_t put = 0;
  do {
    put = ::write(fd.get(), value.data(), value.size());
  } while (put < 0 && errno == EINTR);
  return put < 0 ? errno : 0;
}

std::optional<std::string> read_control(int directory, const std::string& file) {
  const UniqueFd fd(::openat(directory, file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return std::nullopt;
  char buffer[4096];
  ssize_t got = 0;
  do {
    got = ::read(fd.get(), buffer, sizeof buffer);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return std::nullopt;
  return std::string(buffer, static_cast<std::size_t>(got));
}

std::optional<std::uint64_t> read_control_number(int directory, const std::string& file) {
  const auto text = read_control(directory, file);
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [stop, problem] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (problem != std::errc{}) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    std::uint64_t value = 0;
    const char* const from = line.data() + key.size() + 1;
    const auto [stop, problem] = std::from_chars(from, line.data() + line.size(), value);
    if (problem == std::errc{}) return value;
  }
  return std::nullopt;
}

bool kill_cgroup(int parent, const std::string& name, int wait_ms) {
  const UniqueFd directory = open_directory(parent, name);
  if (!directory) return true;
  const auto end = Clock::now() + std::chrono::milliseconds(wait_ms);
  // A fork bomb outruns a killer: no more forks first. Fails where there is no pids controller, which is fine.
  static_cast<void>(write_control(directory.get(), "pids.max", "0"));
  if (write_control(directory.get(), "cgroup.kill", "1") != 0) {
    // Linux before 5.14, or v1. Frozen processes of v2 still die of SIGKILL; v1 has no such file here.
    static_cast<void>(write_control(directory.get(), "cgroup.freeze", "1"));
  }
  return kill_tree(directory.get(), end, 0);
}

bool remove_cgroup(int parent, const std::string& name) {
  if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
  if (errno != EBUSY && errno != ENOTEMPTY) return false;
  kill_cgroup(parent, name);
  const auto end = Clock::now() + std::chrono::milliseconds(250);
  for (long pause = 50;; pause = std::min(pause * 2, 5000L)) {
    if (const UniqueFd directory = open_directory(parent, name); directory) remove_children(directory.get(), 0);
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
    if (Clock::now() >= end) return false;
    sleep_us(pause);
  }
}

std::optional<std::uint64_t> parse_start_time(std::string_view stat) {
  // The second field is the name in brackets and may hold anything, so count from its last bracket: field 3 (state) comes first.
  const auto bracket = stat.rfind(')');
  if (bracket == std::string_view::npos || bracket + 2 >= stat.size()) return std::nullopt;
  stat.remove_prefix(bracket + 2);
  const char state = stat[0];
  std::uint64_t threads = 0;
  for (int field = 3; !stat.empty(); ++field) {
    const auto end = stat.find(' ');
    const std::string_view word = stat.substr(0, end);
    stat.remove_prefix(end == std::string_view::npos ? stat.size() : end + 1);
    if (field != 20 && field != 22) continue;
    std::uint64_t value = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), value).ec != std::errc{}) return std::nullopt;
    if (field == 20) {
      threads = value;
    } else if ((state == 'Z' || state == 'X') && threads <= 1) {
      return std::nullopt;
    } else {
      return value;
    }
  }
  return std::nullopt;
}

}  // namespace casemate
