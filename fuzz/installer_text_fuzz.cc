// What installers read and print, any bytes: pip.conf, and the output of which one line is told to a person.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "image/installer.h"
#include "image/package_index.h"

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

bool one_line(std::string_view text) { return text.find('\n') == std::string_view::npos; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casemate;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string telling = telling_line(text);
  require(one_line(telling) && telling.size() < 512);
  require(one_line(progress_of_line(text.substr(0, text.find('\n')))));
  if (const auto sections = parse_pip_configuration(text, "pip\x1b.conf"); !sections) {
    require(sections.error().code == ErrorCode::invalid_input && one_line(sections.error().what));
    require(sections.error().what.find('\x1b') == std::string::npos);
  } else {
    for (const auto& [section, options] : *sections) {
      require(one_line(section));
      for (const auto& [name, value] : options) require(one_line(name) && name.find_first_of("_=") == std::string::npos);
    }
  }
  return 0;
}
