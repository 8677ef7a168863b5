// Any bytes as a requirements file that includes itself under other names: no crash, no endless work, errors are one line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "image/requirements.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto read = [&](const std::string& path) -> Result<std::string> {
    if (path.size() % 3 == 0) return fail(ErrorCode::not_found, "no such file");
    return bytes;
  };
  const auto variable = [](const std::string& name) -> const char* { return name == "SECRET" ? "hush\x1b[31m\n${SECRET}" : nullptr; };
  const auto all = read_requirements("/p/requirements.txt", read, variable);
  if (!all) {
    if (all.error().what.empty() || all.error().what.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  // What we hand to the installer must stay one line each.
  for (const auto* list : {&all->packages, &all->constraints}) {
    for (const std::string& line : *list) {
      if (line.empty() || line.find_first_of("\n\r") != std::string::npos || line[0] == '-') std::abort();
    }
  }
  return 0;
}
