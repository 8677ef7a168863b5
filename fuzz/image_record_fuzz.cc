// Any bytes as the record of an image, and as what skopeo says: refused in one line, or a record that survives being written and read
// again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "image/catalogue.h"
#include "image/skopeo.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const Error error = read_skopeo_error(text); error.what.empty() || error.what.find('\n') != std::string::npos) std::abort();
  // With a digest that fits, or nothing would ever come further than that.
  const std::string line = std::string(text.substr(0, text.find('\n'))) + "\n";
  const auto record = parse_image_record(line + sha256_hex(line) + "\n");
  if (!record) {
    if (record.error().code != ErrorCode::corrupt || record.error().what.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = parse_image_record(to_json(*record));
  if (!again || !(*again == *record) || again->image.layers.size() != record->image.layers.size()) std::abort();
  return 0;
}
