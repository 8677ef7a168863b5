#include "testplan/checks.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostReason = 2000;
constexpr std::size_t kMostQuoted = 120;

// memmem(3) has no quadratic cases that long texts could be made for; std::string::find has.
bool is_in(const std::string& text, const std::string& wanted) {
  return wanted.empty() || ::memmem(text.data(), text.size(), wanted.data(), wanted.size()) != nullptr;
}

std::string quoted(std::string_view text) {
  if (text.size() <= kMostQuoted) return "'" + printable_name(text) + "'";
  return "'" + printable_name(to_utf8(text.substr(0, kMostQuoted))) + "...'";
}

// The last line that says anything.
std::string_view last_of(std::string_view text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return "";
  text = text.substr(0, end + 1);
  const auto start = text.find_last_of('\n');
  return start == std::string_view::npos ? text : text.substr(start + 1);
}

// How it ended, if not as expected.
std::string wrong_exit(const Expectations& expected, const StepResult& result) {
  const int code = exit_code(result).value_or(0);
  const bool good = expected.exit_code ? code == *expected.exit_code : !expected.nonzero || code != 0;
  if (good) return "";
  const std::string wanted = expected.exit_code ? std::to_string(*expected.exit_code) : "anything but 0";
  const std::string_view said = last_of(result.err);
  return fmt::format("{}, expected {}{}", words(*result.outcome), wanted, said.empty() ? "" : "; stderr ends: " + quoted(said));
}

void lacks(const std::vector<std::string>& wanted, const std::string& text, std::string_view stream, bool truncated,
           std::vector<std::string>& reasons) {
  const std::string low = wanted.empty() ? "" : ascii_lower(text);
  std::string last;
  for (const std::string& one : wanted) {
    if (is_in(low, ascii_lower(one))) continue;
    reasons.push_back(fmt::format("{} lacks {}", stream, quoted(one)));
    last = truncated ? " (there was more than is kept)" : last_of(text).empty() ? ": it is empty" : "; it ends: " + quoted(last_of(text));
  }
  if (!last.empty()) reasons.back() += last;
}

void set(StepResult& result, PlanStatus status, std::string reason) {
  result.status = status;
  if (reason.size() > kMostReason) reason = to_utf8(reason.substr(0, kMostReason)) + "...";
  result.reason = std::move(reason);
}

}  // namespace

std::optional<int> exit_code(const StepResult& result) {
  if (!result.outcome) return std::nullopt;
  if (result.outcome->kind == Outcome::Kind::exited) return result.outcome->code;
  if (result.outcome->kind == Outcome::Kind::signaled) return 128 + result.outcome->code;
  return std::nullopt;
}

bool contains_ignoring_case(std::string_view text, std::string_view wanted) { return is_in(ascii_lower(text), ascii_lower(wanted)); }

void judge(const PlanStep& step, StepResult& result, const std::vector<bool>& present, const std::vector<std::string>& contents) {
  if (says_nothing(step)) return set(result, PlanStatus::skipped, "neither runs a command nor says what to look for");
  if (!result.outcome && !step.background)
    return set(result, PlanStatus::error, step.command.empty() ? "there is no output of a command before it" : "the command was not run");
  if (result.outcome && !exit_code(result)) return set(result, PlanStatus::error, words(*result.outcome));
  std::vector<std::string> reasons;
  if (result.outcome) {
    if (std::string reason = wrong_exit(step.expected, result); !reason.empty()) reasons.push_back(std::move(reason));
  }
  lacks(step.expected.output, result.out, "stdout", result.truncated, reasons);
  lacks(step.expected.error, result.err, "stderr", result.truncated, reasons);
  for (std::size_t at = 0; at < step.expected.files.size(); ++at) {
    if (at >= present.size() || !present[at]) reasons.push_back(fmt::format("there is no file {}", quoted(step.expected.files[at])));
  }
  for (std::size_t at = 0; at < step.expected.contents.size(); ++at) {
    const auto& [file, text] = step.expected.contents[at];
    if (at >= contents.size() || !contains_ignoring_case(contents[at], text))
      reasons.push_back(fmt::format("the file {} lacks {}", quoted(file), quoted(text)));
  }
  set(result, reasons.empty() ? PlanStatus::passed : PlanStatus::failed, fmt::format("{}", fmt::join(reasons, "; ")));
}

void judge(const PlanCase& one, CaseResult& result) {
  static const StepResult kNone;
  result.status = PlanStatus::passed;
  result.reason.clear();
  for (std::size_t at = 0; at < one.steps.size(); ++at) {
    const PlanStep& step = one.steps[at];
    const StepResult& ended = at < result.steps.size() ? result.steps[at] : kNone;
    if (ended.status == PlanStatus::passed || says_nothing(step)) continue;
    const bool setup = step.type == PlanStep::Type::setup, teardown = step.type == PlanStep::Type::teardown;
    result.status = (setup || teardown) && ended.status == PlanStatus::failed ? PlanStatus::error : ended.status;
    const std::string reason = ended.reason.empty() ? std::string(word(ended.status)) : ended.reason;
    const std::string_view what = setup ? "setup" : teardown ? "teardown" : "step";
    result.reason = step.pointer == one.pointer ? reason : fmt::format("{} {}: {}", what, quoted(step.id), reason);
    return;
  }
}

PlanTotals totals(const PlanResult& result) {
  PlanTotals sum{.total = result.cases.size()};
  for (const CaseResult& one : result.cases) {
    switch (one.status) {
      case PlanStatus::passed:
        ++sum.passed;
        break;
      case PlanStatus::failed:
        ++sum.failed;
        break;
      case PlanStatus::error:
        ++sum.error;
        break;
      case PlanStatus::skipped:
        ++sum.skipped;
        break;
      case PlanStatus::not_run:
        ++sum.not_run;
        break;
    }
  }
  return sum;
}

}  // namespace casemate
