// Any bytes as a layer's meta.json: refused in one line, or a record that survives being written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/parts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const auto meta = parse_layer_meta(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!meta) {
    if (meta.error().code != ErrorCode::corrupt || meta.error().what.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const auto again = parse_layer_meta(to_json(*meta));
  if (!again || again->description != meta->description || again->bytes != meta->bytes || again->files != meta->files) std::abort();
  if (again->created != meta->created || again->manifest != meta->manifest || again->boot != meta->boot) std::abort();
  return 0;
}
