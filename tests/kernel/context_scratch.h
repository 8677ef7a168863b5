// context_scratch: contexts for one test, and commands in few words.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/context.h"
#include "engine_test.h"

namespace casemate {

/// `engine_` is ready; contexts are made by open() and end before it.
class ContextTest : public EngineTest {
 protected:
  using milliseconds = std::chrono::milliseconds;

  static Job base_job() {
    Job job;
    job.env = {{"PATH", "/usr/bin:/bin"}, {"FROM_JOB", "job"}};
    job.limits = default_limits();
    return job;
  }

  // Turns the engine until `done` says so, for a minute at most.
  template <class Done>
  bool turn_until(Done done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      if (!engine_->turn(milliseconds(100))) return false;
    }
    return true;
  }

  Result<std::unique_ptr<Context>> try_open(Job job) {
    std::optional<Result<std::unique_ptr<Context>>> opened;
    TRY(engine_->open_context(std::move(job), [&](Result<std::unique_ptr<Context>> result) { opened = std::move(result); }));
    if (!turn_until([&] { return opened.has_value(); })) return fail(ErrorCode::internal, "no answer");
    return std::move(*opened);
  }

  std::unique_ptr<Context> open(Job job = base_job()) {
    auto opened = try_open(std::move(job));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().what);
    return opened ? std::move(*opened) : nullptr;
  }

  // Without changes, unless the test is about them.
  static ContextCommand words_of(std::vector<std::string> argv) {
    ContextCommand command;
    command.argv = std::move(argv);
    command.changes = false;
    command.wall = milliseconds(60'000);
    return command;
  }
  static ContextCommand sh(const std::string& script) { return words_of({"/bin/sh", "-c", script}); }
  static ContextCommand py(const std::string& script) { return words_of({"/usr/bin/python3", "-c", script}); }
  static ContextCommand typed(ContextCommand command, std::string input) {
    command.terminal = true;
    command.input = std::move(input);
    return command;
  }

  JobResult run(Context& context, ContextCommand command, JobListener* listener = nullptr) {
    JobListener nobody;
    std::optional<JobResult> result;
    auto started = context.start(std::move(command), listener ? *listener : nobody, [&](JobResult ended) { result = std::move(ended); });
    EXPECT_TRUE(started) << (started ? "" : started.error().what);
    if (!started) return {};
    EXPECT_TRUE(turn_until([&] { return result.has_value(); })) << "no result";
    return result ? std::move(*result) : JobResult{};
  }

  std::string output(Context& context, ContextCommand command) {
    const JobResult result = run(context, std::move(command));
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome) << "\n" << result.output.err;
    return result.output.out;
  }

  // "+path" created, "*path" modified, "-path" deleted.
  static std::vector<std::string> changes_of(const JobResult& result) {
    std::vector<std::string> lines;
    for (const Change& change : result.changes) {
      const char* kind = change.kind == Change::Kind::created ? "+" : change.kind == Change::Kind::deleted ? "-" : "*";
      lines.push_back(kind + change.path);
    }
    return lines;
  }

  // What a script changed.
  std::vector<std::string> changes(Context& context, const std::string& script) {
    ContextCommand command = sh(script);
    command.changes = true;
    const JobResult result = run(context, std::move(command));
    EXPECT_TRUE(result.outcome.succeeded()) << words(result.outcome) << "\n" << result.output.err;
    EXPECT_EQ(result.collect_error, "");
    return changes_of(result);
  }

  Result<JobResult> collect(Context& context, std::vector<std::string> paths, const std::string& destination) {
    std::optional<Result<JobResult>> copied;
    context.collect(std::move(paths), destination, [&](Result<JobResult> result) { copied = std::move(result); });
    if (!turn_until([&] { return copied.has_value(); })) return fail(ErrorCode::internal, "no answer");
    return std::move(*copied);
  }

  // An image of the host's programs, with a directory /srv.
  Job image_job() {
    const fs::path base = dir_ / "base";
    for (const fs::path& path : {base, base / "usr", base / "etc", base / "srv"}) {
      fs::create_directories(path);
      fs::permissions(path, static_cast<fs::perms>(0755));
    }
    for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
      std::error_code there;
      fs::create_directory_symlink(std::string("usr/") + name, base / name, there);
    }
    for (const char* name : {"file", "other"}) {
      std::ofstream(base / "srv" / name) << name << "\n";
      fs::permissions(base / "srv" / name, static_cast<fs::perms>(0644));
    }
    Job job = base_job();
    job.image = "test";
    job.root = {base};
    job.mounts.push_back({.source = "/usr", .target = "/usr"});
    return job;
  }
};

}  // namespace casemate
