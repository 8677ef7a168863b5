// A container's stderr, where lines of the witness are: read in one piece or in many it is the same, nothing comes out that did not go in,
// and what a line says is bounded and safe for a screen.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/terminal.h"
#include "witness/witness.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

struct Read {
  std::string output;
  std::vector<std::string> lines;
  bool operator==(const Read&) const = default;
};

Read read(std::string_view bytes, std::size_t piece) {
  Read result;
  WitnessReader reader(
      "t", [&result](std::string_view some) { result.output += some; },
      [&result](std::string_view line) { result.lines.emplace_back(line); });
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) reader.feed(bytes.substr(0, piece));
  reader.end();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Read whole = read(bytes, size);
  require(whole == read(bytes, 1) && whole == read(bytes, 7));
  std::size_t taken = whole.output.size();
  WitnessReport report;
  for (const std::string& line : whole.lines) {
    taken += line.size() + 1;
    report.hear(line);
  }
  require(taken <= size);
  report.hear(bytes);
  require(report.leftovers.size() <= 16);
  for (const Leftover& left : report.leftovers) require(left.name == printable_name(left.name));
  require(!report.exit_status || (*report.exit_status >= 0 && *report.exit_status < 256));
  require(!report.signal || (*report.signal >= 0 && *report.signal < 128));
  return 0;
}
