// Any bytes as output, and as a pattern: what is normalised is UTF-8 without CRLF, the same for the same; two outputs compare with
// themselves as the same, and no difference brings control characters to a screen.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/terminal.h"
#include "testplan/comparison.h"
#include "testplan/extraction.h"
#include "testplan/normalisation.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Normaliser kBuiltin = *Normaliser::create();
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t middle = bytes.find('\n');
  const std::string first = bytes.substr(0, middle), rest = middle == std::string::npos ? "" : bytes.substr(middle + 1);

  const std::string normal = kBuiltin.apply(bytes);
  require(normal == to_utf8(normal) && normal == kBuiltin.apply(bytes));
  for (const CompareMode mode : {CompareMode::exact, CompareMode::contains, CompareMode::json}) {
    require(compare(normal, normal, mode).same);
    const Difference difference = compare(first, rest, mode);
    require(difference.same || !difference.text.empty());
    require(difference.text == printable(difference.text));
    if (mode == CompareMode::exact) require(difference.same == (first == rest));
  }
  if (first.size() < 200) {
    if (const auto own = Normaliser::create({{"own", first, "<own>"}})) (void)own->apply(rest);
    if (const auto value = extract({.variable = "V", .pattern = first}, rest)) require(!value->contains('\0'));
    const std::string put = with_values(rest, {{first, "x"}}, true);
    require(!first.empty() || put.size() <= 2 * rest.size() + 2);
  }
  return 0;
}
