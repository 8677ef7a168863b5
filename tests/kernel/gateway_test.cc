// A gateway must not outlive who started it.
#include "engine/gateway.h"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace casemate {
namespace {

// In a process that inherits the orphans: starts a gateway in another, kills that, and waits for all. 0: nothing stayed.
int kill_an_engine() {
  ::alarm(20);  // what stayed would be waited for for ever
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  int said[2];
  if (::pipe(said) < 0) return 1;
  const pid_t engine = ::fork();
  if (engine == 0) {
    ::close(said[0]);
    const int user = ::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    if (::unshare(CLONE_NEWNET) < 0) ::_exit(2);
    const int network = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    auto gateway = Gateway::attach(network, user, false);
    if (!gateway || ::write(said[1], "", 1) != 1) ::_exit(3);
    for (;;) ::pause();
  }
  ::close(said[1]);
  char byte;
  if (::read(said[0], &byte, 1) != 1) return 4;
  ::kill(engine, SIGKILL);
  while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  return 0;
}

TEST(Gateway, ends_when_its_engine_is_killed) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a network namespace needs root";
  if (const auto available = Gateway::available(); !available) GTEST_SKIP() << available.error().what;
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(kill_an_engine());
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status)) << "something lived on: signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace casemate
