// warnings_summary: the warnings of a run, each once with the tests that caused it, as pytest shows them at the end.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "engine/events.h"

namespace casemate {

/// Gathers warnings in bounded memory: at most 500 different ones, of each the first ten tests.
class WarningsSummary {
 public:
  void add(const TestResult& result);
  /// How many were given, the same ones counted each time.
  [[nodiscard]] std::size_t count() const { return count_; }
  /// Printable lines, without a heading; "" if there were none.
  [[nodiscard]] std::string text() const;

 private:
  struct Seen {
    TestWarning warning;
    std::vector<std::string> tests;
    std::size_t count = 0;
  };
  std::vector<Seen> seen_;
  std::map<std::tuple<std::string, std::uint32_t, std::string, std::string>, std::size_t> places_;
  std::size_t count_ = 0;
  std::size_t not_kept_ = 0;
};

}  // namespace casemate
