#include "cell/processes.h"

#include <cerrno>
#include <cstring>

#include <sys/resource.h>
#include <sys/shm.h>

namespace casemate {
namespace {

// System V segments in memory, attached or not, in bytes: a detached one is in no process's resident set.
std::uint64_t segments_in_use() {
  shm_info info{};
  if (::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info)) < 0) return 0;
  return static_cast<std::uint64_t>(info.shm_rss) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// The path "/proc/<pid>/task" in `out`, which has room.
void task_directory(int pid, char* out) {
  char digits[12];
  int count = 0;
  for (int rest = pid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  std::strcpy(out, "/proc/");
  out += 6;
  while (count > 0) *out++ = digits[--count];
  std::strcpy(out, "/task");
}

// Resident bytes of one process or thread; 0 if it has no memory: it has gone, is a zombie, or only its threads still run.
std::uint64_t resident_bytes(int proc, int pid) {
  char text[512];
  if (!read_process_file(proc, pid, "statm", text, sizeof text)) return 0;
  const char* second = std::strchr(text, ' ');
  return second ? number_at(second) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) : 0;
}

// The pid or, where a process's first thread has ended before the others, a thread that still shows the memory of all; 0: there is none.
int with_memory(int proc, int pid) {
  if (resident_bytes(proc, pid) > 0) return pid;
  int found = 0;
  char tasks[32];
  task_directory(pid, tasks);
  each_process(
      [&](int directory, int thread) {
        if (thread != pid && resident_bytes(directory, thread) > 0) found = thread;
        return found == 0;
      },
      tasks);
  return found;
}

}  // namespace

int open_process_file(int proc, int pid, const char* file, int flags) {
  char path[48];
  char digits[12];
  int count = 0;
  for (int rest = pid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  char* out = path;
  while (count > 0) *out++ = digits[--count];
  *out++ = '/';
  std::strcpy(out, file);
  const int fd = ::openat(proc, path, flags | O_CLOEXEC);
  if (fd < 0 && errno == EMFILE) ::_exit(1);
  return fd;
}

bool read_process_file(int proc, int pid, const char* file, char* buffer, std::size_t size) {
  const int fd = open_process_file(proc, pid, file, O_RDONLY);
  if (fd < 0) return false;
  const ssize_t got = ::read(fd, buffer, size - 1);
  ::close(fd);
  if (got <= 0) return false;
  buffer[got] = '\0';
  return true;
}

std::uint64_t number_at(const char* text) {
  while (*text == ' ' || *text == '\t') ++text;
  std::uint64_t value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + static_cast<std::uint64_t>(*text++ - '0');
  return value;
}

const char* stat_field(const char* stat, int field) {
  const char* at = std::strrchr(stat, ')');
  if (!at) return "";
  ++at;
  for (int i = 3; i <= field && at; ++i) {
    at = std::strchr(at, ' ');
    if (at) ++at;
  }
  return at ? at : "";
}

std::uint64_t memory_in_use(std::uint64_t limit) {
  const std::uint64_t segments = segments_in_use();
  std::uint64_t resident = segments;
  const bool seen = each_process([&](int proc, int pid) {
    const int shown = with_memory(proc, pid);
    if (shown > 0) resident += resident_bytes(proc, shown);
    return true;
  });
  if (!seen) return ~0ull;
  if (resident <= limit) return resident;
  std::uint64_t proportional = segments;
  char text[512];
  each_process([&](int proc, int pid) {
    const int shown = with_memory(proc, pid);
    if (shown == 0) return true;
    const char* pss = read_process_file(proc, shown, "smaps_rollup", text, sizeof text) ? std::strstr(text, "\nPss:") : nullptr;
    proportional += pss ? number_at(pss + 5) * 1024 : resident_bytes(proc, shown);  // a program that may not be read does not show it
    return true;
  });
  return proportional;
}

std::uint64_t cpu_in_use_us() {
  rusage reaped{};
  ::getrusage(RUSAGE_CHILDREN, &reaped);
  std::uint64_t total = static_cast<std::uint64_t>(reaped.ru_utime.tv_sec + reaped.ru_stime.tv_sec) * 1'000'000 +
                        static_cast<std::uint64_t>(reaped.ru_utime.tv_usec + reaped.ru_stime.tv_usec);
  const auto tick_us = 1'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  char text[1024];
  each_process([&](int proc, int pid) {
    if (read_process_file(proc, pid, "stat", text, sizeof text))
      total += (number_at(stat_field(text, 14)) + number_at(stat_field(text, 15))) * tick_us;
    return true;
  });
  return total;
}

}  // namespace casemate
