#include "testplan/comparison.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "testplan/line_edits.h"

namespace casemate {
namespace {

using nlohmann::json;
using Lines = std::vector<std::string_view>;

constexpr std::size_t kContext = 3;
constexpr std::size_t kMostLines = 200;
constexpr std::size_t kMostOfLine = 300;

// Each with its newline, so that a last line without one is another line.
Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

// Lines for a person, at most kMostLines; how many more there would be is the last.
class Shown {
 public:
  void line(std::string_view text) {
    if (lines_++ >= kMostLines) return;
    text_ += text;
    text_ += '\n';
  }
  // A line of output. Of a long one the part from `from` on.
  void output(char sign, std::string_view line, std::size_t from = 0) {
    const bool whole = line.ends_with('\n');
    if (whole) line.remove_suffix(1);
    std::string text(1, sign);
    if (line.size() > kMostOfLine) {
      from = from < kMostOfLine / 2 ? 0 : std::min(from - kMostOfLine / 2, line.size() - kMostOfLine);
      text += fmt::format("{}{}... ({} bytes)", from > 0 ? "..." : "", printable_line_of(line.substr(from, kMostOfLine)), line.size());
    } else {
      text += printable_line_of(line);
    }
    this->line(text);
    if (!whole) this->line("\\ No newline at end of file");
  }
  std::string take() {
    if (lines_ > kMostLines) text_ += fmt::format("... and {} more lines\n", lines_ - kMostLines);
    return std::move(text_);
  }

 private:
  // Tabs stay: they are why columns stand below each other. A character that was cut in two is none.
  static std::string printable_line_of(std::string_view line) { return printable(to_utf8(line)); }

  std::string text_;
  std::size_t lines_ = 0;
};

std::size_t first_difference(std::string_view left, std::string_view right) {
  return static_cast<std::size_t>(std::mismatch(left.begin(), left.end(), right.begin(), right.end()).first - left.begin());
}

std::string range(std::size_t first, std::size_t count) {
  if (count == 1) return std::to_string(first + 1);
  return fmt::format("{},{}", count == 0 ? first : first + 1, count);
}

// One hunk: the edits [begin, end), which lie near each other, with the lines around them.
void put_hunk(const Lines& before, const Lines& after, std::vector<LineEdit>::const_iterator begin,
              std::vector<LineEdit>::const_iterator end, Shown& shown) {
  const LineEdit& last = *(end - 1);
  const std::size_t lead = std::min({kContext, begin->before, begin->after});
  const std::size_t tail = std::min(kContext, before.size() - last.before - last.removed);
  const std::size_t from = begin->before - lead, to = begin->after - lead;
  shown.line(
      fmt::format("@@ -{} +{} @@", range(from, last.before + last.removed + tail - from), range(to, last.after + last.added + tail - to)));
  std::size_t at = from;
  for (auto edit = begin; edit != end; ++edit) {
    for (; at < edit->before; ++at) shown.output(' ', before[at]);
    const bool alone = edit->removed == 1 && edit->added == 1;
    const std::size_t differs = alone ? first_difference(before[edit->before], after[edit->after]) : 0;
    for (std::size_t line = 0; line < edit->removed; ++line) shown.output('-', before[at + line], differs);
    for (std::size_t line = 0; line < edit->added; ++line) shown.output('+', after[edit->after + line], differs);
    at += edit->removed;
  }
  for (std::size_t line = 0; line < tail; ++line) shown.output(' ', before[at + line]);
}

Difference compare_exactly(std::string_view recorded, std::string_view now) {
  if (recorded == now) return {};
  const Lines before = lines_of(recorded), after = lines_of(now);
  const std::vector<LineEdit> edits = line_edits(before, after);
  Shown shown;
  shown.line("--- recorded");
  shown.line("+++ now");
  for (auto begin = edits.begin(); begin != edits.end();) {
    auto end = begin + 1;
    while (end != edits.end() && end->before - ((end - 1)->before + (end - 1)->removed) <= 2 * kContext) ++end;
    put_hunk(before, after, begin, end, shown);
    begin = end;
  }
  return {.same = false, .text = shown.take()};
}

std::string_view without_newline(std::string_view line) { return line.ends_with('\n') ? line.substr(0, line.size() - 1) : line; }

Difference compare_contained(std::string_view recorded, std::string_view now) {
  std::unordered_map<std::string_view, std::vector<std::size_t>> places;
  const Lines after = lines_of(now);
  for (std::size_t at = 0; at < after.size(); ++at) places[without_newline(after[at])].push_back(at);
  Shown shown;
  bool same = true;
  std::size_t next = 0;
  for (const std::string_view whole : lines_of(recorded)) {
    const std::string_view line = without_newline(whole);
    if (line.empty()) continue;
    const auto found = places.find(line);
    const auto place = found == places.end() ? std::vector<std::size_t>::const_iterator{}
                                             : std::lower_bound(found->second.cbegin(), found->second.cend(), next);
    if (found != places.end() && place != found->second.cend()) {
      next = *place + 1;
      continue;
    }
    if (std::exchange(same, false)) shown.line("lines of the recording that are missing:");
    if (found != places.end()) shown.line(fmt::format("(there, but before line {}:)", next));
    shown.output('-', std::string(line) + "\n");
  }
  return {.same = same, .text = same ? "" : shown.take()};
}

std::string brief(const json& value) {
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  if (value.is_object()) return fmt::format("an object of {} members", value.size());
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMostOfLine) text = to_utf8(text.substr(0, kMostOfLine)) + "...";
  return printable_name(text);
}

std::string member(const std::string& path, const std::string& name) {
  const bool plain = !name.empty() && name.size() <= kMostOfLine && std::all_of(name.begin(), name.end(), [](unsigned char byte) {
    return std::isalnum(byte) != 0 || byte == '_' || byte == '-';
  });
  return plain ? path + "." + name : fmt::format("{}[{}]", path, brief(name));
}

// Two values that differ.
void compare_values(const json& before, const json& after, const std::string& path, Shown& shown) {
  if (before.is_object() && after.is_object()) {
    for (const auto& [name, value] : before.items()) {
      const auto other = after.find(name);
      if (other == after.end()) {
        shown.line(fmt::format("{}: {} is gone", member(path, name), brief(value)));
      } else {
        if (value != *other) compare_values(value, *other, member(path, name), shown);
      }
    }
    for (const auto& [name, value] : after.items()) {
      if (!before.contains(name)) shown.line(fmt::format("{}: {} is new", member(path, name), brief(value)));
    }
  } else if (before.is_array() && after.is_array()) {
    for (std::size_t at = 0; at < std::max(before.size(), after.size()); ++at) {
      if (at < before.size() && at < after.size() && before[at] == after[at]) continue;
      const std::string place = fmt::format("{}[{}]", path, at);
      if (at >= after.size()) {
        shown.line(fmt::format("{}: {} is gone", place, brief(before[at])));
      } else if (at >= before.size()) {
        shown.line(fmt::format("{}: {} is new", place, brief(after[at])));
      } else {
        compare_values(before[at], after[at], place, shown);
      }
    }
  } else {
    shown.line(fmt::format("{}: {} became {}", path, brief(before), brief(after)));
  }
}

std::optional<json> json_of(std::string_view text) {
  if (!is_within(text, {.depth = 100, .values = 1'000'000})) return std::nullopt;
  json value = json::parse(text, nullptr, false);
  return value.is_discarded() ? std::nullopt : std::optional(std::move(value));
}

Difference compare_json(std::string_view recorded, std::string_view now) {
  const auto before = json_of(recorded), after = json_of(now);
  if (!before || !after) {
    Difference made = compare_exactly(recorded, now);
    made.text.insert(0, fmt::format("{} no JSON: compared exactly\n", !before && !after ? "both are"
                                                                      : !before         ? "the recording is"
                                                                                        : "the output is"));
    return made;
  }
  if (*before == *after) return {};
  Shown shown;
  compare_values(*before, *after, "$", shown);
  return {.same = false, .text = shown.take()};
}

}  // namespace

Difference compare(std::string_view recorded, std::string_view now, CompareMode mode) {
  switch (mode) {
    case CompareMode::exact:
      return compare_exactly(recorded, now);
    case CompareMode::contains:
      return compare_contained(recorded, now);
    case CompareMode::json:
      return compare_json(recorded, now);
  }
  return {};
}

}  // namespace casemate
