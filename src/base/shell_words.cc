#include "base/shell_words.h"

namespace casemate {
namespace {

constexpr std::string_view kBlanks = " \t\n";
constexpr std::string_view kEscapedInDoubleQuotes = "$`\"\\\n";

// Takes what stands between single quotes off the front of `rest`, the closing quote too; false if there is none.
bool take_single_quoted(std::string_view& rest, std::string& word) {
  const std::size_t end = rest.find('\'');
  if (end == std::string_view::npos) return false;
  word.append(rest.substr(0, end));
  rest.remove_prefix(end + 1);
  return true;
}

bool take_double_quoted(std::string_view& rest, std::string& word) {
  while (!rest.empty()) {
    const char byte = rest[0];
    rest.remove_prefix(1);
    if (byte == '"') return true;
    if (byte == '\\' && !rest.empty() && kEscapedInDoubleQuotes.find(rest[0]) != std::string_view::npos) {
      if (rest[0] != '\n') word += rest[0];
      rest.remove_prefix(1);
    } else {
      word += byte;
    }
  }
  return false;
}

}  // namespace

Result<std::vector<std::string>> split_shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;  // an empty quoted word is a word too
  std::string_view rest = text;
  while (!rest.empty()) {
    const char byte = rest[0];
    rest.remove_prefix(1);
    if (kBlanks.find(byte) != std::string_view::npos) {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else if (byte == '\'' || byte == '"') {
      in_word = true;
      if (byte == '\'' ? !take_single_quoted(rest, word) : !take_double_quoted(rest, word))
        return fail(ErrorCode::invalid_input, std::string("no closing quotation: a ") + byte + " is never closed");
    } else if (byte == '\\') {
      if (rest.empty()) return fail(ErrorCode::invalid_input, "no escaped character: a backslash stands at the end");
      if (rest[0] != '\n') {
        word += rest[0];
        in_word = true;
      }
      rest.remove_prefix(1);
    } else {
      word += byte;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

std::string join_shell_words(const std::vector<std::string>& words) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@%+";
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ' ';
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      text += word;
      continue;
    }
    text += '\'';
    for (const char byte : word) {
      if (byte == '\'')
        text += "'\\''";
      else
        text += byte;
    }
    text += '\'';
  }
  return text;
}

}  // namespace casemate
