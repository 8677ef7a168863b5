// Any bytes as a filter: no crash, errors are one line with a column, and what is read decides about any test, the same way each time.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "session/filter.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto filter = TestFilter::parse(text);
  if (!filter) {
    require(filter.error().what.starts_with("column ") && filter.error().what.find('\n') == std::string::npos);
    return 0;
  }
  const TestCase test{.id = "tests/a.py::T::" + text, .file = "tests/a.py", .group = "T", .name = text, .markers = {"slow", text}};
  const bool takes = filter->takes(test);
  // A filter in parentheses is the same one, and its opposite is not, unless that makes it too long or too deep.
  const auto opposite = TestFilter::parse("!(" + text + ")");
  if (opposite) require(opposite->takes(test) != takes);
  const auto none = TestFilter::parse("(" + text + ") - (" + text + ")");
  if (none) require(!none->takes(test));
  return 0;
}
