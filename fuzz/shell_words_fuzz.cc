// Fuzz target: --script-args, any bytes. Whatever is split must come back the same when it is quoted and split again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/shell_words.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto words = casemate::split_shell_words(text);
  if (!words) return 0;
  const auto again = casemate::split_shell_words(casemate::join_shell_words(*words));
  if (!again || *again != *words) std::abort();
  return 0;
}
