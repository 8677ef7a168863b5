// Any bytes as the answer to a login: no crash, and a token that is taken can stand in a header and has a life.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "apps/agent/bearer.h"

namespace {

using namespace casemate;
using namespace std::chrono_literals;

void require(bool truth) {
  if (!truth) std::abort();
}

bool fits_a_header(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char byte) { return byte > ' ' && byte < '\x7f'; });
}

void require_sound(std::string_view answer) {
  const auto tokens = read_tokens(answer, std::chrono::system_clock::time_point(1'800'000'000s));
  if (!tokens) return;
  require(!tokens->access.empty() && fits_a_header(tokens->access) && fits_a_header(tokens->refresh));
  require(tokens->lifetime >= 0ms && tokens->lifetime <= 24h * 365);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  require_sound(bytes);
  require_sound("{\"accessToken\":\"" + bytes + "\"}");
  return 0;
}
