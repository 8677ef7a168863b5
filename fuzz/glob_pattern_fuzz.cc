// A pattern and a path: no crash, no endless match, and a directory that is said to hold no match holds none.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "image/brace_expansion.h"
#include "image/glob_pattern.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t end = bytes.find('\n');
  const std::string pattern = bytes.substr(0, end);
  const std::string path = end == std::string::npos ? "" : bytes.substr(end + 1);
  if (const auto texts = expand_braces(pattern, false)) require(!texts->empty() && texts->size() <= kMostExpansions);
  const auto compiled = GlobPattern::compile(pattern);
  if (!compiled) {
    require(compiled.error().code == ErrorCode::invalid_input && compiled.error().what.find('\n') == std::string::npos);
    return 0;
  }
  const bool tidy = !path.empty() && path.find("//") == std::string::npos && !path.ends_with('/') && path.size() <= 4096;
  if (!tidy || !compiled->matches(path)) return 0;
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    require(compiled->may_match_below(path.substr(0, slash)));
  return 0;
}
