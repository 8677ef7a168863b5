// 1,000 jobs of /bin/true through one Engine, with one slot and with two, in turns with a bare posix_spawn of the same program; and what
// the engine's process has grown by in the end.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <dirent.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job_batch.h"

namespace casemate {
namespace {

constexpr int kBatch = 100;
constexpr int kBatches = 10;

void run_bare() {
  for (int i = 0; i < kBatch; ++i) {
    char name[] = "/bin/true";
    char* const argv[] = {name, nullptr};
    char* const env[] = {nullptr};
    pid_t pid = -1;
    int status = -1;
    if (::posix_spawn(&pid, name, nullptr, nullptr, argv, env) != 0 || ::waitpid(pid, &status, 0) < 0 || status != 0)
      die("can't run /bin/true");
  }
}

double milliseconds_a_job(const std::function<void()>& batch) {
  const auto start = std::chrono::steady_clock::now();
  batch();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / kBatch;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Kilobytes resident now.
long resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + std::strlen("VmRSS:"));
  }
  return 0;
}

int open_files() {
  int count = 0;
  if (DIR* directory = ::opendir("/proc/self/fd")) {
    while (::readdir(directory)) ++count;
    ::closedir(directory);
  }
  return count;
}

void tell_size(const std::string& when) { fmt::print("  {:<18} {:>6} kB resident, {} open files\n", when, resident(), open_files()); }

void measure() {
  auto one = Engine::create({.slots = 1});
  auto two = Engine::create({.slots = 2});
  if (!one || !two) die((one ? two : one).error().what);
  std::vector<double> bare, slot1, slot2;
  for (int batch = -1; batch < kBatches; ++batch) {
    const double times[] = {milliseconds_a_job([&] { run_batch(**one, trivial_job(), kBatch); }), milliseconds_a_job(run_bare),
                            milliseconds_a_job([&] { run_batch(**two, trivial_job(), kBatch); })};
    if (batch < 0) {
      tell_size(fmt::format("after {} jobs", 2 * kBatch));
      continue;  // the warm-up
    }
    slot1.push_back(times[0]);
    bare.push_back(times[1]);
    slot2.push_back(times[2]);
  }
  tell_size(fmt::format("after {} jobs", 2 * kBatch * (kBatches + 1)));  // open files: up to four cells made ahead, some each
  fmt::print("  posix_spawn, no isolation  {:.2f} ms a job\n", median(bare));
  fmt::print("  a cell each, 1 slot        {:.2f} ms a job  ratio {:.2f}x\n", median(slot1), median(slot1) / median(bare));
  fmt::print("  a cell each, 2 slots       {:.2f} ms a job  ratio {:.2f}x\n", median(slot2), median(slot2) / median(bare));
}

}  // namespace
}  // namespace casemate

int main() {
  casemate::tell_size("before");
  casemate::measure();
  casemate::tell_size("engines gone");
}
