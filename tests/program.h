// program: a program that tests talk to while it runs: a registry, a daemon.
#pragma once

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {

/// It runs until this goes, or the test process does; its output is added to the file `log`.
class Program {
 public:
  Program(std::vector<std::string> argv, const std::filesystem::path& log) {
    const UniqueFd out(::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    const pid_t parent = ::getpid();
    int pidfd = -1;
    const pid_t pid = clone_process(0, -1, &pidfd);
    if (pid == 0) {
      if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::getppid() != parent) ::_exit(127);
      ::signal(SIGPIPE, SIG_DFL);
      ::dup2(null.get(), 0);
      ::dup2(out.get(), 1);
      ::dup2(out.get(), 2);
      ::execv(words[0], words.data());
      ::_exit(127);
    }
    child_ = ChildProcess(pid, UniqueFd(pidfd));
  }
  /// Whether it has ended by itself.
  [[nodiscard]] bool ended() { return !child_ || child_.reap(false).has_value(); }
  [[nodiscard]] pid_t pid() const { return child_.pid(); }
  void signal(int number) const { child_.signal(number); }

 private:
  ChildProcess child_;
};

}  // namespace casemate
