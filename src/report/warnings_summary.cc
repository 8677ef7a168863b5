#include "report/warnings_summary.h"

#include <fmt/format.h>

#include "base/terminal.h"
#include "report/failure_text.h"

namespace casemate {
namespace {

constexpr std::size_t kMostWarnings = 500;
constexpr std::size_t kMostTests = 10;
constexpr std::size_t kLongest = 2000;  // bytes of one message

std::string indented(const std::string& text) {
  std::string lines = "  ";
  for (const char byte : text) lines += byte == '\n' ? std::string("\n  ") : std::string(1, byte);
  return lines;
}

}  // namespace

void WarningsSummary::add(const TestResult& result) {
  for (const TestWarning& warning : result.warnings) {
    ++count_;
    TestWarning kept = warning;
    kept.message = head_and_tail(kept.message, kLongest);
    const auto key = std::tuple(kept.path, kept.line, kept.category, kept.message);
    auto place = places_.find(key);
    if (place == places_.end()) {
      if (seen_.size() >= kMostWarnings) {
        ++not_kept_;
        continue;
      }
      place = places_.emplace(key, seen_.size()).first;
      seen_.push_back({std::move(kept), {}, 0});
    }
    Seen& seen = seen_[place->second];
    ++seen.count;
    if (seen.tests.size() < kMostTests && (seen.tests.empty() || seen.tests.back() != result.test.id)) seen.tests.push_back(result.test.id);
  }
}

std::string WarningsSummary::text() const {
  std::string all;
  for (const Seen& seen : seen_) {
    for (const std::string& test : seen.tests) all += printable_name(test) + "\n";
    if (seen.count > seen.tests.size()) all += fmt::format("... {} times in all\n", seen.count);
    const TestWarning& warning = seen.warning;
    const std::string place = warning.path.empty() ? "" : fmt::format("{}:{}: ", printable_name(warning.path), warning.line);
    all += fmt::format("{}\n\n", indented(fmt::format("{}{}: {}", place, printable_name(warning.category), printable(warning.message))));
  }
  if (not_kept_ > 0) all += fmt::format("... and {} more warnings\n\n", not_kept_);
  return all;
}

}  // namespace casemate
