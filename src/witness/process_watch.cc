#include "witness/process_watch.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "witness/process_list.h"

namespace casemate {
namespace {

// Memory is taken fast at the beginning, if ever: a look costs about 20 us a process.
constexpr auto kFirstLooks = std::chrono::milliseconds(5);
constexpr auto kFirst = std::chrono::milliseconds(300);
constexpr auto kLook = std::chrono::milliseconds(20);
constexpr auto kIdle = std::chrono::milliseconds(200);

// Its own memory, and not what it shares: files' pages, and a parent's before they are written.
std::uint64_t own_bytes(pid_t pid) {
  static const auto kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  unsigned long long size = 0, resident = 0, shared = 0;
  if (std::sscanf(small_file(fmt::format("/proc/{}/statm", pid)).c_str(), "%llu %llu %llu", &size, &resident, &shared) != 3) return 0;
  return (resident - std::min(resident, shared)) * kPage;
}

}  // namespace

bool ProcessWatch::sees_all() { return std::atoi(small_file("/proc/self/stat").c_str()) == ::getpid(); }

ProcessWatch::Clock::time_point ProcessWatch::next_look(Clock::time_point began) const {
  auto next = Clock::now() + kIdle;
  if (counts()) next = std::min(next, next_);
  if (limits_.wall) next = std::min(next, began + *limits_.wall + std::chrono::milliseconds(1));
  return next;
}

EndedFor ProcessWatch::look(Clock::time_point began, pid_t top) {
  const auto now = Clock::now();
  if (limits_.wall && now - began >= *limits_.wall) return EndedFor::wall;
  if (!counts() || now < next_) return EndedFor::nothing;
  next_ = now + (now - began < kFirst ? kFirstLooks : kLook);
  return count(top);
}

EndedFor ProcessWatch::count(pid_t top) {
  std::uint64_t memory = 0, threads = 0, ticks = 0;
  for (const SeenProcess& each : descendants(top)) {
    memory += own_bytes(each.pid);
    threads += std::max<std::uint64_t>(each.facts.threads, 1);
    ticks += each.facts.cpu_ticks;
  }
  peak_memory_ = std::max(peak_memory_, memory);
  peak_pids_ = std::max(peak_pids_, threads);
  if (limits_.memory_bytes && memory > *limits_.memory_bytes) return EndedFor::memory;
  if (limits_.pids && threads > *limits_.pids) return EndedFor::pids;
  if (!limits_.cpu_time) return EndedFor::nothing;
  rusage ended{};
  ::getrusage(RUSAGE_CHILDREN, &ended);
  const auto microseconds = [](const timeval& time) { return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec); };
  static const auto kTick = std::chrono::microseconds(1'000'000 / std::max(1L, ::sysconf(_SC_CLK_TCK)));
  const auto used = microseconds(ended.ru_utime) + microseconds(ended.ru_stime) + ticks * kTick;
  return used > *limits_.cpu_time ? EndedFor::cpu_time : EndedFor::nothing;
}

}  // namespace casemate
