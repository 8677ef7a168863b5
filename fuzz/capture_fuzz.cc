// Capture against what its header promises, for any limit and any way the bytes are cut up.
#include "engine/capture.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

std::string model(const std::string& all, std::uint64_t limit) {
  if (all.size() <= limit) return all;
  const std::string head = all.substr(0, limit / 2);
  const std::string gap = "[casemate: " + std::to_string(all.size() - limit) + " bytes left out]\n";
  return head + (head.empty() || head.back() == '\n' ? "" : "\n") + gap + all.substr(all.size() - (limit - limit / 2));
}

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using casemate::Stream;
  if (size < 2) return 0;
  const std::uint64_t limit = data[0] == 255 ? ~std::uint64_t{0} : data[0] * (data[1] % 4 + 1u);
  casemate::Capture capture(limit);
  std::string out, err, merged;
  // A piece: one byte for its stream and length, then the bytes.
  for (std::size_t at = 2; at < size;) {
    const bool to_err = (data[at] & 1) != 0;
    const std::size_t length = std::min<std::size_t>(data[at] >> 1, size - at - 1);
    const std::string bytes(reinterpret_cast<const char*>(data + at + 1), length);
    at += 1 + length;
    capture.add(to_err ? Stream::err : Stream::out, bytes);
    (to_err ? err : out) += bytes;
    merged += bytes;
  }
  require(capture.total() == merged.size());
  require(capture.over_limit() == (merged.size() > limit));
  const casemate::Output output = capture.take();
  require(output.out == model(out, limit));
  require(output.err == model(err, limit));
  require(output.merged == model(merged, limit));
  require(output.out_total == out.size() && output.err_total == err.size());
  require(output.truncated == (merged.size() > limit));
  require(capture.total() == 0);
  return 0;
}
