// Any bytes in the spool: refused, or a record that is fit to keep and survives its own way through a line.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/spool.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto line = casemate::parse_spool_line(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!line) return 0;
  const std::string again = casemate::to_spool_line(*line);
  if (again.size() > casemate::kSpoolLineLimit - 2 || again.find('\n') != std::string::npos) std::abort();
  const auto twice = casemate::parse_spool_line(again);
  if (!twice || twice->record.name != line->record.name || twice->record.wall_us != line->record.wall_us || twice->id != line->id)
    std::abort();
  return 0;
}
