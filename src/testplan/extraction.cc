#include "testplan/extraction.h"

#include <array>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/terminal.h"
#include "testplan/pattern.h"
#include "testplan/plan_table.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 64 << 10;
constexpr std::size_t kMostGroups = 10;
constexpr std::size_t kLongestName = 4096;

// `$` of other engines matches before a last newline too; without it, it does here.
std::string_view without_last_newline(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

std::string_view without_blanks(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

Result<std::string> extract(const Extraction& extraction, std::string_view output) {
  const std::string variable = printable_line(extraction.variable);
  std::string value;
  if (extraction.pattern.empty()) {
    value = without_last_newline(output);
  } else {
    TRY_ASSIGN(const auto pattern, make_pattern(extraction.pattern));
    const std::string text = to_utf8(without_last_newline(output));
    std::array<re2::StringPiece, kMostGroups + 1> groups;
    const int wanted = 1 + std::min(pattern->NumberOfCapturingGroups(), static_cast<int>(kMostGroups));
    if (!pattern->Match(text, 0, text.size(), re2::RE2::UNANCHORED, groups.data(), wanted))
      return fail(ErrorCode::not_found,
                  fmt::format("no value for {}: '{}' is nowhere in the output", variable, printable_line(extraction.pattern)));
    // "a=(\d+)|b=(\d+)": the first that took part.
    re2::StringPiece chosen = groups[0];
    for (int group = 1; group < wanted; ++group) {
      if (groups[static_cast<std::size_t>(group)].data() == nullptr) continue;
      chosen = groups[static_cast<std::size_t>(group)];
      break;
    }
    value.assign(chosen.data(), chosen.size());
  }
  if (value.size() > kMostBytes) return fail(ErrorCode::invalid_input, fmt::format("the value for {} has more than 64 KiB", variable));
  if (value.contains('\0'))
    return fail(ErrorCode::invalid_input, fmt::format("the value for {} has a NUL in it, which no environment holds", variable));
  return value;
}

std::optional<Placeholder> placeholder_at(std::string_view text, std::size_t at, const PlanValues& values) {
  if (!text.substr(at).starts_with("{{")) return std::nullopt;
  text = text.substr(at + 2, kLongestName);  // a text may have many braces
  const auto close = text.find("}}");
  if (close == std::string_view::npos) return std::nullopt;
  const auto found = values.find(std::string(without_blanks(text.substr(0, close))));
  if (found == values.end()) return std::nullopt;
  return Placeholder{close + 4, found};
}

std::vector<std::string> value_names(std::string_view text) {
  std::vector<std::string> names;
  for (auto open = text.find("{{"); open != std::string_view::npos; open = text.find("{{", open + 1)) {
    const std::string_view rest = text.substr(open + 2, kLongestName);
    const std::string_view name = without_blanks(rest.substr(0, rest.find("}}")));
    if (rest.contains("}}") && is_variable_name(name)) names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> value_names(const PlanStep& step) {
  std::vector<std::string> names = value_names(step.command);
  const auto add = [&](const std::string& text) {
    for (std::string& name : value_names(text)) names.push_back(std::move(name));
  };
  add(step.input);
  for (const auto& [variable, value] : step.environment) add(value);
  return names;
}

std::string with_values(std::string_view text, const PlanValues& values) {
  std::string made;
  for (std::size_t at = 0; at < text.size();) {
    if (const auto found = placeholder_at(text, at, values)) {
      made += found->value->second;
      at += found->length;
    } else {
      made += text[at++];
    }
  }
  return made;
}

}  // namespace casemate
