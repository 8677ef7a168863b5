#include "report/workflow_command.h"

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

std::string escaped(std::string_view text, std::string_view special) {
  std::string value;
  for (const char byte : text) {
    if (special.find(byte) != std::string_view::npos)
      value += fmt::format("%{:02X}", static_cast<unsigned char>(byte));
    else
      value += byte;
  }
  return value;
}

// Of what a line may begin with before "::" the runner strips all that Unicode calls white space; and colours of ours may stand there.
std::size_t behind_blanks(std::string_view text, std::size_t at) {
  constexpr std::string_view kWide[] = {"\xc2\xa0",     "\xc2\x85",     "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                        "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80", "\xef\xbb\xbf"};
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    if (rest[0] == ' ' || (rest[0] >= '\t' && rest[0] <= '\r' && rest[0] != '\n')) {
      ++at;
      continue;
    }
    std::size_t length = 0;
    for (const std::string_view blank : kWide) {
      if (rest.starts_with(blank)) length = blank.size();
    }
    // U+2000 to U+200B.
    if (rest.size() >= 3 && rest.starts_with("\xe2\x80") && static_cast<unsigned char>(rest[2]) >= 0x80 &&
        static_cast<unsigned char>(rest[2]) <= 0x8b)
      length = 3;
    if (rest.starts_with("\x1b[")) length = rest.find('m') == std::string_view::npos ? 0 : rest.find('m') + 1;
    if (length == 0) break;
    at += length;
  }
  return at;
}

}  // namespace

std::string without_workflow_commands(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  bool at_begin = true;
  for (std::size_t at = 0; at < text.size();) {
    if (at_begin) {
      const std::size_t behind = behind_blanks(text, at);
      safe.append(text.substr(at, behind - at));
      at = behind;
      at_begin = false;
      if (text.substr(at).starts_with("::")) {
        safe += "\\x3a";
        ++at;
      }
      continue;
    }
    if (text.substr(at).starts_with("##[")) {
      safe += "\\x23";
      ++at;
    }
    at_begin = text[at] == '\n' || text[at] == '\r';
    safe += text[at++];
  }
  return safe;
}

std::string workflow_value(std::string_view text) { return escaped(to_utf8(text), "%\r\n"); }
std::string workflow_property(std::string_view text) { return escaped(to_utf8(text), "%\r\n:,"); }

std::string annotation(std::string_view level, std::string_view file, std::uint32_t line, std::string_view title,
                       std::string_view message) {
  std::string properties;
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) properties += fmt::format("{}{}={}", properties.empty() ? " " : ",", key, value);
  };
  add("file", workflow_property(file));
  if (line > 0 && !file.empty()) add("line", std::to_string(line));
  add("title", workflow_property(title));
  return fmt::format("::{}{}::{}\n", level, properties, workflow_value(message));
}

}  // namespace casemate
