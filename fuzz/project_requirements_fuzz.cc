// Any bytes as a pyproject.toml: no crash, errors are one line with a place, and what is read are lines that hold a requirement each.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "image/project_requirements.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const char* path : {"/p/pyproject.toml", "/p/pyproject.toml[a,b]:c", "/p/pyproject.toml:a"}) {
    const auto text = project_requirements(bytes, *project_selection(path));
    if (!text) {
      require(text.error().what.starts_with("/p/pyproject.toml:") && text.error().what.find('\n') == std::string::npos);
      continue;
    }
    require(text->ends_with('\n') && text->find("\n-") == std::string::npos && text->find('\0') == std::string::npos);
  }
  const auto selection = project_selection(bytes);
  require(!selection || bytes.starts_with(selection->file));
  return 0;
}
