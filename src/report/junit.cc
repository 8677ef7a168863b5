#include "report/junit.h"

#include <algorithm>
#include <ctime>
#include <sstream>

#include <fmt/format.h>
#include <unistd.h>
#include <pugixml.hpp>

#include "base/terminal.h"
#include "report/failure_text.h"
#include "report/test_words.h"

namespace casemate {
namespace {

constexpr std::size_t kSuiteTag = 640;        // bytes that <testsuite ...> gets; the rest of it is blanks, which XML allows before ">"
constexpr std::size_t kLongestMessage = 500;  // characters of a message attribute, as pytest 9.1 has it
constexpr std::uint64_t kLongestAttempt = 64u << 10;
constexpr std::string_view kProlog = R"(<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests">)";
constexpr std::string_view kPrologOfPlan = R"(<?xml version="1.0" encoding="utf-8"?><testsuites name="casemate plan">)";

std::string seconds(std::chrono::microseconds time) { return fmt::format("{:.3f}", static_cast<double>(time.count()) / 1e6); }

void set(pugi::xml_node node, const char* name, std::string_view value) {
  node.append_attribute(name).set_value(xml_characters(value).c_str());
}

void set_text(pugi::xml_node node, std::string_view text) { node.text().set(xml_characters(text).c_str()); }

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
}

// The first `count` characters of UTF-8.
std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) continue;
    if (count-- == 0) break;
  }
  return text.substr(0, end);
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (lines.empty()) lines.emplace_back();
  return lines;
}

// A message attribute as pytest 9.1 shortens it: whole lines while they fit, and a hint where the rest is.
std::string short_message(const std::string& message) {
  const std::vector<std::string_view> lines = lines_of(message);
  std::string kept(lines[0]);
  std::size_t size = characters(kept) + 1;
  std::size_t count = 1;
  for (; count < lines.size() && size + characters(lines[count]) + 1 <= kLongestMessage; ++count) {
    size += characters(lines[count]) + 1;
    kept += "\n" + std::string(lines[count]);
  }
  const std::size_t rest = lines.size() - count;
  const bool cut = characters(kept) > kLongestMessage;
  if (cut) kept = std::string(first_characters(kept, kLongestMessage)) + "...";
  if (rest == 0 && !cut) return message;
  const std::string hint = rest > 0 ? fmt::format("+{} more line{}", rest, rest > 1 ? "s" : "") : "truncated";
  return fmt::format("{}\n[{}; full report in element text]", kept, hint);
}

std::string message_of(const TestReport& report) {
  const std::string& message = report.message.empty() ? report.text : report.message;
  if (report.when == "call") return short_message(message);
  return short_message(fmt::format("failed on {} with \"{}\"", report.when == "teardown" ? "teardown" : "setup", message));
}

std::string without_prefix(const std::string& text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

std::string process_text(const TestResult& result) {
  std::string text = words(result.outcome) + "\n";
  if (!result.output.out.empty()) text += "\nstdout:\n" + with_newlines(result.output.out);
  if (!result.output.err.empty()) text += "\nstderr:\n" + with_newlines(result.output.err);
  if (!result.leftovers.empty()) text += "\n" + leftovers_line(result) + "\n";
  return text;
}

// What the verdict says although no report does: the process ended some other way, or the test never ran.
void add_verdict(pugi::xml_node test, const TestResult& result) {
  const std::string reason = result.reason.empty() ? words(result.outcome) : result.reason;
  switch (result.verdict) {
    case Verdict::failed:
    case Verdict::error:
    case Verdict::lost: {
      pugi::xml_node node = test.append_child(result.verdict == Verdict::failed ? "failure" : "error");
      set(node, "message", short_message(reason));
      set_text(node, process_text(result));
      return;
    }
    case Verdict::skipped:
    case Verdict::ignored:
    case Verdict::cancelled: {
      pugi::xml_node node = test.append_child("skipped");
      set(node, "type", result.verdict == Verdict::skipped ? "pytest.skip" : fmt::format("casemate.{}", word(result.verdict)));
      set(node, "message", result.reason.empty() ? word(result.verdict) : std::string_view(result.reason));
      return;
    }
    case Verdict::xfailed: {
      pugi::xml_node node = test.append_child("skipped");
      set(node, "type", "pytest.xfail");
      set(node, "message", result.reason);
      return;
    }
    case Verdict::passed:
    case Verdict::xpassed:
      return;
  }
}

void add_skipped(pugi::xml_node test, const TestReport& report) {
  pugi::xml_node node = test.append_child("skipped");
  set(node, "type", report.xfail ? "pytest.xfail" : "pytest.skip");
  if (report.xfail) {
    set(node, "message", without_prefix(*report.xfail, "reason: "));
    return;
  }
  const std::string reason = without_prefix(report.text, "Skipped: ");
  set(node, "message", reason);
  set_text(node, report.path.empty() ? reason : fmt::format("{}:{}: {}", report.path, report.line, reason));
}

void add_failed(pugi::xml_node test, const TestReport& report) {
  pugi::xml_node node = test.append_child(report.when == "call" ? "failure" : "error");
  set(node, "message", report.when == "collect" ? "collection failure" : message_of(report));
  set_text(node, report.text);
}

pugi::xml_node add_case(pugi::xml_node parent, const TestResult& result) {
  const auto [classname, name] = junit_address(result.test);
  pugi::xml_node test = parent.append_child("testcase");
  set(test, "classname", classname);
  set(test, "name", name);
  test.append_attribute("time");
  if (result.properties.empty() && !result.cached) return test;
  pugi::xml_node properties = test.append_child("properties");
  const auto add = [&](const std::string& key, const std::string& value) {
    pugi::xml_node property = properties.append_child("property");
    set(property, "name", key);
    set(property, "value", value);
  };
  for (const auto& [key, value] : result.properties) add(key, value);
  if (result.cached) add("casemate.cached", "true");
  return test;
}

// "AssertionError" of "AssertionError: assert 1 == 2".
std::string exception_type(const std::string& message) {
  const std::string name = message.substr(0, message.find_first_of(":\n"));
  const bool is_name =
      !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") == std::string::npos;
  return is_name ? name : "failure";
}

std::string section(const TestReport& report, std::string_view stream) {
  std::string text;
  for (const auto& [title, captured] : report.sections) {
    if (title.find(stream) != std::string::npos) text += captured;
  }
  return text;
}

void add_child(pugi::xml_node node, const char* name, const std::string& text) {
  if (!text.empty()) set_text(node.append_child(name), text);
}

// The suite of a tool's plan: the tag has a fixed place, so that only names that stay as they are have one there.
std::string suite_of_plan(const std::string& tool) {
  const bool plain = !tool.empty() && tool.size() <= 60 &&
                     tool.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") == std::string::npos;
  return plain ? tool : "plan";
}

// A plan's case, with what its commands wrote.
void add_failed_case(pugi::xml_node test, const TestResult& result, const TestReport& report) {
  pugi::xml_node node = test.append_child(result.verdict == Verdict::failed ? "failure" : "error");
  set(node, "message", short_message(report.message.empty() ? report.text : report.message));
  set_text(node, report.text);
  for (const auto& [name, stream] : {std::pair("system-out", "stdout of "), std::pair("system-err", "stderr of ")}) {
    std::string text;
    for (const auto& [title, captured] : report.sections) {
      if (title.starts_with(stream)) text += captured;
    }
    add_child(test, name, text);
  }
}

}  // namespace

std::pair<std::string, std::string> junit_address(const TestCase& test) {
  const std::string id = test.id.substr(0, test.id.find('['));
  const std::string parameters = test.id.substr(id.size());
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= id.size();) {
    const std::size_t end = std::min(id.find("::", at), id.size());
    names.push_back(id.substr(at, end - at));
    at = end + 2;
  }
  std::replace(names[0].begin(), names[0].end(), '/', '.');
  if (names[0].ends_with(".py")) names[0].resize(names[0].size() - 3);
  std::string classname;
  for (std::size_t i = 0; i + 1 < names.size(); ++i) classname += (i > 0 ? "." : "") + names[i];
  return {classname, names.back() + parameters};
}

std::string xml_characters(std::string_view text) {
  const std::string valid = to_utf8(text);
  std::string all;
  all.reserve(valid.size());
  for (std::size_t i = 0; i < valid.size(); ++i) {
    const auto byte = static_cast<unsigned char>(valid[i]);
    const std::string_view three = std::string_view(valid).substr(i, 3);
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
      all += fmt::format("#x{:02X}", byte);
    } else if (three == "\xef\xbf\xbe" || three == "\xef\xbf\xbf") {
      all += three.back() == '\xbe' ? "#xFFFE" : "#xFFFF";
      i += 2;
    } else {
      all += valid[i];
    }
  }
  return all;
}

void JunitReport::add(std::string_view text) {
  if (!problem_.empty() || !file_) return;
  if (const auto added = file_->add(text); !added) problem_ = added.error().what;
}

void JunitReport::run_started(const RunStart& run) {
  if (!problem_.empty()) return;
  tests_ = failures_ = errors_ = skipped_ = 0;
  attempts_.clear();
  began_ = run.began;
  plan_of_ = run.front_end == "plan" ? suite_of_plan(run.name) : "";
  auto begun = ReportFile::begin(path_);
  if (!begun) {
    problem_ = begun.error().what;
    return;
  }
  if (file_ && suites_end_ > 0) {
    if (const auto copied = begun->add_from(*file_, suites_end_); !copied) problem_ = copied.error().what;
    file_ = std::move(*begun);
  } else {
    file_ = std::move(*begun);
    add(plan_of_.empty() ? kProlog : kPrologOfPlan);
  }
  suite_at_ = file_->size();
  add(std::string(kSuiteTag, ' '));
}

void JunitReport::collected(const Collected& collected) {
  for (const TestResult& problem : collected.problems) add_test(problem);
}

void JunitReport::test_finished(const TestResult& result) {
  if (result.last)
    add_test(result);
  else
    keep_attempt(result);
}

JunitReport::Attempt JunitReport::attempt_of(const TestReport& report) {
  Attempt attempt;
  attempt.error = report.when != "call";
  attempt.message = short_message(report.message.empty() ? report.text : report.message);
  attempt.type = exception_type(report.message);
  attempt.text = head_and_tail(report.text, kLongestAttempt);
  attempt.out = head_and_tail(section(report, "stdout"), kLongestAttempt);
  attempt.err = head_and_tail(section(report, "stderr"), kLongestAttempt);
  return attempt;
}

void JunitReport::keep_attempt(const TestResult& result) {
  std::vector<Attempt>& attempts = attempts_[result.test.id];
  for (const TestReport& report : result.reports) {
    if (report.outcome == "failed") {
      attempts.push_back(attempt_of(report));
      return;
    }
  }
  Attempt attempt;
  attempt.error = result.verdict != Verdict::failed;
  attempt.message = result.reason.empty() ? words(result.outcome) : result.reason;
  attempt.type = "failure";
  attempt.text = head_and_tail(process_text(result), kLongestAttempt);
  attempts.push_back(std::move(attempt));
}

void JunitReport::add_attempts(pugi::xml_node test, const std::vector<Attempt>& attempts, bool bad) {
  for (const Attempt& attempt : attempts) {
    const std::string name = fmt::format("{}{}", bad ? "rerun" : "flaky", attempt.error ? "Error" : "Failure");
    pugi::xml_node node = test.append_child(name.c_str());
    set(node, "message", attempt.message);
    set(node, "type", attempt.type);
    add_child(node, "stackTrace", attempt.text);
    add_child(node, "system-out", attempt.out);
    add_child(node, "system-err", attempt.err);
  }
}

void JunitReport::add_test(const TestResult& result) {
  if (!file_ || !problem_.empty()) return;
  pugi::xml_document document;
  std::vector<std::pair<pugi::xml_node, std::chrono::microseconds>> cases;
  const auto begin_case = [&] { cases.emplace_back(add_case(document, result), 0); };
  begin_case();
  bool call_failed = false;
  bool told = false;
  for (const TestReport& report : result.reports) {
    const bool failed = report.outcome == "failed";
    if (failed && report.when == "teardown" && call_failed) begin_case();
    if (failed && !plan_of_.empty())
      add_failed_case(cases.back().first, result, report);
    else if (failed)
      add_failed(cases.back().first, report);
    if (report.outcome == "skipped") add_skipped(cases.back().first, report);
    call_failed |= failed && report.when == "call";
    told |= failed || report.outcome == "skipped";
    cases.back().second += report.duration;
  }
  if (!told || (is_bad(result.verdict) && document.select_node("testcase/failure|testcase/error").node().empty()))
    add_verdict(cases.back().first, result);
  // What did not come back took until the end of its process.
  if (result.reports.empty() || !result.outcome.succeeded()) cases.back().second = std::max(cases.back().second, result.duration);

  std::vector<Attempt> attempts;
  if (auto tries = attempts_.extract(result.test.id)) attempts = std::move(tries.mapped());
  for (const TestReport& report : result.reports) {
    if (report.outcome == "rerun") attempts.push_back(attempt_of(report));  // pytest-rerunfailures
  }
  add_attempts(cases.front().first, attempts, is_bad(result.verdict));
  std::ostringstream text;
  for (auto& [test, time] : cases) {
    test.attribute("time").set_value(seconds(time).c_str());
    count(test);
    test.print(text, "", pugi::format_raw);
  }
  add(text.str());
}

void JunitReport::count(const pugi::xml_node& test) {
  ++tests_;
  for (const pugi::xml_node node : test.children()) {
    const std::string_view kind = node.name();
    failures_ += kind == "failure";
    errors_ += kind == "error";
    skipped_ += kind == "skipped";
  }
}

std::string JunitReport::suite_begin(std::chrono::microseconds took) const {
  char host[256] = "localhost";
  (void)::gethostname(host, sizeof host - 1);
  const std::time_t whole = std::chrono::system_clock::to_time_t(began_);
  const auto micro = std::chrono::duration_cast<std::chrono::microseconds>(began_.time_since_epoch()).count() % 1'000'000;
  std::tm local{};
  ::localtime_r(&whole, &local);
  char day[32] = "";
  (void)std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &local);
  const long offset = local.tm_gmtoff / 60;
  pugi::xml_document document;
  pugi::xml_node suite = document.append_child("testsuite");
  set(suite, "name", plan_of_.empty() ? "pytest" : plan_of_);
  set(suite, "errors", std::to_string(errors_));
  set(suite, "failures", std::to_string(failures_));
  set(suite, "skipped", std::to_string(skipped_));
  set(suite, "tests", std::to_string(tests_));
  set(suite, "time", seconds(took));
  set(suite, "timestamp",
      fmt::format("{}.{:06}{}{:02}:{:02}", day, micro, offset < 0 ? '-' : '+', std::abs(offset) / 60, std::abs(offset) % 60));
  set(suite, "hostname", std::string_view(host).substr(0, 64));
  std::ostringstream text;
  suite.print(text, "", pugi::format_raw);
  std::string tag = text.str();
  tag.resize(tag.rfind('/'));  // "<testsuite .../>"
  while (!tag.empty() && tag.back() == ' ') tag.pop_back();
  tag.resize(std::max(tag.size(), kSuiteTag - 1), ' ');
  return tag + ">";
}

Result<void> JunitReport::end_suite(const RunEnd& end) {
  TRY(file_->add("</testsuite>"));
  TRY(file_->put_at(suite_at_, suite_begin(end.took)));
  suites_end_ = file_->size();
  TRY(file_->add("</testsuites>"));
  return file_->publish();
}

std::string JunitReport::run_finished(const RunEnd& end) {
  if (problem_.empty() && file_) {
    // Tests whose next try never came.
    for (const auto& [id, tries] : std::exchange(attempts_, {})) {
      TestResult result;
      result.test.id = id;
      result.verdict = tries.back().error ? Verdict::error : Verdict::failed;
      result.reason = tries.back().message;
      add_test(result);
    }
  }
  if (problem_.empty() && file_) {
    if (const auto ended = end_suite(end); !ended) problem_ = ended.error().what;
  }
  return problem_;
}

}  // namespace casemate
