#include "engine/gateway.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cell/host.h"
#include "sys/fd.h"

extern char** environ;

namespace casemate {
namespace {

constexpr int kNetworkFd = 3;
constexpr int kUserFd = 4;

// The first of these programs on PATH, with the engine's own idea of PATH; "" if there is none.
std::string find_program(const char* name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    const std::string candidate = fmt::format("{}/{}", rest.substr(0, colon), name);
    if (candidate[0] == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return "";
}

// passt(1): no port is forwarded either way, and the gateway's address does not stand for the host.
std::vector<std::string> pasta_command(const std::string& program, const std::string& network, const std::string& user, bool forward_resolver) {
  std::vector<std::string> command = {program, "--foreground", "--quiet", "--config-net", "--no-map-gw", "-t",   "none", "-u",
                                      "none",  "-T",           "none",    "-U",           "none",        "--netns", network, "--userns", user};
  // Only then: answers of the host's resolver come from this address, which a cell that asked the resolver itself would not take.
  if (forward_resolver) command.insert(command.end(), {"--dns-forward", kGatewayResolver});
  // Started by root it would become nobody, who may not join the namespaces; so it stays what it is, and joins a user namespace where that means nothing.
  if (::geteuid() == 0) command.insert(command.begin() + 1, {"--runas", "0:0"});
  return command;
}

// slirp4netns(1): --disable-host-loopback keeps 127.0.0.1 of the host shut.
std::vector<std::string> slirp_command(const std::string& program, const std::string& network, const std::string& user) {
  return {program, "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", "--userns-path=" + user, network, "tap0"};
}

}  // namespace

Result<void> Gateway::available() {
  // Both make their interface with it inside the cell's network namespace, as whoever runs casemate.
  if (::access("/dev/net/tun", R_OK | W_OK) < 0)
    return fail(ErrorCode::not_supported, fmt::format("network 'outbound' needs read and write access to /dev/net/tun ({}); have root 'chmod 666 /dev/net/tun' "
                                                      "(and 'modprobe tun'), or choose --network none (no network) or --network host (the host's own, not isolated)", std::strerror(errno)), errno);
  if (!find_program("pasta").empty() || !find_program("slirp4netns").empty()) return {};
  return fail(ErrorCode::not_supported,
              "network 'outbound' needs pasta or slirp4netns on PATH (Debian: apt-get install passt); install one, or choose --network none (no network) or "
              "--network host (the host's own, not isolated)");
}

Result<std::unique_ptr<Gateway>> Gateway::attach(int network_namespace, int user_namespace, bool forward_resolver) {
  TRY(available());
  // By inherited fds: the program has dropped its capabilities before it opens these, and then may not look into another process's /proc.
  const std::string network = fmt::format("/proc/self/fd/{}", kNetworkFd);
  const std::string user = fmt::format("/proc/self/fd/{}", kUserFd);
  const std::string pasta = find_program("pasta");
  std::vector<std::string> command = pasta.empty() ? slirp_command(find_program("slirp4netns"), network, user) : pasta_command(pasta, network, user, forward_resolver);
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  // dup2 of a descriptor onto itself clears O_CLOEXEC there (POSIX), so equal numbers do no harm; crossed ones are moved out of the way first.
  UniqueFd network_copy(::fcntl(network_namespace, F_DUPFD_CLOEXEC, kUserFd + 1));
  UniqueFd user_copy(::fcntl(user_namespace, F_DUPFD_CLOEXEC, kUserFd + 1));
  posix_spawn_file_actions_adddup2(&actions, network_copy.get(), kNetworkFd);
  posix_spawn_file_actions_adddup2(&actions, user_copy.get(), kUserFd);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t plain;
  ::sigemptyset(&plain);
  ::sigaddset(&plain, SIGPIPE);  // ours is ignored, which some versions of pasta take for an error
  posix_spawnattr_setsigdefault(&attributes, &plain);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int problem = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (problem != 0) return fail_errno("start " + command[0], problem);
  return std::unique_ptr<Gateway>(new Gateway(ChildProcess(pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))))));
}

}  // namespace casemate
