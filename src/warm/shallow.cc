#include "warm/shallow.h"

#include <cstddef>
#include <cstring>

namespace casemate {
namespace {

constexpr int kMostDepth = 8;
constexpr std::size_t kMostValues = 500'000;

}  // namespace

bool is_shallow(std::string_view json) {
  int depth = 0;
  std::size_t values = 0;
  const char* at = json.data();
  const char* const end = at + json.size();
  while (at != end) {
    switch (*at++) {
      case '"':
        // To the quote that no odd number of backslashes precedes.
        for (;;) {
          const auto* quote = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)));
          if (!quote) return true;  // no JSON: the parser says so
          const char* before = quote;
          while (before != at && before[-1] == '\\') --before;
          at = quote + 1;
          if ((quote - before) % 2 == 0) break;
        }
        break;
      case '[':
      case '{':
        if (++depth > kMostDepth) return false;
        break;
      case ']':
      case '}':
        --depth;
        break;
      case ',':
        if (++values > kMostValues) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

}  // namespace casemate
