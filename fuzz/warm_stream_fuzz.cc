// Any bytes as what a fork reports: no crash, whatever the pieces they come in, the same verdict; and nobody passes without saying so.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "session/verdict.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

std::vector<TestResult> judged(std::string_view bytes, std::size_t piece) {
  UnitReport unit;
  std::vector<TestCase> tests(2);
  tests[0].id = "a";
  tests[1].id = "b";
  for (const TestCase& test : tests) unit.expect(test.id);
  for (std::size_t at = 0; at < bytes.size(); at += piece) unit.add(bytes.substr(at, piece));
  JobResult ended;
  ended.outcome = {Outcome::Kind::exited, 0};
  return unit.judge(tests, std::move(ended)).results;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = judged(bytes, std::max<std::size_t>(size, 1));
  const auto pieces = judged(bytes, 7);
  require(whole.size() == pieces.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    require(whole[i].verdict == pieces[i].verdict && whole[i].reason == pieces[i].reason);
    require(is_bad(whole[i].verdict) || bytes.find("end") != std::string_view::npos || bytes.find('\\') != std::string_view::npos);
  }
  return 0;
}
