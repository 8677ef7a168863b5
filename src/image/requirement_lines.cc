#include "image/requirement_lines.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace casemate {
namespace {

constexpr std::size_t kMaxLine = 64 << 10;

void append_utf8(std::string& text, std::uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// UTF-16 after its byte order mark; false where it is damaged.
bool from_utf16(std::string_view bytes, bool big_endian, std::string& text) {
  if (bytes.size() % 2 != 0) return false;
  const auto unit = [&](std::size_t i) -> std::uint32_t {
    const auto first = static_cast<unsigned char>(bytes[i]);
    const auto second = static_cast<unsigned char>(bytes[i + 1]);
    return big_endian ? first << 8 | second : second << 8 | first;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    std::uint32_t code = unit(i);
    if (code >= 0xDC00 && code < 0xE000) return false;
    if (code >= 0xD800 && code < 0xDC00) {
      if (i + 2 >= bytes.size()) return false;
      const std::uint32_t low = unit(i + 2);
      if (low < 0xDC00 || low >= 0xE000) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      i += 2;
    }
    append_utf8(text, code);
  }
  return true;
}

// Length of the valid UTF-8 sequence at the start of `text` (RFC 3629: no overlong forms, no surrogates), 0 if there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  if ((first == 0xE0 && at(1) < 0xA0) || (first == 0xED && at(1) >= 0xA0) || (first == 0xF0 && at(1) < 0x90) ||
      (first == 0xF4 && at(1) >= 0x90))
    return 0;
  return length;
}

// Says which byte of `line` is no text, "" if all is.
std::string not_text(std::string_view line) {
  for (std::size_t i = 0; i < line.size();) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == 0) return "has a NUL byte: this is a binary file, not a requirements file";
    if ((byte < 0x20 && byte != '\t' && byte != '\f') || byte == 0x7F)
      return fmt::format("has the control character 0x{:02x}: not a requirements file", byte);
    const std::size_t length = utf8_length(line.substr(i));
    if (length == 0) return fmt::format("is not UTF-8 (byte 0x{:02x}): save the file as UTF-8", byte);
    i += length;
  }
  return "";
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\f'; }

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// pip: a '#' at the start or after space begins a comment ("url#egg=x" has none).
std::string_view without_comment(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && (i == 0 || is_space(text[i - 1]))) return stripped(text.substr(0, i));
  }
  return stripped(text);
}

std::string with_variables(std::string_view text, const std::function<const char*(const std::string&)>& variable) {
  std::string filled;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i, 2) == "${") {
      const std::size_t end = text.find('}', i);
      const std::string name(end == std::string_view::npos ? std::string_view() : text.substr(i + 2, end - i - 2));
      const bool valid = !name.empty() && std::all_of(name.begin(), name.end(),
                                                      [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; });
      const char* value = valid && variable ? variable(name) : nullptr;
      if (value) {
        filled += value;
        i = end + 1;
        continue;
      }
    }
    filled += text[i++];
  }
  return filled;
}

Result<std::string> decoded(std::string_view bytes, std::string_view name) {
  if (bytes.starts_with("\xEF\xBB\xBF")) return std::string(bytes.substr(3));
  const bool little = bytes.starts_with("\xFF\xFE");
  if (!little && !bytes.starts_with("\xFE\xFF")) return std::string(bytes);
  std::string text;
  if (!from_utf16(bytes.substr(2), !little, text))
    return fail(ErrorCode::invalid_input, fmt::format("{}:1: is damaged UTF-16: save the file as UTF-8", name));
  return text;
}

}  // namespace

Result<std::vector<RequirementLine>> requirement_lines(std::string_view bytes, std::string_view name,
                                                       const std::function<const char*(const std::string&)>& variable) {
  TRY_ASSIGN(const std::string text, decoded(bytes, name));
  std::vector<RequirementLine> lines;
  std::string pending;
  int first = 0;
  int number = 0;
  const auto finish = [&](std::string_view joined, int line) -> Result<void> {
    const std::string filled = with_variables(without_comment(joined), variable);
    if (const std::string why = not_text(filled); !why.empty())
      return fail(ErrorCode::invalid_input, fmt::format("{}:{}: {}", name, line, why));
    if (const std::string_view content = stripped(filled); !content.empty()) lines.push_back({line, std::string(content)});
    return {};
  };
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", start), text.size());
    std::string line = text.substr(start, end - start);
    start = end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
    ++number;
    if (const std::string why = not_text(line); !why.empty())
      return fail(ErrorCode::invalid_input, fmt::format("{}:{}: {}", name, number, why));
    if (line.size() + pending.size() > kMaxLine)
      return fail(ErrorCode::invalid_input, fmt::format("{}:{}: the line is longer than 64 KiB: not a requirements file", name, number));
    const std::string_view begin = stripped(line);
    const bool comment = !begin.empty() && begin.front() == '#';
    if (line.ends_with('\\') && !comment) {
      if (pending.empty() && first == 0) first = number;
      while (line.ends_with('\\')) line.pop_back();
      pending += line;
      continue;
    }
    TRY(finish(pending + (comment ? " " : "") + line, first ? first : number));
    pending.clear();
    first = 0;
  }
  if (!pending.empty()) TRY(finish(pending, first));
  return lines;
}

Result<std::vector<std::string>> shell_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {
      c == quote ? void(quote = 0) : void(word += c);
    } else if (quote == '"') {
      if (c == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) {
        word += text[++i];
      } else {
        c == quote ? void(quote = 0) : void(word += c);
      }
    } else if (is_space(c)) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      in_word = true;
      if (c == '\'' || c == '"') {
        quote = c;
      } else if (c == '\\') {
        if (i + 1 == text.size()) return fail(ErrorCode::invalid_input, "ends in a backslash");
        word += text[++i];
      } else {
        word += c;
      }
    }
  }
  if (quote) return fail(ErrorCode::invalid_input, "has a quotation mark that is not closed");
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace casemate
