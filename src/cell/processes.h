// processes: the processes of a cell, as its init sees them in /proc. Obeys the rules of child.h.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace casemate {

/// As getdents64(2) gives it.
struct linux_dirent64 {
  std::uint64_t d_ino;
  std::int64_t d_off;
  unsigned short d_reclen;
  unsigned char d_type;
  char d_name[1];
};

/// Visits every process of the pid namespace but init, in the order of their ids: visit(fd of /proc, pid) until it says false. False if
/// /proc can't be read.
template <class Visit>
bool each_process(Visit visit, const char* directory = "/proc") {
  const int proc = ::open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0 && errno == EMFILE) ::_exit(1);  // as open_process_file()
  if (proc < 0) return false;
  alignas(8) char buffer[4096];
  long got;
  bool more = true;
  while (more && (got = ::syscall(SYS_getdents64, proc, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < got && more;) {
      const auto* entry = reinterpret_cast<const linux_dirent64*>(buffer + at);
      at += entry->d_reclen;
      int pid = 0;
      const char* digit = entry->d_name;
      while (*digit >= '0' && *digit <= '9' && pid < 100'000'000) pid = pid * 10 + (*digit++ - '0');
      if (*digit == '\0' && pid > 1) more = visit(proc, pid);
    }
  }
  ::close(proc);
  return true;
}

/// Opens proc/<pid>/<file>; -1 if it is gone. Ends init where it may open nothing more: somebody in the cell has lowered its RLIMIT_NOFILE
/// (prlimit(2)), and a watchdog that can't look ends the cell.
int open_process_file(int proc, int pid, const char* file, int flags);

/// Reads it into `buffer` as a C string; false if it is gone.
bool read_process_file(int proc, int pid, const char* file, char* buffer, std::size_t size);

/// The number at the start of a text, after blanks; 0 if there is none.
std::uint64_t number_at(const char* text);

/// The n-th field of a /proc/<pid>/stat, counted as proc_pid_stat(5) does (3 is the state, the first after the name).
const char* stat_field(const char* stat, int field);

/// Memory of the cell, in bytes: resident sets, and where these add up to more than `limit`, proportional sets (shared pages once); and
/// System V segments, which count twice where they are attached. All there is if it can't be seen: then somebody has taken init's means to
/// look.
std::uint64_t memory_in_use(std::uint64_t limit);

/// CPU time of all that is in the cell and of what was reaped, in microseconds.
std::uint64_t cpu_in_use_us();

}  // namespace casemate
