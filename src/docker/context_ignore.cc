#include "docker/context_ignore.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

// As GlobPattern has it: braces are plain here, and "[^a]" is what it writes "[!a]" (Go's path/filepath.Match).
std::string glob_text(std::string_view pattern) {
  std::string text;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char byte = pattern[i];
    if (byte == '{' || byte == '}' || byte == ',') text += '\\';
    text += byte;
    if (byte == '\\' && i + 1 < pattern.size()) text += pattern[++i];
    if (byte == '[' && i + 1 < pattern.size() && pattern[i + 1] == '^') {
      text += '!';
      ++i;
    }
  }
  return text;
}

std::string_view trimmed(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

bool matches_or_above(const GlobPattern& pattern, std::string_view path) {
  for (;;) {
    if (pattern.matches(path)) return true;
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return false;
    path = path.substr(0, slash);
  }
}

}  // namespace

Result<ContextIgnore> ContextIgnore::parse(std::string_view text) {
  ContextIgnore made;
  std::size_t number = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    if (line.starts_with('#')) continue;
    line = trimmed(line);
    const bool keeps = line.starts_with('!');
    if (keeps) line = trimmed(line.substr(1));
    std::string clean = std::filesystem::path(line).lexically_normal();
    clean.erase(0, clean.find_first_not_of('/'));
    while (clean.ends_with('/')) clean.pop_back();
    if (clean.empty() || clean == "." || clean == ".." || clean.starts_with("../")) continue;
    auto pattern = GlobPattern::compile(glob_text(clean));
    if (!pattern)
      return fail(ErrorCode::invalid_input, fmt::format(".dockerignore, line {}: {}", number, printable_line(pattern.error().what)));
    made.rules_.push_back({std::move(*pattern), keeps});
    made.exceptions_ = made.exceptions_ || keeps;
  }
  return made;
}

void ContextIgnore::keep(const std::string& path) {
  kept_.push_back(path);
  exceptions_ = exceptions_ || path.find('/') != std::string::npos;
}

bool ContextIgnore::ignores(std::string_view path) const {
  if (std::find(kept_.begin(), kept_.end(), path) != kept_.end()) return false;
  bool ignored = false;
  for (const Rule& rule : rules_) {
    if (rule.keeps == ignored && matches_or_above(rule.pattern, path)) ignored = !rule.keeps;
  }
  return ignored;
}

}  // namespace casemate
