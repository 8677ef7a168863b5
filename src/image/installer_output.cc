// What uv and pip print, read for people: hostile text, since package names and build output are part of it.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "image/installer.h"

namespace casemate {
namespace {

constexpr std::size_t kMaxTelling = 400;

std::string_view stripped(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r") - start + 1);
}

template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// A line without the marks that uv of different ages puts before causes; `depth` tells the headline (0) from a cause (1) and the rest (-1).
std::string_view without_marks(std::string_view line, int& depth) {
  line = stripped(line);
  constexpr std::array<std::pair<std::string_view, int>, 7> kMarks = {
      {{"error: ", 0}, {"× ", 0}, {"cause: ", 1}, {"Caused by: ", 1}, {"╰─▶ ", 1}, {"├─▶ ", 1}, {"ERROR: ", 0}}};
  for (const auto& [mark, level] : kMarks) {
    if (line.starts_with(mark)) {
      depth = level;
      return stripped(line.substr(mark.size()));
    }
  }
  depth = -1;
  return line;
}

bool is_word_before(std::string_view line, std::string_view word) {
  return line.starts_with(word) && line.size() > word.size() && line[word.size()] == ' ';
}

std::string lowered_first(std::string_view line) {
  std::string text(line);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

}  // namespace

std::string telling_line(std::string_view log) {
  std::string headline;
  std::string first_cause;
  std::string last_cause;
  std::string last_line;
  bool open = false;  // the line before was a cause that may go on: uv wraps long ones
  each_line(log, [&](std::string_view line) {
    int depth = -1;
    const std::string_view text = without_marks(line, depth);
    if (!text.empty()) last_line = text;
    if (depth == 0) {
      if (headline.empty()) headline = text;
      open = false;
    } else if (depth == 1 && !headline.empty()) {
      if (first_cause.empty()) first_cause = text;
      last_cause = text;
      open = true;
    } else if (open && line.starts_with("      ") && !text.empty() && first_cause.size() < kMaxTelling && first_cause == last_cause) {
      first_cause += " " + std::string(text);
      last_cause = first_cause;
    } else {
      open = false;
    }
  });
  std::string telling = headline.empty() ? last_line : headline;
  if (!first_cause.empty()) telling += ": " + first_cause;
  if (last_cause != first_cause) telling += ": " + last_cause;
  if (telling.size() > kMaxTelling) {
    std::size_t end = kMaxTelling;
    while (end > 0 && (static_cast<unsigned char>(telling[end]) & 0xC0) == 0x80) --end;
    telling = telling.substr(0, end) + "...";
  }
  return telling;
}

std::string progress_of_line(std::string_view line) {
  line = stripped(line);
  for (const char* word : {"Resolved", "Downloading", "Downloaded", "Building", "Built", "Prepared", "Installed", "Updating", "Updated",
                           "Collecting", "Using cached", "Installing", "Preparing", "Successfully installed"}) {
    if (is_word_before(line, word)) return lowered_first(line.substr(0, 200));
  }
  return "";
}

}  // namespace casemate
