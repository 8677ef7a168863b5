// What a daemon's refusals mean, and how names and values are put into a request.
#include <fmt/format.h>

#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "docker/api.h"

namespace casemate {
namespace {

constexpr std::size_t kMostMessage = 1000;

ErrorCode code_of(int status) {
  switch (status) {
    case 400:
      return ErrorCode::invalid_input;
    case 401:
    case 403:
    case 409:
      return ErrorCode::refused;
    case 404:
      return ErrorCode::not_found;
    default:
      return ErrorCode::system;
  }
}

}  // namespace

Error docker_failure(const DockerReply& reply, std::string_view doing) {
  const auto answer = untrusted_object(reply.body);
  std::string message = answer ? text_at(*answer, "message", kMostMessage) : reply.body.substr(0, kMostMessage);
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  if (message.empty()) message = fmt::format("HTTP status {}", reply.status);
  const bool full = message.find("no space left on device") != std::string::npos;
  return Error{full ? ErrorCode::exhausted : code_of(reply.status),
               fmt::format("can't {}: the docker daemon says: {}", doing, printable_line(message)), 0, ""};
}

std::string docker_query(const std::vector<std::pair<std::string, std::string>>& values) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";  // RFC 3986, 2.3
  std::string query;
  const auto add = [&query, kPlain](const std::string& text) {
    for (const char byte : text) {
      if (kPlain.find(byte) != std::string_view::npos) {
        query += byte;
      } else {
        fmt::format_to(std::back_inserter(query), "%{:02X}", static_cast<unsigned char>(byte));
      }
    }
  };
  for (const auto& [name, value] : values) {
    if (!query.empty()) query += '&';
    add(name);
    query += '=';
    add(value);
  }
  return query;
}

}  // namespace casemate
