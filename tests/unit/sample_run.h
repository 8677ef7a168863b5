// A run made by hand, for tests of those who listen: every verdict, hostile names and texts, a retry, a leak, shared cells.
#pragma once

#include <string>

#include <fmt/format.h>

#include "engine/events.h"

namespace casemate {

inline TestResult sample_result(const std::string& name, Verdict verdict, std::uint32_t slot = 0, std::int64_t duration_us = 1500) {
  TestResult result;
  result.test.file = "tests/test_sample.py";
  result.test.name = name;
  result.test.id = result.test.file + "::" + name;
  result.test.line = 3;
  result.verdict = verdict;
  result.outcome = {Outcome::Kind::exited, 0, "", ""};
  result.resources.peak_memory_bytes = 12u << 20;
  result.resources.user_cpu = std::chrono::microseconds(duration_us / 2);
  result.duration = std::chrono::microseconds(duration_us);
  result.container = "host";
  result.slot = slot;
  return result;
}

inline TestResult sample_failure(const std::string& name) {
  TestResult result = sample_result(name, Verdict::failed);
  result.reason = "AssertionError: assert 1 == 2";
  TestReport report;
  report.when = "call";
  report.outcome = "failed";
  report.text = "    def test():\n>       assert 1 == 2\nE       \x1b[31massert 1 == 2\x1b[0m\n\ntests/test_sample.py:3: AssertionError";
  report.message = result.reason;
  report.sections = {{"Captured stdout call", "some <b>output</b>\n"}};
  result.reports = {report};
  return result;
}

/// Tells `sink` of a run of 8 tests; its last word.
inline std::string play_sample_run(Sink& sink, const std::string& directory = "/home/me/project") {
  using namespace std::chrono_literals;
  RunStart run{"pytest", "project", directory, {"-k", "a b"}, {}, 2, 1, 1};
  run.began = std::chrono::system_clock::time_point(1'700'000'000s);
  sink.run_started(run);
  sink.progress("python 3.11.7, pytest 8.1.1", true);
  Collected collected;
  collected.selected = 8;
  collected.took = 20ms;
  collected.python = "3.11.7";
  collected.pytest = "8.1.1";
  TestResult broken = sample_result("x", Verdict::error);
  broken.test = {.id = "tests/test_broken.py", .file = "tests/test_broken.py", .name = "tests/test_broken.py"};
  broken.reason = "SyntaxError: invalid syntax";
  collected.problems = {broken};
  sink.collected(collected);
  auto tell = [&sink, at = std::chrono::milliseconds(30)](TestResult result) mutable {
    result.began = at;
    at += std::chrono::duration_cast<std::chrono::milliseconds>(result.duration) + 1ms;
    sink.test_started({&result.test, result.slot, result.attempt, result.began});
    sink.test_finished(result);
  };
  tell(sample_result("test_ok", Verdict::passed));
  tell(sample_failure("test_bad"));
  tell(sample_failure("test_<img src=x onerror=alert(1)></script>[\x01\xe2\x80\xae]"));
  TestResult first = sample_failure("test_flaky");
  first.last = false;
  tell(first);
  TestResult second = sample_result("test_flaky", Verdict::passed, 1);
  second.attempt = 2;
  second.flaky = true;
  tell(second);
  TestResult skipped = sample_result("test_skipped", Verdict::skipped, 1, 10);
  skipped.reason = "needs a cat";
  tell(skipped);
  TestResult leaking = sample_result("test_leaks", Verdict::passed, 1, 250'000);
  leaking.leftovers = {{7, "sleep"}, {8, "sh"}};
  leaking.warnings = {{"DeprecationWarning", "old", "tests/test_sample.py", 3}};
  leaking.properties = {{"key", "value"}};
  leaking.notes = {"cpu limit by rlimit"};
  tell(leaking);
  TestResult crashed = sample_result("test_crashes", Verdict::failed, 0, 4000);
  crashed.outcome = {Outcome::Kind::signaled, 11, "", ""};
  crashed.reason = "signaled 11 (SIGSEGV)";
  crashed.output.err = crashed.output.merged = "Fatal Python error: Segmentation fault\n";
  crashed.output.err_total = crashed.output.err.size();
  tell(crashed);
  sink.note("warm parent died; its 3 tests are run again");
  RunEnd end;
  end.took = 1s;
  end.counts[static_cast<std::size_t>(Verdict::passed)] = 3;
  end.counts[static_cast<std::size_t>(Verdict::failed)] = 3;
  end.counts[static_cast<std::size_t>(Verdict::error)] = 1;
  end.counts[static_cast<std::size_t>(Verdict::skipped)] = 1;
  end.flaky = 1;
  end.exit_status = 1;
  return sink.run_finished(end);
}

}  // namespace casemate
