#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/terminal.h"
#include "testplan/yaml.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

// The code point at `at` of valid UTF-8, and its length.
std::pair<char32_t, std::size_t> code_point(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t index) -> char32_t { return static_cast<unsigned char>(text[at + index]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) < 0xe0) return {((byte(0) & 0x1f) << 6) | (byte(1) & 0x3f), 2};
  if (byte(0) < 0xf0) return {((byte(0) & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f), 3};
  return {((byte(0) & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f), 4};
}

// What readers refuse or fold where it stands as it is: it must be escaped. A tab too: only in blocks it is safe.
bool is_special(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff || (code & 0xfffe) == 0xfffe;
}

bool has_special(std::string_view text, std::string_view but) {
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = code_point(text, at);
    if (is_special(code) && !(code < 0x80 && but.contains(static_cast<char>(code)))) return true;
    at += length;
  }
  return false;
}

std::string in_quotes(std::string_view text) {
  std::string made = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const auto [code, length] = code_point(text, at);
    if (code == '"' || code == '\\') {
      made += '\\';
      made += static_cast<char>(code);
    } else if (code == '\n') {
      made += "\\n";
    } else if (code == '\t') {
      made += "\\t";
    } else if (is_special(code)) {
      const auto number = static_cast<std::uint32_t>(code);
      made += number < 0x100     ? fmt::format("\\x{:02x}", number)
              : number < 0x10000 ? fmt::format("\\u{:04x}", number)
                                 : fmt::format("\\U{:08x}", number);
    } else {
      made.append(text, at, length);
    }
    at += length;
  }
  return made + '"';
}

// Words that YAML 1.1 or 1.2 takes for truth or nothing.
bool is_word_of_yaml(std::string_view text) {
  if (text.size() > 5) return false;
  const std::string lower = ascii_lower(text);
  constexpr std::array<std::string_view, 9> kWords = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
  return std::find(kWords.begin(), kWords.end(), lower) != kWords.end();
}

// Few beginnings are let through, so no number, date or indicator of any version is.
bool is_plain(std::string_view text) {
  if (text.empty() || text.size() > 10'000) return false;
  const char first = text.front();
  if (std::isalpha(static_cast<unsigned char>(first)) == 0 && first != '/' && first != '_' && first != '(') return false;
  return text.back() != ' ' && text.back() != ':' && !text.contains(": ") && !text.contains(" #") && !is_word_of_yaml(text) &&
         !has_special(text, "");
}

std::string scalar(const Json& value) {
  if (value.is_string()) {
    const std::string text = to_utf8(value.get_ref<const std::string&>());
    return is_plain(text) ? text : in_quotes(text);
  }
  std::string text = value.dump();
  // YAML 1.1 has no "1e+30": without a point it is a text there.
  if (const auto e = text.find('e'); value.is_number_float() && e != std::string::npos && !text.contains('.')) text.insert(e, ".0");
  return text;
}

class YamlWriter {
 public:
  // `value` after "key:" or "-"; `indent` is that of what it stands in.
  void put(const Json& value, std::size_t indent, bool after_dash) {
    if (value.is_object() && !value.empty()) {
      if (!after_dash) text_ += '\n';
      put_object(value, indent + 2, after_dash);
    } else if (value.is_array() && !value.empty()) {
      if (!after_dash) text_ += '\n';
      put_list(value, indent + 2, after_dash);
    } else {
      text_ += ' ';
      put_leaf(value, indent);
    }
  }

  void put_object(const Json& object, std::size_t indent, bool begun) {
    for (const auto& [name, value] : object.items()) {
      begin_line(indent, std::exchange(begun, false));
      const std::string key = scalar(Json(name));
      // A key on the line of its value has at most 1024 characters (YAML 1.2.2, 7.4.2).
      if (key.size() > 1000) {
        text_ += "? " + key + '\n';
        text_.append(indent, ' ');
      } else {
        text_ += key;
      }
      text_ += ':';
      put(value, indent, false);
    }
  }

  void put_list(const Json& list, std::size_t indent, bool begun) {
    for (const Json& value : list) {
      begin_line(indent, std::exchange(begun, false));
      text_ += '-';
      put(value, indent, true);
    }
  }

  std::string text_;

 private:
  // After a dash the first line has begun already: "- a: 1".
  void begin_line(std::size_t indent, bool begun) {
    if (begun) {
      text_ += ' ';
    } else {
      text_.append(indent, ' ');
    }
  }

  void put_leaf(const Json& value, std::size_t indent) {
    if (value.is_array() || value.is_object()) {
      text_ += value.is_array() ? "[]\n" : "{}\n";
      return;
    }
    if (value.is_string()) {
      const std::string text = to_utf8(value.get_ref<const std::string&>());
      const bool has_words = text.find_first_not_of(" \t\n") != std::string::npos;
      if (has_words && text.contains('\n') && !has_special(text, "\n\t")) {
        put_block(text, indent + 2);
        return;
      }
    }
    text_ += scalar(value) + '\n';
  }

  void put_block(std::string_view text, std::size_t indent) {
    const auto first = text.find_first_not_of('\n');
    const bool says_indent = text[first] == ' ' || text[first] == '\t';
    const bool ends = text.ends_with('\n');
    const bool keeps = text.ends_with("\n\n");
    text_ += fmt::format("|{}{}\n", says_indent ? "2" : "", keeps ? "+" : ends ? "" : "-");
    if (ends) text.remove_suffix(1);
    while (true) {
      const auto end = text.find('\n');
      const std::string_view line = text.substr(0, end);
      if (!line.empty()) text_.append(indent, ' ');
      text_.append(line);
      text_ += '\n';
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
    }
  }
};

}  // namespace

std::string yaml_text(const Json& value) {
  YamlWriter writer;
  if (value.is_object() && !value.empty()) {
    writer.put_object(value, 0, false);
  } else if (value.is_array() && !value.empty()) {
    writer.put_list(value, 0, false);
  } else {
    writer.text_ = (value.is_array() ? "[]" : value.is_object() ? "{}" : scalar(value)) + "\n";
  }
  return std::move(writer.text_);
}

}  // namespace casemate
