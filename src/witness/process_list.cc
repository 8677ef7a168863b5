#include "witness/process_list.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "sys/fd.h"

namespace casemate {

std::string small_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t got = file ? ::read(file.get(), text, sizeof text) : -1;
  return {text, got > 0 ? static_cast<std::size_t>(got) : 0};
}

std::optional<ProcessFacts> facts_of(pid_t pid) {
  const std::string stat = small_file(fmt::format("/proc/{}/stat", pid));
  const auto open = stat.find('(');
  const auto close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open || close + 2 >= stat.size()) return std::nullopt;
  ProcessFacts facts;
  facts.name = stat.substr(open + 1, close - open - 1);
  int parent = 0, group = 0, session = 0;
  unsigned long ticks[4] = {};
  long threads = 0;
  constexpr const char* kFields = "%c %d %d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld %*d %*d %ld";
  if (std::sscanf(stat.c_str() + close + 2, kFields, &facts.state, &parent, &group, &session, &ticks[0], &ticks[1], &ticks[2], &ticks[3],
                  &threads) != 9)
    return std::nullopt;
  facts.parent = parent;
  facts.session = session;
  for (const unsigned long each : ticks) facts.cpu_ticks += each;
  facts.threads = threads > 0 ? static_cast<std::uint64_t>(threads) : 0;
  return facts;
}

std::set<pid_t> all_processes() {
  std::set<pid_t> pids;
  DIR* directory = ::opendir("/proc");
  if (!directory) return pids;
  while (const dirent* entry = ::readdir(directory)) {
    const int pid = std::atoi(entry->d_name);
    if (pid > 0) pids.insert(pid);
  }
  ::closedir(directory);
  return pids;
}

std::vector<SeenProcess> descendants(pid_t top) {
  std::map<pid_t, ProcessFacts> seen;
  for (const pid_t pid : all_processes()) {
    if (auto facts = facts_of(pid)) seen.emplace(pid, std::move(*facts));
  }
  // Each is looked for from below; a chain that breaks off is of one that has ended meanwhile, and whose child will be ours soon.
  std::vector<SeenProcess> found;
  for (const auto& [pid, facts] : seen) {
    if (pid == top || facts.state == 'Z' || facts.state == 'X') continue;
    pid_t above = facts.parent;
    for (int depth = 0; above != top && depth < 4096; ++depth) {
      const auto parent = seen.find(above);
      if (parent == seen.end()) break;
      above = parent->second.parent;
    }
    if (above == top) found.push_back({pid, facts});
  }
  return found;
}

int execute_command(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  if (command[0].find('/') != std::string::npos) {
    ::execve(argv[0], argv.data(), environ);
    return errno;
  }
  const char* given = ::getenv("PATH");
  std::string path = given ? given : "/bin:/usr/bin";
  int problem = ENOENT;
  for (std::size_t at = 0; at <= path.size();) {
    std::size_t end = path.find(':', at);
    if (end == std::string::npos) end = path.size();
    const std::string directory = path.substr(at, end - at);
    const std::string file = (directory.empty() ? "." : directory) + "/" + command[0];
    ::execve(file.c_str(), argv.data(), environ);
    if (errno != ENOENT && errno != ENOTDIR) problem = errno;
    at = end + 1;
  }
  return problem;
}

}  // namespace casemate
