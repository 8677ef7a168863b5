#include <csignal>
#include <utility>

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "docker/credentials.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {
namespace {

constexpr std::size_t kMostAnswer = 64u << 10;
constexpr std::chrono::seconds kPatience{30};

// The program with its stdin and stdout; no other descriptor of ours is left open to it.
Result<ChildProcess> spawn(const std::string& program, int in, int out) {
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!null) return fail_errno("open /dev/null");
  std::string get = "get";
  std::string path = program;
  char* const argv[] = {path.data(), get.data(), nullptr};
  const pid_t parent = ::getpid();
  sigset_t none;
  sigemptyset(&none);
  int pidfd = -1;
  const pid_t pid = clone_process(0, -1, &pidfd);
  if (pid < 0) return fail_errno("start " + program);
  if (pid == 0) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::getppid() != parent) ::_exit(127);
    ::signal(SIGPIPE, SIG_DFL);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(null.get(), 2) < 0) ::_exit(127);
    ::execv(argv[0], argv);
    ::_exit(127);
  }
  return ChildProcess(pid, UniqueFd(pidfd));
}

class RunningHelper final : public CredentialHelper {
 public:
  RunningHelper(Reactor& reactor, const std::string& name, const std::string& registry, Done done)
      : reactor_(reactor), name_("docker-credential-" + name), done_(std::move(done)) {
    const Result<void> started = start(registry);
    timer_ = reactor_.schedule(Reactor::Clock::now() + (started ? kPatience : std::chrono::seconds(0)), [this, started] {
      timer_ = 0;
      finish(started ? fail(ErrorCode::system, fmt::format("{} hangs", name_)) : Answer(std::unexpected(started.error())));
    });
  }
  ~RunningHelper() override { end(); }
  RunningHelper(const RunningHelper&) = delete;
  RunningHelper& operator=(const RunningHelper&) = delete;

 private:
  using Answer = Result<std::optional<RegistryCredentials>>;

  Result<void> start(const std::string& registry) {
    const std::string program = program_on_path(name_);
    if (program.empty()) return fail(ErrorCode::not_found, fmt::format("{} (of docker's config.json) is not installed", name_));
    TRY_ASSIGN(Pipe in, make_pipe());
    TRY_ASSIGN(Pipe out, make_pipe());
    TRY_ASSIGN(child_, spawn(program, in.read.get(), out.write.get()));
    in.read.reset();
    TRY(write_all(in.write.get(), server_address(registry)));  // fits into the pipe
    out_ = std::move(out.read);
    ::fcntl(out_.get(), F_SETFL, O_NONBLOCK);
    return reactor_.watch(out_.get(), [this] { read(); });
  }

  void read() {
    char piece[4096];
    for (;;) {
      const ssize_t got = ::read(out_.get(), piece, sizeof piece);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got > 0 && answer_.size() <= kMostAnswer) answer_.append(piece, static_cast<std::size_t>(got));
      if (got > 0 && answer_.size() <= kMostAnswer) continue;
      break;
    }
    reactor_.unwatch(out_.get());
    out_.reset();
    if (!reactor_.watch(child_.pidfd(), [this] { judge(); })) judge();
  }

  void judge() {
    reactor_.unwatch(child_.pidfd());
    const auto end = child_.reap();
    if (end && (end->signaled || end->code != 0)) {
      if (answer_.find("credentials not found") != std::string::npos) return finish(std::nullopt);
      return finish(fail(ErrorCode::system, fmt::format("{} failed: {}", name_, printable_line(answer_.substr(0, 200)))));
    }
    const auto json = untrusted_object(answer_);
    const std::string user = json ? text_at(*json, "Username") : "";
    const std::string secret = json ? text_at(*json, "Secret") : "";
    if (secret.empty()) return finish(fail(ErrorCode::corrupt, fmt::format("{} answers without a secret", name_)));
    finish(user == "<token>" ? RegistryCredentials{.user = "", .password = "", .identity_token = secret}
                             : RegistryCredentials{.user = user, .password = secret, .identity_token = ""});
  }

  void end() {
    reactor_.cancel(std::exchange(timer_, 0));
    if (out_) reactor_.unwatch(out_.get());
    if (child_) reactor_.unwatch(child_.pidfd());
    out_.reset();
    child_.kill_and_reap();
  }

  void finish(Answer answer) {
    end();
    const Done done = std::move(done_);
    done(std::move(answer));  // this may be gone now
  }

  Reactor& reactor_;
  std::string name_;
  Done done_;
  ChildProcess child_;
  UniqueFd out_;
  std::string answer_;
  Reactor::TimerId timer_ = 0;
};

}  // namespace

std::unique_ptr<CredentialHelper> CredentialHelper::ask(Reactor& reactor, const std::string& name, const std::string& registry, Done done) {
  return std::make_unique<RunningHelper>(reactor, name, registry, std::move(done));
}

}  // namespace casemate
