#include "report/maelstrom_text.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/columns.h"
#include "report/failure_text.h"

namespace casemate {
namespace {

constexpr std::string_view kGreen = "32", kRed = "31", kYellow = "33", kBold = "1";
constexpr std::size_t kPytestColumns = 80;  // pytest's own where its output is no terminal

// `text` with `prefix` before each line, printable.
std::string prefixed(std::string_view prefix, const std::string& text) {
  std::string lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines += fmt::format("{}{}\n", prefix, printable(std::string_view(text).substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

// What the result's process or casemate says, before what pytest says.
std::string about_the_process(const TestResult& result) {
  const Outcome& outcome = result.outcome;
  if (outcome.succeeded()) return result.verdict == Verdict::lost ? "system error: " + printable_line(result.reason) + "\n" : "";
  if (outcome.kind == Outcome::Kind::signaled) return fmt::format("killed by signal {}\n", outcome.code);
  const char* const whose = outcome.kind == Outcome::Kind::setup_failed ? "execution error: "
                            : outcome.kind == Outcome::Kind::lost       ? "system error: "
                                                                        : "";
  return whose + printable_name(words(outcome)) + "\n";
}

// pytest strips the text of a report; on a screen it has an empty line first, and the code is indented.
std::string unstripped(std::string_view text) {
  if (!text.starts_with('>') && text.find("\n>") == std::string_view::npos) return std::string(text);
  constexpr std::string_view kCode[] = {"def ", "async def ", "class ", "@"};
  const bool is_code = std::any_of(std::begin(kCode), std::end(kCode), [&](std::string_view begin) { return text.starts_with(begin); });
  return fmt::format("\n{}{}", is_code ? "    " : "", text);
}

struct Piece {
  std::string heading;  // printable, with newline; "" none
  std::string_view stream;
  std::string_view prefix;
  std::string text;
};

void add_report(std::vector<Piece>& pieces, const TestResult& result, const TestReport& report) {
  std::string heading;
  if (report.when == "setup" || report.when == "teardown")
    heading = rule(printable_name(fmt::format("ERROR at {} of {}", report.when, result.test.name)), '_', kPytestColumns) + "\n";
  pieces.push_back({std::move(heading), "text", "", unstripped(report.text)});
  for (const auto& [title, text] : report.sections) {
    const std::string_view stream = title.find("stderr") == std::string_view::npos ? "stdout" : "stderr";
    if (!text.empty()) pieces.push_back({rule(printable_name(title), '-', kPytestColumns) + "\n", stream, "", text});
  }
}

std::string name_row(const std::string& name, std::size_t width, std::string_view word, std::string_view sgr, bool colors) {
  return fmt::format("    {}{}: {}\n", name, std::string(width - columns_of(name), ' '), painted(word, sgr, colors));
}

}  // namespace

Label maelstrom_label(const TestResult& result) {
  switch (result.verdict) {
    case Verdict::passed:
    case Verdict::xfailed:
    case Verdict::xpassed:
      return {"OK", kGreen};
    case Verdict::skipped:
    case Verdict::ignored:
    case Verdict::cancelled:
      return {"IGNORED", kYellow};
    case Verdict::failed:
    case Verdict::error:
      if (result.outcome.kind == Outcome::Kind::timed_out) return {"TIMEOUT", kRed};
      if (result.outcome.kind == Outcome::Kind::setup_failed || result.outcome.kind == Outcome::Kind::lost) return {"ERR", kRed};
      return {"FAIL", kRed};
    case Verdict::lost:
      break;
  }
  return {"ERR", kRed};
}

std::string maelstrom_line(const TestResult& result, std::size_t columns, bool colors) {
  const Label label = maelstrom_label(result);
  const bool timed = label.word != "IGNORED" && label.word != "ERR" && !(result.reports.size() == 1 && result.reports[0].when == "collect");
  const std::string time = timed ? fmt::format("{:.3f}s", static_cast<double>(result.duration.count()) / 1e6) : "";
  const std::string trailer = fmt::format("{} {:>8}", painted(label.word, label.sgr, colors), time);
  const std::string name = printable_name(result.test.id);
  if (columns <= 30) return fmt::format("{} {}", painted(name, kBold, colors), painted(label.word, label.sgr, colors));
  const std::size_t trailer_width = label.word.size() + 1 + std::max<std::size_t>(time.size(), 8);
  const std::size_t room = columns - trailer_width;
  if (columns_of(name) < room) return painted(name, kBold, colors) + std::string(room - columns_of(name), '.') + trailer;
  const std::string end = end_within(name, room + 1).substr(3);  // two columns stay for "<" and a dot
  return "<" + painted(end, kBold, colors) + std::string(room - 1 - std::min(room - 1, columns_of(end)), '.') + trailer;
}

std::string maelstrom_details(const TestResult& result, std::uint64_t limit) {
  std::vector<Piece> pieces;
  for (const TestReport& report : result.reports) {
    if (report.outcome == "failed") add_report(pieces, result, report);
  }
  const bool explained =
      std::any_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.stream == "text" && !piece.text.empty(); });
  pieces.push_back({"", "stdout", "", result.output.out});
  pieces.push_back({"", "stderr", "stderr: ", result.output.err});
  std::vector<std::uint64_t> sizes;
  for (const Piece& piece : pieces) sizes.push_back(piece.text.size());
  const std::vector<std::uint64_t> given = shares(sizes, limit);
  std::string all = about_the_process(result);
  if (all.empty() && !explained && !result.reason.empty()) all = printable(with_newlines(result.reason));
  for (std::size_t i = 0; i < pieces.size(); ++i)
    all += pieces[i].heading + prefixed(pieces[i].prefix, with_newlines(head_and_tail(pieces[i].text, given[i], pieces[i].stream)));
  return all;
}

bool MaelstromSummary::add(const TestResult& result) {
  const std::string word = maelstrom_label(result).word;
  if (word == "OK") {
    ++succeeded;
  } else if (word == "IGNORED") {
    if (!ignored_ids.insert(result.test.id).second) return false;
    ignored.push_back(printable_name(result.test.id));
  } else {
    failed.push_back(printable_name(result.test.id));
  }
  return true;
}

std::string maelstrom_summary(const MaelstromSummary& summary, std::size_t columns, bool colors) {
  const std::string heading = " Test Summary ";
  const std::string equals((std::max(columns, heading.size()) - heading.size()) / 2, '=');
  std::string all = fmt::format("\n{}{}{}\n", equals, heading, equals);
  const auto row = [&](std::string_view what, std::string_view sgr, std::size_t count) {
    all += fmt::format("{}{}: {:>9}\n", painted(what, sgr, colors), std::string(16 - what.size(), ' '), count);
  };
  row("Successful Tests", kGreen, summary.succeeded);
  row("Failed Tests", kRed, summary.failed.size());
  std::size_t width = 0;
  for (const std::string& name : summary.failed) width = std::max(width, columns_of(name));
  for (const std::string& name : summary.failed) all += name_row(name, width, "failure", kRed, colors);
  if (!summary.ignored.empty()) row("Ignored Tests", kYellow, summary.ignored.size());
  width = 0;
  for (const std::string& name : summary.ignored) width = std::max(width, columns_of(name));
  for (const std::string& name : summary.ignored) all += name_row(name, width, "ignored", kYellow, colors);
  if (summary.not_run > 0) row("Tests Not Run", kRed, summary.not_run);
  return all;
}

}  // namespace casemate
