#include "testplan/kept_output.h"

#include <cstddef>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace casemate {
namespace {

constexpr std::uint64_t kKeptOutput = 64ull << 20;
constexpr std::size_t kPart = 16 << 10;
constexpr std::size_t kShortPart = 1 << 10;

// Bytes in a JSON string: a control character is "\u0000" there, and a byte that is no UTF-8 three.
std::uint64_t weight(std::string_view text) {
  std::uint64_t sum = 0;
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    sum += value < 0x20 && value != '\n' ? 6 : value >= 0x80 ? 3 : value == '"' || value == '\\' || value == '\n' ? 2 : 1;
  }
  return sum;
}

// True if it was cut.
bool cut_middle(std::string& text, std::size_t part) {
  if (text.size() <= 3 * part) return false;
  std::string cut;  // a new one: shrinking keeps the memory
  cut.reserve(2 * part + 64);
  cut.append(text, 0, part);
  cut += fmt::format("\n[casemate: {} bytes left out]\n", text.size() - 2 * part);
  cut.append(text, text.size() - part);
  text = std::move(cut);
  return true;
}

}  // namespace

void KeptOutput::take(CaseResult& one) {
  for (StepResult& step : one.steps) {
    if (kept_ + weight(step.out) + weight(step.err) > kKeptOutput) {
      const std::size_t part = kept_ > 2 * kKeptOutput ? kShortPart : kPart;
      const bool out_cut = cut_middle(step.out, part);
      const bool err_cut = cut_middle(step.err, part);
      step.truncated |= out_cut || err_cut;
    }
    kept_ += weight(step.out) + weight(step.err);
  }
}

void bound_outputs(PlanResult& result) {
  KeptOutput kept;
  for (CaseResult& one : result.cases) kept.take(one);
}

}  // namespace casemate
