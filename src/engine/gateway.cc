#include "engine/gateway.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell/host.h"
#include "sys/fd.h"
#include "sys/process.h"

extern char** environ;

namespace casemate {
namespace {

constexpr int kNetworkFd = 3;
constexpr int kUserFd = 4;

// passt(1): no port is forwarded either way, and the gateway's address does not stand for the host.
std::vector<std::string> pasta_command(const std::string& program, const std::string& network, const std::string& user,
                                       bool forward_resolver) {
  std::vector<std::string> command = {program, "--foreground", "--quiet", "--config-net", "--no-map-gw", "-t",    "none",     "-u", "none",
                                      "-T",    "none",         "-U",      "none",         "--netns",     network, "--userns", user};
  // Only then: answers of the host's resolver come from this address, which a cell that asked the resolver itself would not take.
  if (forward_resolver) command.insert(command.end(), {"--dns-forward", kGatewayResolver});
  // Started by root it would become nobody, who may not join the namespaces; so it stays what it is, and joins a user namespace where that
  // means nothing.
  if (::geteuid() == 0) command.insert(command.begin() + 1, {"--runas", "0:0"});
  return command;
}

// slirp4netns(1): --disable-host-loopback keeps 127.0.0.1 of the host shut.
std::vector<std::string> slirp_command(const std::string& program, const std::string& network, const std::string& user) {
  return {program, "--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path", "--userns-path=" + user, network, "tap0"};
}

// In the program's own process. ENOEXEC and the like look to the engine as a gateway that ended early.
[[noreturn]] void become(char* const* argv, int network, int user) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; ++fd) {
    if (null < 0 || ::dup2(null, fd) < 0) ::_exit(127);
  }
  if (::dup2(network, kNetworkFd) < 0 || ::dup2(user, kUserFd) < 0) ::_exit(127);
  ::syscall(SYS_close_range, kUserFd + 1, ~0u, 0);
  ::execve(argv[0], argv, environ);
  ::_exit(127);
}

// The gateway's keeper: starts the program and ends with it, and ends it when the engine has gone, by whatever signal. A parent-death
// signal in the program would do neither: pasta changes its credentials, which clears it (prctl(2)). `engine` reads as ended when nobody
// holds the other end.
[[noreturn]] void keep(char* const* argv, int network, int user, int engine) {
  ::setsid();
  struct sigaction plain{};
  plain.sa_handler = SIG_DFL;
  ::sigaction(SIGPIPE, &plain, nullptr);  // ours is ignored, which some versions of pasta take for an error
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  int pidfd = -1;
  const pid_t program = clone_process(0, -1, &pidfd);
  if (program < 0) ::_exit(127);
  if (program == 0) become(argv, network, user);
  // Neither the engine's end of the pipe nor anything of cells may live on here.
  if (::dup2(engine, 0) < 0 || ::dup2(pidfd, 1) < 0) {
    ::kill(program, SIGKILL);
    ::_exit(127);
  }
  ::syscall(SYS_close_range, 2, ~0u, 0);
  pollfd watched[2] = {{0, POLLIN, 0}, {1, POLLIN, 0}};
  while (::poll(watched, 2, -1) < 0 && errno == EINTR) {
  }
  ::kill(program, SIGKILL);  // not reaped yet, so the pid is its own
  ::waitpid(program, nullptr, 0);
  ::_exit(0);
}

}  // namespace

Result<void> Gateway::available() {
  // Both make their interface with it inside the cell's network namespace, as whoever runs casemate.
  if (::access("/dev/net/tun", R_OK | W_OK) < 0)
    return fail(ErrorCode::not_supported,
                fmt::format("network 'outbound' needs read and write access to /dev/net/tun ({}); have root 'chmod 666 /dev/net/tun' "
                            "(and 'modprobe tun'), or choose --network none (no network) or --network host (the host's own, not isolated)",
                            std::strerror(errno)),
                errno);
  if (!program_on_path("pasta").empty() || !program_on_path("slirp4netns").empty()) return {};
  return fail(ErrorCode::not_supported,
              "network 'outbound' needs pasta or slirp4netns on PATH (Debian: apt-get install passt); install one, or choose --network "
              "none (no network) or "
              "--network host (the host's own, not isolated)");
}

Result<std::unique_ptr<Gateway>> Gateway::attach(int network_namespace, int user_namespace, bool forward_resolver) {
  TRY(available());
  // By inherited fds: the program has dropped its capabilities before it opens these, and then may not look into another process's /proc.
  const std::string network = fmt::format("/proc/self/fd/{}", kNetworkFd);
  const std::string user = fmt::format("/proc/self/fd/{}", kUserFd);
  const std::string pasta = program_on_path("pasta");
  std::vector<std::string> command =
      pasta.empty() ? slirp_command(program_on_path("slirp4netns"), network, user) : pasta_command(pasta, network, user, forward_resolver);
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);

  TRY_ASSIGN(Pipe life, make_pipe());
  // Above what the keeper puts at 0 to 4.
  const UniqueFd network_copy(::fcntl(network_namespace, F_DUPFD_CLOEXEC, kUserFd + 1));
  const UniqueFd user_copy(::fcntl(user_namespace, F_DUPFD_CLOEXEC, kUserFd + 1));
  const UniqueFd engine(::fcntl(life.read.get(), F_DUPFD_CLOEXEC, kUserFd + 1));
  if (!network_copy || !user_copy || !engine) return fail_errno("start " + command[0]);
  int pidfd = -1;
  const pid_t pid = clone_process(0, -1, &pidfd);
  if (pid < 0) return fail_errno("start " + command[0]);
  if (pid == 0) keep(argv.data(), network_copy.get(), user_copy.get(), engine.get());
  return std::unique_ptr<Gateway>(new Gateway(ChildProcess(pid, UniqueFd(pidfd)), std::move(life.write)));
}

Gateway::~Gateway() {
  engine_.reset();  // at which the keeper ends the program; killed itself it could not
  (void)process_.reap();
}

}  // namespace casemate
