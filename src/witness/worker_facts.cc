#include "witness/worker_facts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>

#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/terminal.h"
#include "sys/fd.h"
#include "sys/process.h"
#include "witness/order.h"
#include "witness/user_namespace.h"

namespace casemate {
namespace {

// The first process of the pid namespace is the one that may mount its proc(5).
bool mounts_proc() {
  const pid_t first = ::fork();
  if (first == 0) {
    const bool mounted = ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0;
    ::_exit(mounted ? 0 : 1);
  }
  int status = 0;
  return first > 0 && ::waitpid(first, &status, 0) == first && status == 0;
}

void try_namespaces(WorkerFacts& facts) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) < 0) {
    facts.user_namespace_problem = errno;
    return;
  }
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  struct Found {
    int problem = 0;
    bool proc = false;
  } found;
  const pid_t child = ::fork();
  if (child == 0) {
    found.problem = enter_user_namespace(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET);
    found.proc = found.problem == 0 && mounts_proc();
    [[maybe_unused]] const auto told = ::write(write_end.get(), &found, sizeof found);
    ::_exit(0);
  }
  const int forked = errno;
  write_end.reset();
  if (child < 0 || ::read(read_end.get(), &found, sizeof found) != sizeof found) found = {child < 0 ? forked : EIO, false};
  if (child > 0) ::waitpid(child, nullptr, 0);
  facts.user_namespace_problem = found.problem;
  facts.fresh_proc = found.proc;
}

bool any_interface_but_lo() {
  struct if_nameindex* const all = ::if_nameindex();
  bool found = false;
  for (const struct if_nameindex* each = all; each && each->if_index != 0; ++each) found |= std::string_view(each->if_name) != "lo";
  if (all) ::if_freenameindex(all);
  return found;
}

// Ours, the engine's own around us in the same pid namespace, and hardly more: a worker's machine has dozens.
bool few_processes() {
  std::size_t count = 0;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", problem)) {
    const std::string name = entry.path().filename();
    count += name.find_first_not_of("0123456789") == std::string::npos ? 1 : 0;
  }
  return count > 0 && count <= 8;
}

}  // namespace

std::string covered_places(std::string_view mountinfo) {
  constexpr std::array<std::string_view, 8> kOfImages = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt"};
  std::string places;
  while (!mountinfo.empty()) {
    const auto end = std::min(mountinfo.find('\n'), mountinfo.size());
    std::string_view line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(std::min(end + 1, mountinfo.size()));
    for (int fields = 0; fields < 4; ++fields) line.remove_prefix(line.contains(' ') ? line.find(' ') + 1 : line.size());
    const std::string_view place = line.substr(0, line.find(' '));  // the fifth (proc_pid_mountinfo(5)); blanks in it are escaped
    if (!place.starts_with('/') || places.size() > 100) continue;
    const std::string_view first = place.substr(1, place.find('/', 1) - 1);
    if (std::find(kOfImages.begin(), kOfImages.end(), first) == kOfImages.end()) continue;
    places += fmt::format("{}{}", places.empty() ? "" : " ", place);
  }
  return places;
}

std::string_view namespaces_hint(bool root) {
  return root ? "root without CAP_SETFCAP may not map itself: ask for another user, where the engine has a property for it (buildbox: "
                "--remote-property unixUID=1000)"
              : "the worker's kernel or sandbox has to allow user namespaces";
}

WorkerFacts look_at_worker() {
  WorkerFacts facts;
  utsname names{};
  ::uname(&names);
  facts.kernel = names.release;
  facts.machine = names.machine;
  facts.uid = ::geteuid();
  facts.gid = ::getegid();
  cpu_set_t cpus;
  if (::sched_getaffinity(0, sizeof cpus, &cpus) == 0) facts.cpus = static_cast<std::uint32_t>(CPU_COUNT(&cpus));
  facts.own_processes = few_processes();
  facts.has_network = any_interface_but_lo();
  facts.at_root = ::access(("/" + std::string(kActionOrder)).c_str(), F_OK) == 0;
  if (facts.at_root) facts.covered = covered_places(read_file("/proc/self/mountinfo", 1u << 20).value_or(""));
  facts.python = program_on_path("python3");
  try_namespaces(facts);
  return facts;
}

std::string facts_text(const WorkerFacts& facts) {
  return fmt::format(
      "kernel {}\nmachine {}\nuid {}\ngid {}\ncpus {}\nuser_namespace_problem {}\nfresh_proc {:d}\nown_processes {:d}\nhas_network {:d}\n"
      "at_root {:d}\ncovered {}\npython {}\n",
      facts.kernel, facts.machine, facts.uid, facts.gid, facts.cpus, facts.user_namespace_problem, facts.fresh_proc, facts.own_processes,
      facts.has_network, facts.at_root, facts.covered, facts.python);
}

Result<WorkerFacts> read_facts(std::string_view text) {
  std::map<std::string_view, std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto space = std::min(line.find(' '), line.size());
    lines.emplace(line.substr(0, space), line.substr(std::min(space + 1, line.size())));
  }
  bool sound = true;
  const auto line = [&](std::string_view name) {
    const auto found = lines.find(name);
    sound &= found != lines.end();
    return found == lines.end() ? std::string_view() : found->second;
  };
  const auto number = [&](std::string_view name, std::uint32_t most) {
    const std::string_view digits = line(name);
    std::uint32_t value = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    sound &= problem == std::errc() && end == digits.data() + digits.size() && value <= most;
    return value;
  };
  const auto words = [&](std::string_view name) { return printable_line(line(name).substr(0, 200)); };
  WorkerFacts facts;
  facts.kernel = words("kernel");
  facts.machine = words("machine");
  facts.uid = number("uid", ~0u);
  facts.gid = number("gid", ~0u);
  facts.cpus = number("cpus", 1u << 20);
  facts.user_namespace_problem = static_cast<int>(number("user_namespace_problem", 4095));
  facts.fresh_proc = number("fresh_proc", 1) != 0;
  facts.own_processes = number("own_processes", 1) != 0;
  facts.has_network = number("has_network", 1) != 0;
  facts.at_root = number("at_root", 1) != 0;
  facts.covered = words("covered");
  facts.python = words("python");
  if (!sound) return fail(ErrorCode::corrupt, "what the worker said of itself makes no sense");
  return facts;
}

}  // namespace casemate
