#include "report/test_words.h"

#include <algorithm>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::string_view kGreen = "32", kRed = "1;31", kYellow = "33", kMagenta = "35", kPlain = "";

std::string signal_word(int number) {
  const char* name = ::sigabbrev_np(number);
  return name ? fmt::format("CRASH (SIG{})", name) : fmt::format("CRASH (signal {})", number);
}

std::string process_word(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::exited:
      return fmt::format("EXIT ({})", outcome.code);
    case Outcome::Kind::signaled:
      return signal_word(outcome.code);
    case Outcome::Kind::timed_out:
      return "TIMEOUT";
    case Outcome::Kind::out_of_memory:
      return "OOM";
    case Outcome::Kind::too_many_processes:
      return "PROCESSES";
    case Outcome::Kind::output_limit:
      return "OUTPUT";
    case Outcome::Kind::disk_limit:
      return "DISK";
    case Outcome::Kind::setup_failed:
      return "SETUP";
    case Outcome::Kind::cancelled:
      return "CANCELLED";
    case Outcome::Kind::lost:
      break;
  }
  return "LOST";
}

// "CRASH (SIGSEGV)" needs no "signaled 11 (SIGSEGV)" behind it.
bool label_tells_all(const Outcome& outcome) {
  return outcome.kind == Outcome::Kind::exited || outcome.kind == Outcome::Kind::signaled ||
         (outcome.kind == Outcome::Kind::timed_out && outcome.detail.empty());
}

Label verdict_label(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return {"PASS", kGreen};
    case Verdict::failed:
      return {"FAIL", kRed};
    case Verdict::error:
      return {"ERROR", kRed};
    case Verdict::skipped:
      return {"SKIP", kYellow};
    case Verdict::xfailed:
      return {"XFAIL", kYellow};
    case Verdict::xpassed:
      return {"XPASS", kYellow};
    case Verdict::ignored:
      return {"IGNORED", kYellow};
    case Verdict::cancelled:
      return {"CANCELLED", kYellow};
    case Verdict::lost:
      break;
  }
  return {"LOST", kRed};
}

}  // namespace

std::string painted(std::string_view text, std::string_view sgr, bool colors) {
  return colors && !sgr.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", sgr, text) : std::string(text);
}

bool process_failed(const TestResult& result) { return is_bad(result.verdict) && !result.outcome.succeeded(); }

Label attempt_label(const TestResult& result) {
  return process_failed(result) ? Label{process_word(result.outcome), kRed} : verdict_label(result.verdict);
}

Label label_of(const TestResult& result, std::uint32_t tries) {
  const std::string of = tries > 0 ? fmt::format("{}/{}", result.attempt, tries) : std::to_string(result.attempt);
  if (!result.last) return {"RETRY " + of, kMagenta};
  if (result.flaky) return {"FLAKY " + of, kMagenta};
  if (result.cached) return {"CACHED", kGreen};
  return attempt_label(result);
}

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

std::string why(const TestResult& result) {
  if (!result.reason.empty()) return printable_name(first_line(result.reason));
  for (const TestReport& report : result.reports) {
    if (report.outcome == "failed" && !report.message.empty()) return printable_name(first_line(report.message));
  }
  return process_failed(result) && !label_tells_all(result.outcome) ? printable_name(words(result.outcome)) : "";
}

std::string clock_of(std::chrono::microseconds duration) { return fmt::format("[{:8.3f}s]", static_cast<double>(duration.count()) / 1e6); }

std::string leftovers_line(const TestResult& result) {
  constexpr std::size_t kMost = 10;
  const std::size_t count = result.leftovers.size();
  std::string text = fmt::format("{} {} left behind: ", count, count == 1 ? "process" : "processes");
  for (std::size_t i = 0; i < std::min(count, kMost); ++i)
    text += fmt::format("{}{} ({})", i > 0 ? ", " : "", printable_name(result.leftovers[i].name), result.leftovers[i].pid);
  return count > kMost ? fmt::format("{} and {} more", text, count - kMost) : text;
}

std::string counts_line(const RunEnd& end, std::size_t deselected, std::size_t warnings, bool colors) {
  const auto count = [&](Verdict verdict) { return end.counts[static_cast<std::size_t>(verdict)]; };
  struct Part {
    std::size_t count;
    std::string_view word;
    std::string_view sgr;
  };
  const std::size_t errors = count(Verdict::error);
  const Part parts[] = {
      {count(Verdict::failed), "failed", kRed},
      {count(Verdict::passed), "passed", kGreen},
      {end.flaky, "flaky", kMagenta},
      {count(Verdict::skipped), "skipped", kYellow},
      {count(Verdict::ignored), "ignored", kYellow},
      {deselected, "deselected", kYellow},
      {count(Verdict::xfailed), "xfailed", kYellow},
      {count(Verdict::xpassed), "xpassed", kYellow},
      {warnings, warnings == 1 ? "warning" : "warnings", kYellow},
      {errors, errors == 1 ? "error" : "errors", kRed},
      {count(Verdict::lost), "lost", kRed},
      {count(Verdict::cancelled), "cancelled", kYellow},
      {end.not_run, "not run", kYellow},
  };
  std::string text;
  for (const Part& part : parts) {
    if (part.count == 0) continue;
    const std::string cached = part.word == "passed" && end.cached > 0 ? fmt::format(" ({} cached)", end.cached) : "";
    text += (text.empty() ? "" : ", ") + painted(fmt::format("{} {}{}", part.count, part.word, cached), part.sgr, colors);
  }
  return text.empty() ? painted("no tests ran", kPlain, colors) : text;
}

}  // namespace casemate
