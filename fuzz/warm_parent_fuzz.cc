// Any bytes as a message of a warm parent: no crash, and all that is read is bounded.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "warm/parent.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ParentSaid said = read_parent_message({reinterpret_cast<const char*>(data), size});
  if (const auto* ready = std::get_if<BaseReady>(&said)) {
    require(ready->python.size() <= 1000 && ready->pytest.size() <= 1000 && ready->notes.size() <= 100);
  } else if (const auto* collected = std::get_if<ParentReady>(&said)) {
    require(collected->hash.size() <= 1000 && collected->threads.size() <= 100);
  } else if (const auto* ended = std::get_if<ForkEnded>(&said)) {
    require(ended->end.user_us >= 0 && ended->end.system_us >= 0 && ended->end.max_rss_bytes >= 0);
  } else if (const auto* failed = std::get_if<ForkFailed>(&said)) {
    require(!failed->step.empty());
  } else if (const auto* up = std::get_if<GaveUp>(&said)) {
    require(up->status >= 0 && up->status <= 255 && up->text.size() <= kMostText);
  }
  return 0;
}
