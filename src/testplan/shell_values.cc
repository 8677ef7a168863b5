#include "testplan/shell_values.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <vector>

#include <fmt/format.h>

namespace casemate {
namespace {

// A shell's text, read as far as it takes to know how the shell takes the place that comes next. What it gets wrong (`case` patterns within
// a substitution, a shell's own quotes as $'...') costs a quotation mark in a command, never a value that is run: a reference isn't read
// again.
class ShellReader {
 public:
  explicit ShellReader(std::string_view text) : text_(text) {}

  [[nodiscard]] bool done() const { return at_ >= text_.size(); }
  [[nodiscard]] std::size_t at() const { return at_; }

  // Over one character, or what belongs together.
  void step() {
    const char next = text_[at_];
    switch (place()) {
      case Place::single:
        if (next == '\'') places_.pop_back();
        return skip(1);
      case Place::comment:
        if (next != '\n') return skip(1);
        places_.pop_back();
        return newline();
      case Place::literal_here:
        return next == '\n' ? newline() : skip(1);
      case Place::here:
        if (next == '\n') return newline();
        return expansion(next);
      case Place::quoted:
        if (next != '"') return expansion(next);
        places_.pop_back();
        return skip(1);
      case Place::arithmetic:
        return parenthesis(next) ? skip(1) : expansion(next);
      case Place::bare:
        return bare(next);
    }
  }

  // Over a placeholder; gives what stands there instead.
  std::string put(std::size_t length, const std::string& name, const std::string& value) {
    const std::string_view placeholder = text_.substr(at_, length);
    skip(length);
    switch (place()) {
      case Place::bare:
        return fmt::format("\"${{{}}}\"", name);
      case Place::single:
        return fmt::format("'\"${{{}}}\"'", name);
      case Place::literal_here:
        return value.contains(heres_.front().delimiter) ? std::string(placeholder) : value;
      case Place::quoted:
      case Place::arithmetic:
      case Place::comment:
      case Place::here:
        break;
    }
    return fmt::format("${{{}}}", name);
  }

 private:
  enum class Place { bare, single, quoted, arithmetic, comment, here, literal_here };
  struct Level {
    Place place = Place::bare;
    std::size_t open = 0;  // parentheses, of a substitution and arithmetic
    bool in_backquotes = false;
  };
  struct Here {
    std::string delimiter;
    bool literal = false, without_tabs = false;
  };

  [[nodiscard]] Place place() const { return places_.back().place; }
  [[nodiscard]] char after(std::size_t distance) const { return at_ + distance < text_.size() ? text_[at_ + distance] : '\0'; }
  void skip(std::size_t count) { at_ = std::min(at_ + count, text_.size()); }

  // What means something within double quotes too.
  void expansion(char next) {
    if (next == '\\') return skip(2);
    if (next == '`') return backquote();
    if (next != '$' || after(1) != '(') return skip(1);
    const bool arithmetic = after(2) == '(';
    places_.push_back({arithmetic ? Place::arithmetic : Place::bare, arithmetic ? 2u : 1u, false});
    skip(arithmetic ? 3 : 2);
  }

  void backquote() {
    const auto begun = std::find_if(places_.rbegin(), places_.rend(), [](const Level& level) { return level.in_backquotes; });
    if (begun == places_.rend())
      places_.push_back({Place::bare, 0, true});
    else
      places_.erase(begun.base() - 1, places_.end());
    skip(1);
  }

  // True if it was one. The last of a substitution ends it.
  bool parenthesis(char next) {
    Level& level = places_.back();
    if (next != '(' && next != ')') return false;
    if (level.open == 0) return true;
    next == '(' ? ++level.open : --level.open;
    if (level.open == 0) places_.pop_back();
    return true;
  }

  void bare(char next) {
    if (next == '\n') return newline();
    if (next == '<' && after(1) == '<') return here_document();
    if (next == '\'') places_.push_back({Place::single});
    if (next == '"') places_.push_back({Place::quoted});
    if (next == '#' && at_word()) places_.push_back({Place::comment});
    if (next == '\'' || next == '"' || next == '#' || parenthesis(next)) return skip(1);
    expansion(next);
  }

  [[nodiscard]] bool at_word() const { return at_ == 0 || std::string_view(" \t\n;&|()").contains(text_[at_ - 1]); }

  void here_document() {
    skip(2);
    if (after(0) == '<') return skip(1);  // a here-string of other shells
    Here here;
    if (after(0) == '-') {
      here.without_tabs = true;
      skip(1);
    }
    while (after(0) == ' ' || after(0) == '\t') skip(1);
    for (char quote = '\0'; !done(); skip(1)) {
      const char next = text_[at_];
      if (quote == '\0' && std::string_view(" \t\n;&|()<>").contains(next)) break;
      if (next == quote) {
        quote = '\0';
      } else if (quote == '\0' && (next == '\'' || next == '"')) {
        here.literal = true;
        quote = next;
      } else if (quote == '\0' && next == '\\') {
        here.literal = true;
      } else {
        here.delimiter += next;
      }
    }
    if (!here.delimiter.empty()) heres_.push_back(std::move(here));
  }

  // Here-documents begin behind a line, one after the other, and end with a line that is the delimiter.
  void newline() {
    skip(1);
    if (place() == Place::bare && !heres_.empty()) places_.push_back({heres_.front().literal ? Place::literal_here : Place::here});
    while (place() == Place::here || place() == Place::literal_here) {
      std::string_view line = text_.substr(at_, std::min(text_.find('\n', at_), text_.size()) - at_);
      const std::size_t length = line.size();
      if (heres_.front().without_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
      if (line != heres_.front().delimiter) return;
      skip(length + 1);
      heres_.pop_front();
      places_.pop_back();
      if (!heres_.empty()) places_.push_back({heres_.front().literal ? Place::literal_here : Place::here});
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Level> places_{Level{}};  // the innermost last; the first is never left
  std::deque<Here> heres_;              // announced and not over
};

}  // namespace

std::string with_references(std::string_view command, const PlanValues& values) {
  std::string made;
  ShellReader reader(command);
  while (!reader.done()) {
    const std::size_t at = reader.at();
    if (const auto found = placeholder_at(command, at, values)) {
      made += reader.put(found->length, found->value->first, found->value->second);
      continue;
    }
    reader.step();
    made.append(command.substr(at, reader.at() - at));
  }
  return made;
}

}  // namespace casemate
