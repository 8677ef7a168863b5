// hand_made_run: events of a run, made by hand, for the tests of sinks; and what a sink wrote to a pipe.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "engine/events.h"
#include "sys/fd.h"

namespace casemate {

inline TestCase test_case(const std::string& id) {
  TestCase test;
  test.id = id;
  test.file = id.substr(0, id.find("::"));
  const std::size_t name = id.rfind("::");
  test.name = name == std::string::npos ? id : id.substr(name + 2);
  if (name != std::string::npos && name > test.file.size()) test.group = id.substr(test.file.size() + 2, name - test.file.size() - 2);
  test.line = 3;
  return test;
}

inline TestReport report(const std::string& when, const std::string& outcome = "passed") {
  TestReport made;
  made.when = when;
  made.outcome = outcome;
  made.duration = std::chrono::milliseconds(4);
  return made;
}

inline TestResult passed(const std::string& id) {
  TestResult result;
  result.test = test_case(id);
  result.verdict = Verdict::passed;
  result.outcome.kind = Outcome::Kind::exited;
  result.duration = std::chrono::milliseconds(12);
  result.reports = {report("setup"), report("call"), report("teardown")};
  return result;
}

inline TestResult with_verdict(const std::string& id, Verdict verdict, const std::string& reason = "") {
  TestResult result = passed(id);
  result.verdict = verdict;
  result.reason = reason;
  return result;
}

inline TestResult failed(const std::string& id) {
  TestResult result = with_verdict(id, Verdict::failed, "AssertionError: assert 1 == 2");
  TestReport& call = result.reports[1];
  call.outcome = "failed";
  call.text = "    def test_b():\n>       assert 1 == 2\nE       assert 1 == 2\n\ntests/test_a.py:3: AssertionError";
  call.message = "AssertionError: assert 1 == 2\nassert 1 == 2";
  call.path = "tests/test_a.py";
  call.line = 3;
  call.sections = {{"Captured stdout call", "said\n"}, {"Captured stderr call", "warned\n"}};
  return result;
}

inline TestResult ended(const std::string& id, Outcome::Kind kind, int code = 0) {
  TestResult result = with_verdict(id, Verdict::failed);
  result.outcome.kind = kind;
  result.outcome.code = code;
  result.reports = {report("setup")};
  return result;
}

inline RunStart run_start() {
  RunStart run;
  run.front_end = "pytest";
  run.name = "project";
  run.directory = "/home/someone/project";
  run.arguments = {"tests"};
  run.began = std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000));
  run.slots = 2;
  return run;
}

inline Collected collected(std::size_t selected) {
  Collected made;
  made.selected = selected;
  made.took = std::chrono::milliseconds(250);
  made.python = "3.11.7";
  made.pytest = "8.1.1";
  return made;
}

// Gives the sink a run of these results, one after the other on slot 0.
inline std::string give(Sink& sink, const std::vector<TestResult>& results, RunEnd end = {}) {
  sink.run_started(run_start());
  sink.collected(collected(results.size()));
  for (const TestResult& result : results) {
    TestStart start;
    start.test = &result.test;
    start.attempt = result.attempt;
    sink.test_started(start);
    sink.test_finished(result);
    if (!result.last) continue;
    ++end.counts[static_cast<std::size_t>(result.verdict)];
    end.flaky += result.flaky;
    if (is_bad(result.verdict)) end.exit_status = 1;
  }
  end.took = std::chrono::milliseconds(1500);
  return sink.run_finished(end);
}

// What `write` wrote to the descriptor it was given.
inline std::string written(const std::function<void(int)>& write) {
  Pipe pipe = make_pipe().value();
  std::string got;
  std::thread reader([&] { got = read_all(pipe.read.get(), 256u << 20).value_or("too much"); });
  write(pipe.write.get());
  pipe.write.reset();
  reader.join();
  return got;
}

// How often `part` is in `text`.
inline std::size_t times(const std::string& text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// U+202E, put together here: a literal would turn the source around for a reader too.
inline const std::string kOverride = {static_cast<char>(0xe2), static_cast<char>(0x80), static_cast<char>(0xae)};

// A name and a text that try to drive whatever shows them: a terminal, a log, XML, Markdown.
inline const std::string kHostileId = "tests/test_a.py::test_x[\x1b]0;owned\x07\n::error::no" + kOverride + "\xff<script>`|]";
inline const std::string kHostileText =
    "\x1b[2J\x1b]52;c;aGk=\x07\n::error file=x::smuggled\n  ::set-env "
    "name=PATH::x\n##[error]old\n\xff\xfe" +
    kOverride + "]]></failure><x>&amp;\x01\r\nend";

}  // namespace casemate
