#include "apps/agent/grade.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/agent/git_cell.h"
#include "base/terminal.h"
#include "base/untrusted_json.h"

namespace casemate {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;
using std::chrono::microseconds;

constexpr JsonBounds kBounds{.depth = 8, .values = 2'000'000};
// A backend's column has 255 of what its database counts. UTF-16 code units are the most that any counts by characters: Java's
// String.length(), beside which code points of MySQL and PostgreSQL are fewer.
constexpr std::size_t kMostDetails = 255;
constexpr std::string_view kEllipsis = "\xe2\x80\xa6";
constexpr std::size_t kMostComparisons = 20'000'000;  // of names with cases
constexpr std::size_t kMostTimeDigits = 12;           // before the point: what fits microseconds many times over

// pytest.ExitCode
constexpr int kPassed = 0, kFailed = 1, kInterrupted = 2, kInternal = 3, kUsage = 4, kNothingRan = 5;

std::string clean(std::string_view text) {
  std::string valid = to_utf8(text);
  std::erase(valid, '\0');
  return valid;
}

std::string cut_details(const std::string& details) {
  std::size_t units = 0;
  std::size_t kept = 0;  // bytes of the characters that leave one for the ellipsis
  for (std::size_t at = 0; at < details.size(); ++at) {
    const auto byte = static_cast<unsigned char>(details[at]);
    if ((byte & 0xc0) == 0x80) continue;
    if (units <= kMostDetails - 1) kept = at;
    units += byte >= 0xf0 ? 2 : 1;
  }
  if (units <= kMostDetails) return details;
  return details.substr(0, kept).append(kEllipsis);
}

// "15.866"; nullopt for anything else than digits, with or without a point and digits. What is finer than microseconds is dropped.
std::optional<microseconds> seconds_of(std::string_view text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  const std::string_view part = point < text.size() ? text.substr(point + 1) : "0";
  const auto digits = [](std::string_view some) { return !some.empty() && some.find_first_not_of("0123456789") == std::string_view::npos; };
  if (!digits(whole) || !digits(part) || whole.size() > kMostTimeDigits) return std::nullopt;
  const std::string micros = fmt::format("{}{:0<6}", whole, part.substr(0, 6));
  std::int64_t count = 0;
  std::from_chars(micros.data(), micros.data() + micros.size(), count);
  return microseconds(count);
}

std::string text_of(microseconds time) { return fmt::format("{}.{:03}", time.count() / 1'000'000, time.count() / 1000 % 1000); }

std::int64_t milliseconds_of(microseconds time) { return (time.count() + 500) / 1000; }

// "tests.lab1.test_build" and "test_x[a]" are "lab1.test_build::test_x[a]". What could not be collected has no class.
std::string name_of(const JUnitCase& test) {
  constexpr std::string_view kTests = "tests.";
  std::string_view place = test.class_name.empty() ? test.name : test.class_name;
  if (place.starts_with(kTests)) place.remove_prefix(kTests.size());
  return test.class_name.empty() ? std::string(place) : fmt::format("{}::{}", place, test.name);
}

CaseGrade grade_of_case(const JUnitCase& test, const RunFacts& facts) {
  CaseGrade grade;
  grade.name = clean(name_of(test));
  const auto time = seconds_of(test.time);
  grade.duration = time.value_or(microseconds(0));
  grade.duration_text = time ? test.time : "0";
  const auto own = facts.cases.find(case_key(test.class_name, test.name));
  grade.memory_kib = own == facts.cases.end() ? facts.peak_memory_kib : own->second.memory_kib;
  if (test.failed || test.errored) {
    grade.verdict = CaseGrade::Verdict::failed;
    grade.description = clean(test.text.empty() ? test.message : test.text);
  } else if (test.skipped) {
    grade.verdict = CaseGrade::Verdict::skipped;
    grade.description = clean(test.message);
  } else {
    grade.verdict = CaseGrade::Verdict::passed;
  }
  return grade;
}

std::string lower(std::string_view text) {
  std::string all(text);
  for (char& byte : all) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte - 'A' + 'a');
  }
  return all;
}

// pytest's -k finds a plain name within the names of a test, its class, its module ("test_build.py") and its directories, in either case.
struct SoughtName {
  std::string plain;
  std::string module;  // as a class name of JUnit has it
  explicit SoughtName(std::string_view name) : plain(lower(name)), module(plain) {
    if (module.ends_with(".py")) module.resize(module.size() - 3);
    std::replace(module.begin(), module.end(), '/', '.');
  }
  [[nodiscard]] bool is_in(std::string_view text) const {
    return text.find(plain) != std::string_view::npos || text.find(module) != std::string_view::npos;
  }
};

// Names that were asked for and match no case. A case in which none of the names occurs was chosen by one of its extra keywords (a
// marker's name, say), of which a report knows nothing: then no name can be said to match nothing.
std::vector<std::string> unmatched(const JUnitDocument& report, const std::vector<std::string>& names) {
  std::vector<std::string> cases;
  std::string all;
  for (const JUnitCase& test : report.cases) {
    cases.push_back(lower(fmt::format("{}::{}", test.class_name, test.name)));
    all += cases.back() + "\n";
  }
  std::vector<std::string> missing;
  std::vector<SoughtName> sought;
  for (const std::string& name : names) {
    sought.emplace_back(name);
    if (!sought.back().is_in(all)) missing.push_back(clean(name));
  }
  if (missing.empty() || cases.size() * sought.size() > kMostComparisons) return missing;
  for (const std::string& test : cases) {
    if (std::none_of(sought.begin(), sought.end(), [&](const SoughtName& name) { return name.is_in(test); })) return {};
  }
  return missing;
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

std::string interrupted_text(const JUnitDocument& report) {
  for (const JUnitCase& test : report.cases) {
    if (test.errored && test.message == "collection failure")
      return fmt::format("the tests could not be collected: {}: {}", name_of(test), last_line(test.text));
  }
  return "the tests were interrupted before their end (pytest ended with status 2)";
}

// Why a status can't be that of tests which ran to their end; "" if it can.
std::string status_problem(const JUnitDocument& report, const RunFacts& facts) {
  const int status = facts.exit_status;
  switch (status) {
    case kPassed:
    case kFailed:
    case kNothingRan:
      return "";
    case kInterrupted:
      return interrupted_text(report);
    case kInternal:
      return "pytest had an internal error (status 3)";
    case kUsage:
      return fmt::format("pytest refused its command line or configuration (status 4){}{}", facts.said.empty() ? "" : ": ", facts.said);
    default:
      return fmt::format("the tests' command ended with status {}, which is none of pytest's", status);
  }
}

// How status and report contradict each other; "" if they agree.
std::string disagreement(const Grade& grade, int status) {
  const auto counted = [&](CaseGrade::Verdict verdict) {
    return std::count_if(grade.cases.begin(), grade.cases.end(), [&](const CaseGrade& test) { return test.verdict == verdict; });
  };
  const auto failed = counted(CaseGrade::Verdict::failed);
  const auto passed = counted(CaseGrade::Verdict::passed);
  std::string report;
  if (status == kPassed && failed > 0) report = fmt::format("that {} failed", failed);
  if (status == kPassed && grade.cases.empty()) report = "that none ran";
  if (status == kFailed && failed == 0) report = "that none failed";
  if (status == kNothingRan && failed + passed > 0) report = fmt::format("that {} ran", failed + passed);
  if (report.empty()) return "";
  const std::string_view said = status == kPassed ? "all tests passed" : status == kFailed ? "tests failed" : "no tests ran";
  return fmt::format("the tests' command ended with status {} ({}), but its report says {}: the report is not to be believed", status, said,
                     report);
}

void make_error(Grade& grade, std::string details) {
  grade.is_error = true;
  grade.error_details = clean(details);
}

// "testCases" and "testResults": the same but for times and what is skipped.
OrderedJson case_json(const CaseGrade& test, WireForm form) {
  const bool skipped = test.verdict == CaseGrade::Verdict::skipped;
  const bool passed = test.verdict == CaseGrade::Verdict::passed;
  OrderedJson json;
  json["name"] = clean(test.name);
  json["isPassed"] = passed || (skipped && form == WireForm::attempt);
  json["description"] = passed || (skipped && form == WireForm::attempt) ? "" : clean(test.description);
  if (form == WireForm::attempt)
    json["duration"] = clean(test.duration_text);
  else
    json["duration"] = milliseconds_of(test.duration);
  json["memoryUsed"] = test.memory_kib;
  return json;
}

bool is_passed(const Grade& grade, WireForm form, bool strict_skips) {
  const bool any_ran = std::any_of(grade.cases.begin(), grade.cases.end(),
                                   [](const CaseGrade& test) { return test.verdict != CaseGrade::Verdict::skipped; });
  return !grade.is_error && !grade.any_unexpected && (form == WireForm::attempt || any_ran) && !(strict_skips && grade.any_skipped);
}

// Of a form that was forced: the key of the other form as what this one holds.
OrderedJson attempt_key(const Task& task) {
  if (task.form == WireForm::attempt) return task.attempt;
  std::int64_t number = 0;
  const char* const end = task.id.data() + task.id.size();
  const auto read = std::from_chars(task.id.data(), end, number);
  return read.ec == std::errc() && read.ptr == end ? OrderedJson(number) : OrderedJson(clean(task.id));
}

std::string dumped(const OrderedJson& json) { return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace); }

constexpr std::pair<Fault, std::string_view> kFaults[] = {{Fault::none, "none"},     {Fault::no_tests, "no tests"},
                                                          {Fault::tests, "tests"},   {Fault::host, "host"},
                                                          {Fault::worker, "worker"}, {Fault::unreached, "unreached"}};

// A word that is none of ours: a grade that nobody should believe.
Fault fault_of(std::string_view text) {
  const auto* const found = std::ranges::find(kFaults, text, &std::pair<Fault, std::string_view>::second);
  return found == std::end(kFaults) ? Fault::worker : found->first;
}

microseconds time_at(const Json& object, const char* key) {
  constexpr std::uint64_t kMost = 1ull << 62;
  return microseconds(static_cast<std::int64_t>(std::min(number_at(object, key), kMost)));
}

std::optional<CaseGrade> case_from_json(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  CaseGrade test;
  test.name = text_at(object, "name");
  const std::string verdict = text_at(object, "verdict");
  bool known = false;
  for (const auto each : {CaseGrade::Verdict::passed, CaseGrade::Verdict::failed, CaseGrade::Verdict::skipped}) {
    if (verdict != word(each)) continue;
    test.verdict = each;
    known = true;
  }
  if (!known) return std::nullopt;
  test.description = text_at(object, "description");
  test.duration_text = text_at(object, "duration");
  test.duration = time_at(object, "duration_us");
  test.memory_kib = number_at(object, "memory_kib");
  return test;
}

}  // namespace

Grade grade_of(const JUnitDocument& report, const RunFacts& facts) {
  Grade grade;
  microseconds sum{0};
  for (const JUnitCase& test : report.cases) {
    grade.cases.push_back(grade_of_case(test, facts));
    const CaseGrade& added = grade.cases.back();
    sum += added.duration;
    grade.any_unexpected |= added.verdict == CaseGrade::Verdict::failed;
    grade.any_skipped |= added.verdict == CaseGrade::Verdict::skipped;
  }
  const auto time = seconds_of(report.time);
  grade.duration = time.value_or(sum);
  grade.duration_text = time ? report.time : text_of(sum);

  if (std::string problem = status_problem(report, facts); !problem.empty()) {
    make_error(grade, std::move(problem));
  } else if (std::string lie = disagreement(grade, facts.exit_status); !lie.empty()) {
    // Which of the cases are true nobody can say.
    grade.cases.clear();
    make_error(grade, std::move(lie));
  } else if (const auto missing = unmatched(report, facts.connected_tests); !missing.empty()) {
    make_error(grade, fmt::format("no test matches: {}", fmt::join(missing, ", ")));
  } else if (facts.exit_status == kNothingRan) {
    make_error(grade, "no tests were run");
  }
  return grade;
}

std::string case_key(std::string_view class_name, std::string_view name) { return fmt::format("{}::{}", class_name, name); }

std::string_view word(CaseGrade::Verdict verdict) {
  return verdict == CaseGrade::Verdict::passed ? "passed" : verdict == CaseGrade::Verdict::failed ? "failed" : "skipped";
}

std::string_view result_word(const Grade& grade) { return grade.is_error ? "error" : grade.any_unexpected ? "failed" : "passed"; }

std::size_t count_of(const Grade& grade, CaseGrade::Verdict verdict) {
  return static_cast<std::size_t>(std::ranges::count(grade.cases, verdict, &CaseGrade::verdict));
}

std::string counts_of(const Grade& grade) {
  using Verdict = CaseGrade::Verdict;
  std::string text;
  for (const Verdict verdict : {Verdict::passed, Verdict::failed, Verdict::skipped}) {
    const std::size_t count = count_of(grade, verdict);
    if (count > 0 || text.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, word(verdict));
  }
  return text;
}

std::string_view word(Fault fault) { return std::ranges::find(kFaults, fault, &std::pair<Fault, std::string_view>::first)->second; }

Grade grade_of_error(std::string details, Fault fault) {
  Grade grade;
  grade.fault = fault;
  make_error(grade, std::move(details));
  return grade;
}

std::string result_body(const Grade& grade, const Task& task, WireForm form, bool strict_skips) {
  OrderedJson cases = OrderedJson::array();
  for (const CaseGrade& test : grade.cases) cases.push_back(case_json(test, form));
  OrderedJson result;
  if (form == WireForm::uuid) result["id"] = task.form == WireForm::uuid ? clean(task.id) : std::to_string(task.attempt);
  result["isPassed"] = is_passed(grade, form, strict_skips);
  result["isError"] = grade.is_error;
  result["errorDetails"] = cut_details(clean(grade.error_details));
  if (form == WireForm::uuid) {
    result["duration"] = milliseconds_of(grade.duration);
    result["testResults"] = std::move(cases);
    return dumped(result);
  }
  result["duration"] = clean(grade.duration_text);
  result["testCases"] = std::move(cases);
  OrderedJson body;
  body["testResults"] = std::move(result);
  body["attempt"] = attempt_key(task);
  return dumped(body);
}

std::string grade_json(const Grade& grade) {
  OrderedJson json;
  if (grade.fault != Fault::none) json["fault"] = word(grade.fault);
  json["is_error"] = grade.is_error;
  json["error_details"] = clean(grade.error_details);
  json["commit"] = clean(grade.commit);
  json["duration"] = clean(grade.duration_text);
  json["duration_us"] = std::max<std::int64_t>(grade.duration.count(), 0);
  json["any_unexpected"] = grade.any_unexpected;
  json["any_skipped"] = grade.any_skipped;
  OrderedJson cases = OrderedJson::array();
  for (const CaseGrade& test : grade.cases) {
    OrderedJson one;
    one["name"] = clean(test.name);
    one["verdict"] = word(test.verdict);
    one["description"] = clean(test.description);
    one["duration"] = clean(test.duration_text);
    one["duration_us"] = std::max<std::int64_t>(test.duration.count(), 0);
    one["memory_kib"] = test.memory_kib;
    cases.push_back(std::move(one));
  }
  json["cases"] = std::move(cases);
  return dumped(json);
}

Result<Grade> grade_from_json(std::string_view text) {
  const auto object = untrusted_object(text, kBounds);
  if (!object) return fail(ErrorCode::corrupt, "a grade on disk is not JSON");
  const Json* const cases = member_if(*object, "cases", &Json::is_array);
  if (!cases || !member_if(*object, "is_error", &Json::is_boolean))
    return fail(ErrorCode::corrupt, "a grade on disk lacks what every grade has");
  Grade grade;
  if (const std::string fault = text_at(*object, "fault"); !fault.empty()) grade.fault = fault_of(fault);
  grade.is_error = true_at(*object, "is_error");
  grade.error_details = text_at(*object, "error_details");
  if (std::string commit = text_at(*object, "commit"); is_commit(commit)) grade.commit = std::move(commit);
  grade.duration_text = text_at(*object, "duration");
  grade.duration = time_at(*object, "duration_us");
  grade.any_unexpected = true_at(*object, "any_unexpected");
  grade.any_skipped = true_at(*object, "any_skipped");
  for (const Json& entry : *cases) {
    auto test = case_from_json(entry);
    if (!test) return fail(ErrorCode::corrupt, "a grade on disk has a case that is none");
    grade.cases.push_back(std::move(*test));
  }
  return grade;
}

}  // namespace casemate
