// Any bytes as the name of an image: errors are one line, and what parses has one text, which parses to the same value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const auto reference = parse_image_reference({reinterpret_cast<const char*>(data), size});
  if (!reference) {
    if (reference.error().what.empty() || reference.error().what.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = parse_image_reference(to_text(*reference));
  if (!again || *again != *reference) std::abort();
  if (!reference->tag.empty() && !reference->digest.empty()) std::abort();
  return 0;
}
