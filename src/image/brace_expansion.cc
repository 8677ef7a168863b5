#include "image/brace_expansion.h"

#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr int kDeepest = 32;
constexpr std::size_t kMostBytes = 1 << 20;

using Texts = std::vector<std::string>;

// Reads the text from left to right; a group is read by a call of its own.
class Expansion {
 public:
  Expansion(std::string_view text, bool classes) : text_(text), classes_(classes) {}

  Result<Texts> run() {
    TRY_ASSIGN(Texts all, sequence(0));
    if (at_ < text_.size()) return problem("has a '}' without a '{'; write \\} for the character");
    return all;
  }

 private:
  std::unexpected<Error> problem(std::string_view what) const {
    return fail(ErrorCode::invalid_input, fmt::format("'{}' {}", printable_line(text_), what));
  }

  // Everything up to the end of the text, or of the group's part that we are in.
  Result<Texts> sequence(int depth) {
    Texts texts{""};
    while (at_ < text_.size()) {
      const char next = text_[at_];
      if (next == '}' || (next == ',' && depth > 0)) return texts;
      if (next == '{') {
        TRY_ASSIGN(const Texts group, this->group(depth + 1));
        TRY(append(texts, group));
        continue;
      }
      const std::string_view piece = text_.substr(at_, piece_length());
      at_ += piece.size();
      for (std::string& text : texts) text += piece;
    }
    if (depth > 0) return problem("has a '{' that is never closed; write \\{ for the character");
    return texts;
  }

  Result<Texts> group(int depth) {
    if (depth > kDeepest) return problem("has braces nested too deep");
    Texts alternatives;
    do {
      ++at_;  // '{' or ','
      TRY_ASSIGN(Texts part, sequence(depth));
      for (std::string& text : part) alternatives.push_back(std::move(text));
      if (alternatives.size() > kMostExpansions) return problem(fmt::format("stands for more than {} texts", kMostExpansions));
    } while (text_[at_] == ',');
    ++at_;
    return alternatives;
  }

  Result<void> append(Texts& texts, const Texts& group) const {
    if (texts.size() * group.size() > kMostExpansions) return problem(fmt::format("stands for more than {} texts", kMostExpansions));
    Texts longer;
    std::size_t bytes = 0;
    for (const std::string& text : texts) {
      for (const std::string& alternative : group) bytes += longer.emplace_back(text + alternative).size();
    }
    if (bytes > kMostBytes) return problem("stands for more than 1 MiB of texts");
    texts = std::move(longer);
    return {};
  }

  // Bytes from here on that are taken as they are: a byte, an escaped one, a class.
  [[nodiscard]] std::size_t piece_length() const {
    if (text_[at_] == '\\') return std::min<std::size_t>(2, text_.size() - at_);
    if (text_[at_] != '[' || !classes_) return 1;
    std::size_t first = at_ + 1;
    if (first < text_.size() && (text_[first] == '!' || text_[first] == '^')) ++first;
    const std::size_t end = text_.find(']', first + 1);  // a ']' that comes first is a member
    return end == std::string_view::npos ? 1 : end + 1 - at_;
  }

  std::string_view text_;
  bool classes_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<std::string>> expand_braces(std::string_view text, bool classes) {
  if (text.size() > kMostBytes) return fail(ErrorCode::invalid_input, "a text with braces is longer than 1 MiB");
  return Expansion(text, classes).run();
}

std::string without_escapes(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    plain += text[i];
  }
  return plain;
}

}  // namespace casemate
