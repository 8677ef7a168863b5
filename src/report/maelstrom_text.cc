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

std::string_view column_of(std::string_view title) { return title.find("stderr") == std::string_view::npos ? "stdout" : "stderr"; }

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
  const bool ran = result.verdict != Verdict::ignored;
  const std::string time = ran ? fmt::format("{:.3f}s", static_cast<double>(result.duration.count()) / 1e6) : "";
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
  struct Piece {
    std::string_view stream;
    std::string_view prefix;
    std::string_view text;
  };
  std::vector<Piece> pieces;
  for (const TestReport& report : result.reports) {
    if (report.outcome == "failed") pieces.push_back({"text", "", report.text});
  }
  for (const TestReport& report : result.reports) {
    if (report.outcome != "failed") continue;
    for (const auto& [title, text] : report.sections) {
      const std::string_view stream = column_of(title);
      pieces.push_back({stream, stream == "stderr" ? "stderr: " : "", text});
    }
  }
  pieces.push_back({"stdout", "", result.output.out});
  pieces.push_back({"stderr", "stderr: ", result.output.err});
  std::vector<std::uint64_t> sizes;
  for (const Piece& piece : pieces) sizes.push_back(piece.text.size());
  const std::vector<std::uint64_t> given = shares(sizes, limit);
  std::string all;
  const bool explained =
      std::any_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.stream == "text" && !piece.text.empty(); });
  if (!result.outcome.succeeded())
    all += printable_name(words(result.outcome)) + "\n";
  else if (!explained && !result.reason.empty())
    all += printable(with_newlines(result.reason));
  for (std::size_t i = 0; i < pieces.size(); ++i)
    all += prefixed(pieces[i].prefix, with_newlines(head_and_tail(pieces[i].text, given[i], pieces[i].stream)));
  return all;
}

void MaelstromSummary::add(const TestResult& result) {
  const std::string word = maelstrom_label(result).word;
  if (word == "OK")
    ++succeeded;
  else if (word == "IGNORED")
    ignored.push_back(printable_name(result.test.id));
  else
    failed.emplace_back(printable_name(result.test.id), word == "TIMEOUT" ? "timed out" : word == "ERR" ? "error" : "failure");
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
  for (const auto& failed : summary.failed) width = std::max(width, columns_of(failed.first));
  for (const auto& [name, word] : summary.failed) all += name_row(name, width, word, kRed, colors);
  if (!summary.ignored.empty()) row("Ignored Tests", kYellow, summary.ignored.size());
  width = 0;
  for (const std::string& name : summary.ignored) width = std::max(width, columns_of(name));
  for (const std::string& name : summary.ignored) all += name_row(name, width, "ignored", kYellow, colors);
  if (summary.not_run > 0) row("Tests Not Run", kRed, summary.not_run);
  return all;
}

}  // namespace casemate
