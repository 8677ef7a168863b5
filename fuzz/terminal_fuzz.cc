// Whatever a job writes, nothing that drives a terminal comes out, and JSON gets valid UTF-8.
#include "base/terminal.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

// Checks `text` without the decoder under test: valid UTF-8 has a C1 control exactly where C2 is followed by 80-9F, and bidirectional
// overrides as E2 80 AA-AE and E2 81 A6-A9.
void require_harmless(std::string_view text, bool one_line) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto at = [&](std::size_t offset) { return i + offset < text.size() ? static_cast<std::uint8_t>(text[i + offset]) : 0; };
    if (at(0) < 0x20) require(!one_line && (at(0) == '\n' || at(0) == '\t'));
    require(at(0) != 0x7f);
    require(!(at(0) == 0xc2 && at(1) < 0xa0));
    require(!(at(0) == 0xe2 && at(1) == 0x80 && at(2) >= 0xaa && at(2) <= 0xae));
    require(!(at(0) == 0xe2 && at(1) == 0x81 && at(2) >= 0xa6 && at(2) <= 0xa9));
  }
  require(casemate::to_utf8(text) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string text = casemate::printable(bytes);
  require_harmless(text, false);
  require_harmless(casemate::printable_name(bytes), true);
  const std::string line = casemate::printable_line(bytes);
  require_harmless(line, true);
  for (std::size_t at = 0; at < line.size();) {
    const std::size_t end = std::min(line.find(' ', at), line.size());
    require(end - at <= 200);
    at = end + 1;
  }
  require(casemate::printable(text) == text);
  const std::string utf8 = casemate::to_utf8(bytes);
  require(casemate::to_utf8(utf8) == utf8);
  return 0;
}
