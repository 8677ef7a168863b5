#include "apps/run/run.h"

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

#include "apps/run/arguments.h"
#include "apps/run/input.h"
#include "base/terminal.h"
#include "casemate/engine.h"
#include "sys/fd.h"

namespace casemate {
namespace {

/// Passes the job's output on as it comes.
class Forwarder final : public JobListener {
 public:
  void output(Stream stream, std::string_view bytes) override {
    const int fd = stream == Stream::out ? 1 : 2;
    if (!write_all(fd, ::isatty(fd) ? printable(bytes) : std::string(bytes))) broken_ = true;
  }

 private:
  bool broken_ = false;
};

int exit_status(const JobResult& result, const Engine& engine) {
  const Outcome& outcome = result.outcome;
  switch (outcome.kind) {
    case Outcome::Kind::exited: return outcome.code;
    case Outcome::Kind::signaled: return 128 + outcome.code;
    case Outcome::Kind::timed_out: return 124;
    case Outcome::Kind::out_of_memory:
    case Outcome::Kind::output_limit: return 137;
    case Outcome::Kind::too_many_processes:
    case Outcome::Kind::disk_limit: return outcome.code > 0 ? outcome.code : 1;
    case Outcome::Kind::setup_failed:
      if (!outcome.step.starts_with("execve ")) return 125;
      return outcome.code == ENOENT || outcome.code == ENOTDIR ? 127 : 126;
    case Outcome::Kind::cancelled: return engine.cancelled_by_signal() > 0 ? 128 + engine.cancelled_by_signal() : 125;
    case Outcome::Kind::lost: return 125;
  }
  return 125;
}

int complain(const Error& error) {
  fmt::print(stderr, "casemate run: {}\n", printable_name(error.what));
  return 125;
}

int run(RunRequest& request) {
  // Before the engine: the process that feeds the pipe must not hold any of the engine's descriptors, nor its blocked signals.
  Result<Input> input;
  if (request.job.forward_stdin) {
    input = Input::from(0);
    if (!input) return complain(input.error());
    request.job.stdin_fd = input->fd();
  }
  auto engine = Engine::create({.executor = request.executor, .slots = 1});
  if (!engine) return complain(engine.error());
  if (auto watched = (*engine)->cancel_on_signals(); !watched) return complain(watched.error());
  Forwarder forwarder;
  if (!request.json) request.job.capture_bytes = 0;
  auto result = (*engine)->run(std::move(request.job), request.json ? nullptr : &forwarder);
  if (!result) return complain(result.error());
  const Outcome& outcome = result->outcome;
  if (!request.quiet) {
    for (const std::string& note : result->notes) fmt::print(stderr, "casemate run: note: {}\n", note);
    if (outcome.kind != Outcome::Kind::exited && outcome.kind != Outcome::Kind::signaled) fmt::print(stderr, "casemate run: {}\n", words(outcome));
  }
  return exit_status(*result, **engine);
}

}  // namespace

int run_main(const std::vector<std::string>& arguments) {
  ParsedRun parsed = parse_run(arguments, "casemate run");
  if (parsed.stop) {
    fmt::print(parsed.exit_status == 0 ? stdout : stderr, "{}\n", parsed.text);
    return parsed.exit_status;
  }
  return run(parsed.request);
}

}  // namespace casemate
