#include "docker/json_lines.h"

#include "base/untrusted_json.h"

namespace casemate {
namespace {

constexpr std::size_t kMostLine = 1u << 20;

}  // namespace

Result<void> JsonLines::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, newline);
    if (piece.size() > kMostLine - line_.size()) return fail(ErrorCode::corrupt, "the docker daemon sends a line of more than 1 MiB");
    line_ += piece;
    if (newline == std::string_view::npos) return {};
    bytes.remove_prefix(newline + 1);
    end();
  }
  return {};
}

void JsonLines::end() {
  const std::string line = std::exchange(line_, {});
  if (const auto object = untrusted_object(line, {.depth = 16, .values = 20'000})) take_(*object);
}

}  // namespace casemate
