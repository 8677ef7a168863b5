#include "report/github.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/terminal.h"
#include "base/units.h"
#include "report/failure_text.h"
#include "report/live_output.h"
#include "report/test_words.h"
#include "report/workflow_command.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostAnnotations = 10;      // of each level that GitHub shows of a step
constexpr std::size_t kSummaryLimit = 1u << 20;   // of a step's summary; a larger one is not shown at all
constexpr std::size_t kMostKept = 2000;           // results; a summary has room for fewer
constexpr std::size_t kMostKeptBytes = 4u << 20;  // of their texts
constexpr std::uint64_t kLongestText = 16u << 10;
constexpr std::size_t kLongestMessage = 4000;  // of an annotation
constexpr std::size_t kTail = 400;             // room that "and N more" takes

std::string from_environment_variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Bytes of the file now; 0 if it isn't there.
std::size_t size_of(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::size_t>(info.st_size) : 0;
}

std::string count_cell(std::size_t count, std::string_view word) {
  return count == 0 ? "" : fmt::format("<tr><td>{}</td><td align=\"right\">{}</td></tr>\n", word, count);
}

}  // namespace

bool GithubOptions::on_a_runner() { return from_environment_variable("GITHUB_ACTIONS") == "true"; }

GithubOptions GithubOptions::from_environment() {
  GithubOptions options;
  options.summary_path = from_environment_variable("GITHUB_STEP_SUMMARY");
  options.workspace = from_environment_variable("GITHUB_WORKSPACE");
  return options;
}

std::string html_text(std::string_view text) {
  std::string safe;
  for (const char byte : printable(text)) {
    switch (byte) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      // What would be a mention, a reference to an issue, or Markdown where a blank line ends the HTML around it.
      case '@':
      case '#':
      case '`':
      case '*':
      case '_':
      case '[':
      case ']':
      case '|':
      case '~':
      case '\\':
      case '!':
      case '$':
      case ':':
        safe += fmt::format("&#{};", static_cast<int>(byte));
        break;
      default:
        safe += byte;
    }
  }
  return safe;
}

void GithubReport::run_started(const RunStart& run) {
  run_ = run;
  deselected_ = bad_ = kept_bytes_ = 0;
  kept_.clear();
}

void GithubReport::collected(const Collected& collected) {
  deselected_ = collected.deselected;
  for (const TestResult& problem : collected.problems) keep(problem);
}

void GithubReport::test_finished(const TestResult& result) {
  if (result.last && (is_bad(result.verdict) || result.flaky || !result.leftovers.empty())) keep(result);
}

void GithubReport::keep(const TestResult& result) {
  bad_ += is_bad(result.verdict);
  if (kept_.size() >= kMostKept) return;
  Kept kept;
  kept.id = result.test.id;
  kept.file = result.test.file.empty() ? result.test.id : result.test.file;
  kept.line = result.test.line;
  for (const TestReport& report : result.reports) {
    // The place where it failed, if that is in the file of the test: else it may be in a library that the pull request does not touch.
    if (report.outcome == "failed" && report.path == kept.file && report.line > 0) kept.line = report.line;
  }
  kept.bad = is_bad(result.verdict);
  kept.label = kept.bad ? attempt_label(result).word : result.flaky ? "FLAKY" : "LEAK";
  kept.why = why(result);
  if (kept.why.empty() && !result.leftovers.empty()) kept.why = leftovers_line(result);
  if (kept.bad && kept_bytes_ < kMostKeptBytes) {
    std::string text = failure_text(result, kLongestText, 80, false);
    kept.text = text.substr(text.find('\n') + 1);  // without the heading
    kept_bytes_ += kept.text.size();
  }
  kept_.push_back(std::move(kept));
}

std::string GithubReport::annotations() const {
  std::string lines;
  std::size_t errors = 0;
  std::size_t warnings = 0;
  // A path below the workspace is told from there.
  std::string prefix;
  if (!options_.workspace.empty() && run_.directory.starts_with(options_.workspace + "/"))
    prefix = run_.directory.substr(options_.workspace.size() + 1) + "/";
  for (const Kept& kept : kept_) {
    std::size_t& count = kept.bad ? errors : warnings;
    if (++count > kMostAnnotations) continue;
    const std::string file = printable_name(kept.file.starts_with('/') ? kept.file : prefix + kept.file);
    std::string message = kept.why;
    if (kept.bad && !kept.text.empty()) message = head_and_tail(kept.text, kLongestMessage);
    if (kept.bad && count == kMostAnnotations && bad_ > kMostAnnotations)
      message += fmt::format("\n... and {} more tests went wrong: the log and the step's summary name them", bad_ - kMostAnnotations);
    if (message.empty()) message = kept.label;
    lines +=
        annotation(kept.bad ? "error" : "warning", file, kept.line, fmt::format("{} {}", kept.label, printable_name(kept.id)), message);
  }
  return lines;
}

std::string GithubReport::summary(const RunEnd& end, std::size_t room) const {
  const auto count = [&](Verdict verdict) { return end.counts[static_cast<std::size_t>(verdict)]; };
  std::string all = fmt::format("\n## {} {}\n\n", end.exit_status == 0 ? "✅" : "❌", html_text(run_.name.empty() ? "tests" : run_.name));
  all += html_text(fmt::format("{} in {}", counts_line(end, deselected_, 0, false), format_duration(end.took))) + "\n\n";
  all += "<table>\n";
  for (std::size_t i = 0; i < kVerdicts; ++i) all += count_cell(count(static_cast<Verdict>(i)), word(static_cast<Verdict>(i)));
  all += count_cell(end.flaky, "flaky (of the passed)") + count_cell(end.not_run, "not run") + "</table>\n\n";
  if (!end.stopped_because.empty()) all += html_text(printable_name(end.stopped_because)) + "\n\n";
  if (!end.problem.empty()) all += html_text(printable_line(end.problem)) + "\n\n";
  std::size_t left_out = 0;
  for (const Kept& kept : kept_) {
    const std::string title = fmt::format("<b>{}</b> <code>{}</code>", html_text(kept.label), html_text(printable_name(kept.id)));
    const std::string reason = html_text(kept.why);
    std::string block = fmt::format("<p>{} {}</p>\n\n", title, reason);
    // An empty line before <pre>: only then it is a block of its own, which no empty line in the text ends (CommonMark, HTML blocks).
    if (!kept.text.empty())
      block = fmt::format("<details><summary>{} {}</summary>\n\n<pre><code>{}</code></pre>\n\n</details>\n\n", title, reason,
                          html_text(kept.text));
    if (all.size() + block.size() + kTail > room)
      ++left_out;
    else
      all += block;
  }
  if (left_out > 0) all += fmt::format("... and {} more, for which a step's summary has no room\n", left_out);
  return all.size() > room ? "" : all;
}

std::string GithubReport::append_summary(const RunEnd& end) const {
  if (options_.summary_path.empty()) return "";
  const std::size_t size = size_of(options_.summary_path);
  const std::string text = summary(end, kSummaryLimit - std::min(size, kSummaryLimit));
  if (text.empty()) return "";
  const UniqueFd file(::open(options_.summary_path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666));
  const auto problem = [&](int number) {
    return fmt::format("can't write the step's summary {}: {}", printable_name(options_.summary_path), std::strerror(number));
  };
  if (!file) return problem(errno);
  const auto written = write_all(file.get(), text);
  return written ? "" : problem(written.error().errno_value);
}

std::string GithubReport::run_finished(const RunEnd& end) {
  LiveOutput log(options_.fd);
  log.add_own(annotations());
  log.finish();
  std::string problem = append_summary(end);
  return log.problem() == 0 ? problem : fmt::format("can't write annotations: {}", std::strerror(log.problem()));
}

}  // namespace casemate
