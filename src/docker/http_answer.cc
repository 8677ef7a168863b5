#include "docker/http_answer.h"

#include <algorithm>
#include <charconv>

#include "base/terminal.h"

namespace casemate {
namespace {

std::unexpected<Error> no_http(std::string_view quoted) {
  return fail(ErrorCode::corrupt, "answers with what is no HTTP: '" + printable_line(quoted.substr(0, 60)) + "'");
}

char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

// All of `text` as a number from 0.
std::optional<std::uint64_t> whole_number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "HTTP/1.1 101 UPGRADED"; 0: no such line.
int status_of(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) return 0;
  const auto status = whole_number(line.substr(9, 3), 10);
  return status && *status >= 100 && *status <= 599 ? static_cast<int>(*status) : 0;
}

Result<void> take_field(std::string_view line, HttpHead& head) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return no_http(line);
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (same_word(name, "content-length")) {
    const auto length = whole_number(value, 10);
    if (!length || (head.content_length && head.content_length != length)) return no_http(line);
    head.content_length = length;
  } else if (same_word(name, "transfer-encoding")) {
    if (!same_word(value, "chunked")) return no_http(line);
    head.chunked = true;
  }
  return {};
}

// The line at the start of `bytes` without its end, which is cut off from them; nullopt: it has not ended.
std::optional<std::string_view> cut_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = bytes.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  bytes.remove_prefix(end + 1);
  return line;
}

Result<std::optional<std::string>> parse_chunks(std::string_view rest) {
  constexpr std::size_t kMostSizeLine = 256;
  std::string body;
  for (;;) {
    const std::string_view at = rest;
    const auto line = cut_line(rest);
    if (!line && at.size() > kMostSizeLine) return no_http(at);
    if (!line) return std::nullopt;
    const auto size = whole_number(trimmed(line->substr(0, line->find(';'))), 16);
    if (!size) return no_http(*line);
    if (*size == 0) return body;
    body.append(rest.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(*size, kMostRefusal - body.size()))));
    if (body.size() == kMostRefusal) return body;
    if (rest.size() <= *size) return std::nullopt;
    rest.remove_prefix(static_cast<std::size_t>(*size));
    const auto end = cut_line(rest);
    if (!end) return std::nullopt;
    if (!end->empty()) return no_http(*end);
  }
}

}  // namespace

Result<std::optional<HttpHead>> parse_http_head(std::string_view bytes) {
  constexpr std::string_view kStart = "HTTP/1.";
  if (!kStart.starts_with(bytes.substr(0, kStart.size()))) return no_http(bytes.substr(0, bytes.find('\n')));
  std::string_view rest = bytes;
  HttpHead head;
  while (const auto line = cut_line(rest)) {
    if (head.status == 0) {
      head.status = status_of(*line);
      if (head.status == 0) return no_http(*line);
    } else if (!line->empty()) {
      TRY(take_field(*line, head));
    } else if (head.status < 200 && head.status != 101) {
      const std::size_t interim = bytes.size() - rest.size();
      if (interim > kMostHttpHead) break;
      if (!kStart.starts_with(rest.substr(0, kStart.size()))) return no_http(rest.substr(0, rest.find('\n')));
      head = HttpHead{};
    } else {
      head.bytes = bytes.size() - rest.size();
      if (head.bytes > kMostHttpHead) break;
      return head;
    }
  }
  if (bytes.size() > kMostHttpHead) return fail(ErrorCode::corrupt, "answers with more than 64 KiB of headers");
  return std::nullopt;
}

Result<std::optional<std::string>> parse_http_body(const HttpHead& head, std::string_view rest, bool ended) {
  if (head.chunked) {
    TRY_ASSIGN(std::optional<std::string> body, parse_chunks(rest));
    if (body || !ended) return body;
    return std::string();
  }
  const std::string_view kept = rest.substr(0, kMostRefusal);
  if (head.content_length) {
    if (rest.size() >= *head.content_length) return std::string(kept.substr(0, static_cast<std::size_t>(*head.content_length)));
  }
  if (ended || kept.size() == kMostRefusal) return std::string(kept);
  return std::nullopt;
}

}  // namespace casemate
