#include "report/failure_text.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/columns.h"
#include "report/test_words.h"

namespace casemate {
namespace {

constexpr std::uint64_t kLeastShare = 200;  // less of a text tells nothing

// One text under a heading.
struct Piece {
  std::string heading;  // printable; "": none
  std::string_view text;
  bool traceback = false;
};

bool captured_already(const std::vector<Piece>& pieces, const std::string& heading, std::string_view text) {
  return std::any_of(pieces.begin(), pieces.end(), [&](const Piece& piece) { return piece.heading == heading && piece.text == text; });
}

// "setup of test_a", "test_a [i=1]".
std::string about(const TestResult& result, const TestReport& report) {
  std::string name = report.when == "setup" || report.when == "teardown" ? fmt::format("{} of {}", report.when, result.test.name) : "";
  if (!report.subtest.empty()) name = fmt::format("{} {}", result.test.name, report.subtest);
  return printable_name(name);
}

std::vector<Piece> pieces_of(const TestResult& result) {
  std::vector<Piece> pieces;
  for (const TestReport& report : result.reports) {
    if (report.outcome != "failed") continue;
    pieces.push_back({about(result, report), report.text, true});
  }
  for (const TestReport& report : result.reports) {
    if (report.outcome != "failed") continue;
    for (const auto& [title, text] : report.sections) {
      std::string heading = printable_name(title);
      if (!text.empty() && !captured_already(pieces, heading, text)) pieces.push_back({std::move(heading), text});
    }
  }
  const std::string whose = result.cell_is_its_own ? "" : ", of its whole cell";
  if (!result.output.out.empty()) pieces.push_back({"stdout past pytest's capture" + whose, result.output.out});
  if (!result.output.err.empty()) pieces.push_back({"stderr past pytest's capture" + whose, result.output.err});
  return pieces;
}

// pytest marks the lines of an exception with "E ", the line of code that raised it with ">".
std::string with_marks(const std::string& text) {
  std::string marked;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string_view line(text.data() + at, end - at);
    marked += painted(line, line.starts_with("E ") ? "31" : line.starts_with(">") ? "1" : "", true) + "\n";
    at = end + 1;
  }
  return marked;
}

}  // namespace

std::string with_newlines(std::string_view text) {
  std::string lines;
  lines.reserve(text.size() + 1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r')
      lines += text[i];
    else if (i + 1 == text.size() || text[i + 1] != '\n')
      lines += '\n';
  }
  if (!lines.empty() && lines.back() != '\n') lines += '\n';
  return lines;
}

std::string head_and_tail(std::string_view text, std::uint64_t limit, std::string_view stream) {
  if (text.size() <= limit) return std::string(text);
  const std::size_t half = static_cast<std::size_t>(limit / 2);
  // A cut at the end of a line, unless that would lose more than half of what may stay.
  std::size_t head = text.rfind('\n', half);
  head = head == std::string_view::npos || head < half / 2 ? half : head + 1;
  std::size_t tail = text.find('\n', text.size() - half);
  tail = tail == std::string_view::npos || tail + 1 > text.size() - half / 2 ? text.size() - half : tail + 1;
  const auto in_character = [&](std::size_t at) { return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80; };
  for (int i = 0; i < 3 && head > 0 && in_character(head); ++i) --head;
  for (int i = 0; i < 3 && in_character(tail); ++i) ++tail;
  const bool ended = head == 0 || text[head - 1] == '\n';
  const std::string gap = stream.empty() ? fmt::format("[... {} bytes left out ...]", tail - head)
                                         : fmt::format("{} truncated, {} bytes lost", stream, tail - head);
  return fmt::format("{}{}{}\n{}", text.substr(0, head), ended ? "" : "\n", gap, text.substr(tail));
}

std::vector<std::uint64_t> shares(const std::vector<std::uint64_t>& sizes, std::uint64_t limit) {
  std::vector<std::size_t> by_size(sizes.size());
  std::iota(by_size.begin(), by_size.end(), 0u);
  std::stable_sort(by_size.begin(), by_size.end(), [&](std::size_t a, std::size_t b) { return sizes[a] < sizes[b]; });
  std::vector<std::uint64_t> given(sizes.size());
  std::uint64_t left = limit;
  for (std::size_t i = 0; i < by_size.size(); ++i) {
    given[by_size[i]] = std::min(sizes[by_size[i]], left / (by_size.size() - i));
    left -= given[by_size[i]];
  }
  return given;
}

std::string failure_text(const TestResult& result, std::uint64_t limit, std::size_t columns, bool colors, bool of_plan) {
  const std::vector<Piece> pieces = pieces_of(result);
  std::vector<std::uint64_t> sizes;
  for (const Piece& piece : pieces) sizes.push_back(piece.text.size());
  const std::vector<std::uint64_t> given = shares(sizes, limit);

  const Label label = attempt_label(result);
  std::string all =
      painted(rule(fmt::format("{}  {}", label.word, printable_name(result.test.id)), '_', columns), label.sgr, colors) + "\n";
  if (process_failed(result) && !of_plan) all += painted("its process: " + printable_name(words(result.outcome)), "31", colors) + "\n";
  const bool explained =
      std::any_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return piece.traceback && !piece.text.empty(); });
  if (!explained && !result.reason.empty()) all += printable(with_newlines(result.reason));
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    if (!piece.heading.empty()) all += rule(piece.heading, '-', columns) + "\n";
    const std::string text = printable(with_newlines(head_and_tail(piece.text, std::max(given[i], std::min(kLeastShare, limit)))));
    all += piece.traceback && colors ? with_marks(text) : text;
  }
  if (result.output.truncated) all += "[the test wrote more than was kept]\n";
  if (!result.leftovers.empty() && !of_plan) all += "leak: " + leftovers_line(result) + "\n";
  for (const std::string& note : result.notes) all += "note: " + printable_line(note) + "\n";
  return all;
}

}  // namespace casemate
