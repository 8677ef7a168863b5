#include "apps/agent/worker_process.h"

#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "apps/agent/worker.h"
#include "base/terminal.h"
#include "casemate/outcome.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostGrade = 128u << 20;
constexpr off_t kLogTail = 2048;

struct Start {
  const char* program;
  char* const* argv;
  char* const* environment;
  int input;
  int log;
  pid_t parent;
};

// Where memory runs out it is a task that the kernel ends (proc_pid_oom_score_adj(5)), not the agent.
void volunteer_for_oom() {
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  [[maybe_unused]] const ssize_t put = ::write(file, "500", 3);
  ::close(file);
}

// In the child, beside other threads' locks: system calls alone.
[[noreturn]] void become_worker(const Start& start) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != start.parent) ::_exit(125);  // it died before that
  volunteer_for_oom();
  ::dup2(start.input, STDIN_FILENO);
  ::dup2(start.log, STDOUT_FILENO);
  ::dup2(start.log, STDERR_FILENO);
  ::close_range(3, ~0U, 0);
  // They wait until the worker listens: one that comes before must not kill it, for that would be an error of its task.
  sigset_t held;
  ::sigemptyset(&held);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaddset(&held, number);
    ::signal(number, SIG_DFL);
  }
  ::sigprocmask(SIG_SETMASK, &held, nullptr);
  ::execve(start.program, start.argv, start.environment);
  ::_exit(125);
}

Result<void> write_order(const std::string& path, const WorkOrder& order) {
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  return write_all(file.get(), order_json(order));
}

// What the worker said last, on one line.
std::string last_words(const std::string& path) {
  auto file = open_file(path, O_RDONLY | O_NOFOLLOW);
  if (!file) return "";
  const off_t size = ::lseek(file->get(), 0, SEEK_END);
  ::lseek(file->get(), size > kLogTail ? size - kLogTail : 0, SEEK_SET);
  auto text = read_all(file->get(), 2 * kLogTail);
  if (!text) return "";
  while (text->ends_with('\n')) text->pop_back();
  return printable_line(text->substr(text->rfind('\n') + 1));
}

}  // namespace

Result<WorkerProcess> WorkerProcess::start(const std::string& directory, const WorkOrder& order, const std::string& program) {
  TRY(write_order(fmt::format("{}/{}", directory, kOrderFile), order));
  TRY_ASSIGN(const UniqueFd input, open_file("/dev/null", O_RDONLY));
  TRY_ASSIGN(const UniqueFd log, open_file(fmt::format("{}/{}", directory, kWorkerLog), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
  std::string words[] = {"casemate-agent", "worker", directory};
  char* const argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  UniqueFd files(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (files && ::inotify_add_watch(files.get(), directory.c_str(), IN_MOVED_TO) < 0) files.reset();
  const Start start{program.c_str(), argv, environ, input.get(), log.get(), ::getpid()};
  int pidfd = -1;
  const pid_t pid = clone_process(0, -1, &pidfd);
  if (pid < 0) return fail_errno("start a worker");
  if (pid == 0) become_worker(start);
  ::setpgid(pid, pid);  // whoever is first: the group is there before anybody kills it
  return WorkerProcess(directory, std::move(files), ChildProcess(pid, UniqueFd(pidfd)));
}

void WorkerProcess::kill() {
  if (!process_ || end_) return;
  ::kill(-process_.pid(), SIGKILL);
  process_.signal(SIGKILL);
  end_ = process_.reap();
}

std::optional<Grade> WorkerProcess::left_grade() const {
  const auto text = read_file(fmt::format("{}/{}", directory_, kGradeFile), kMostGrade);
  if (!text) return std::nullopt;
  auto grade = grade_from_json(*text);
  return grade ? std::optional(std::move(*grade)) : std::nullopt;
}

std::optional<Grade> WorkerProcess::early_grade() {
  alignas(inotify_event) char events[4096];
  while (::read(files_.get(), events, sizeof events) > 0) continue;  // which file it was, the grade itself says
  return left_grade();
}

bool WorkerProcess::is_ready() const { return ::access(fmt::format("{}/{}", directory_, kReadyFile).c_str(), F_OK) == 0; }

Grade WorkerProcess::grade() {
  if (!end_) end_ = process_.reap();
  if (auto left = left_grade()) return std::move(*left);
  const Outcome how{end_ && end_->signaled ? Outcome::Kind::signaled : Outcome::Kind::exited, end_ ? end_->code : 0, "", ""};
  const std::string said = last_words(fmt::format("{}/{}", directory_, kWorkerLog));
  return grade_of_error(fmt::format("its worker ended without a grade ({}){}{}", words(how), said.empty() ? "" : ": ", said),
                        Fault::worker);
}

}  // namespace casemate
