#include "testplan/pattern.h"

#include <string>
#include <utility>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/terminal.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 64 << 10;
constexpr std::int64_t kMostMemory = 8 << 20;

}  // namespace

Result<std::shared_ptr<const re2::RE2>> make_pattern(std::string_view pattern, PatternLines lines) {
  if (pattern.size() > kMostBytes) return fail(ErrorCode::invalid_input, "a pattern of more than 64 KiB");
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMostMemory);
  options.set_never_nl(lines == PatternLines::each_line);
  std::string text(lines == PatternLines::each_line ? "(?m)" : "");
  text += pattern;
  auto made = std::make_shared<const re2::RE2>(text, options);
  if (!made->ok())
    return fail(ErrorCode::invalid_input, fmt::format("'{}' is no pattern: {} (the syntax is RE2's: no look-around, no back references)",
                                                      printable_line(pattern), printable_line(made->error())));
  return made;
}

}  // namespace casemate
