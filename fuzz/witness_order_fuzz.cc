// An action's order, from an input root that is the worker's: what is read of it is the same after it is written again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "witness/order.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const auto read = read_order(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!read) return 0;
  require(!read->argv.empty());
  for (const WitnessOrder::Fresh& fresh : read->fresh) require((fresh.mode & ~07777u) == 0);
  const auto again = read_order(order_bytes(*read));
  require(again && *again == *read);
  return 0;
}
