// collect_once LOWER DESTINATION COMMAND...: runs COMMAND over an overlay of LOWER at /work, and prints the seconds from the command's last
// byte of output to the result with the changed files copied to DESTINATION, and their number. The command writes its last byte when all
// its work is done, so what is timed is its exit, the end of the cell, and the collection.
#include <chrono>
#include <cstdlib>

#include <fmt/format.h>

#include "casemate/engine.h"

int main(int argc, char** argv) {
  using namespace casemate;
  struct Listener : JobListener {
    std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
    void output(Stream, std::string_view) override { last = std::chrono::steady_clock::now(); }
  } listener;
  if (argc < 4) return 2;
  Job job;
  job.argv.assign(argv + 3, argv + argc);
  job.env = {{"PATH", "/usr/bin:/bin"}};
  job.cwd = "/work";
  job.limits = default_limits();
  job.mounts.push_back({.kind = Mount::Kind::overlay, .target = "/work", .lower = {argv[1]}, .owned = true});
  job.collect = {"/work"};
  job.collect_to = argv[2];
  auto engine = Engine::create({.slots = 1});
  auto result = engine ? (*engine)->run(std::move(job), &listener) : std::unexpected(engine.error());
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - listener.last;
  if (!result || !result->outcome.succeeded() || !result->collect_error.empty()) {
    fmt::print(stderr, "collect_once: {}\n",
               !result                         ? result.error().what
               : result->collect_error.empty() ? words(result->outcome) + " " + result->outcome.detail + result->output.err
                                               : result->collect_error);
    return 1;
  }
  fmt::print("{:.6f} {}\n", took.count(), result->changes.size());
  return 0;
}
