// Prints the functions of a program in the order in which a run first reaches them, for the linker (cmake/order.txt, `./dev order`). Takes
// the program's symbols (`nm --defined-only`) on stdin, runs the command one instruction at a time, with every process that is made of the
// same program. x86-64 and aarch64 Linux; a run takes seconds.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Function {
  std::uint64_t at;
  std::string name;
  bool reached = false;
};

std::vector<Function> read_functions(std::istream& symbols) {
  std::vector<Function> functions;
  std::string address, type, name;
  while (symbols >> address >> type >> name) {
    if (type.find_first_of("tTwWi") == 0) functions.push_back({std::strtoull(address.c_str(), nullptr, 16), name});
  }
  std::sort(functions.begin(), functions.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return functions;
}

std::uint64_t program_counter(pid_t pid) {
  user_regs_struct registers{};
  iovec part{&registers, sizeof registers};
  if (::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part) < 0) return 0;
#ifdef __x86_64__
  return registers.rip;
#else
  return registers.pc;
#endif
}

void reach(std::vector<Function>& functions, std::uint64_t counter) {
  auto next = std::upper_bound(functions.begin(), functions.end(), counter, [](std::uint64_t at, const Function& f) { return at < f.at; });
  if (next == functions.begin()) return;
  Function& here = *std::prev(next);
  // The last one's end is not known: a function of 1 MiB is none.
  if (here.reached || counter - here.at > 1 << 20) return;
  here.reached = true;
  std::printf("%s\n", here.name.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: nm --defined-only PROGRAM | first_reached PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  std::vector<Function> functions = read_functions(std::cin);
  // Each step is a switch to the other process and back: a hundred times slower across two CPUs.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(::sched_getcpu(), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  const pid_t first = ::fork();
  if (first == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(null, 1);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execv(argv[1], argv + 1);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(first, &status, 0);
  const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  ::ptrace(PTRACE_SETOPTIONS, first, nullptr, options);
  ::ptrace(PTRACE_SINGLESTEP, first, nullptr, nullptr);
  int result = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, __WALL)) > 0;) {
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (pid == first) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
      continue;
    }
    const int event = status >> 16;
    if (event == PTRACE_EVENT_EXEC) {  // another program
      ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
      continue;
    }
    const int signal = WSTOPSIG(status);
    const bool ours = signal == SIGTRAP || signal == SIGSTOP;
    reach(functions, program_counter(pid));
    ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, ours ? 0 : signal);
  }
  return result;
}
