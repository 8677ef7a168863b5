// A daemon's stream of a container's output: read in one piece or in many it is the same, and nothing comes out that did not go in.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "docker/frames.h"

namespace {

struct Read {
  std::string out, err;
  bool good = true;
};

Read read(std::string_view bytes, std::size_t piece) {
  Read result;
  casemate::FrameReader reader(
      [&result](casemate::Stream which, std::string_view text) { (which == casemate::Stream::err ? result.err : result.out) += text; });
  for (; !bytes.empty() && result.good; bytes.remove_prefix(std::min(piece, bytes.size())))
    result.good = reader.feed(bytes.substr(0, piece)).has_value();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Read whole = read(bytes, size);
  const Read pieces = read(bytes, 3);
  if (whole.out != pieces.out || whole.err != pieces.err || whole.good != pieces.good) std::abort();
  if (whole.out.size() + whole.err.size() > size) std::abort();
  return 0;
}
