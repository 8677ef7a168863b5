#include "testplan/models.h"

#include <array>
#include <utility>

namespace casemate {
namespace {

constexpr std::array<std::pair<PlanStatus, std::string_view>, 5> kWords = {{{PlanStatus::not_run, "not_run"},
                                                                            {PlanStatus::passed, "passed"},
                                                                            {PlanStatus::failed, "failed"},
                                                                            {PlanStatus::error, "error"},
                                                                            {PlanStatus::skipped, "skipped"}}};

}  // namespace

std::string_view word(PlanStatus status) {
  for (const auto& [known, text] : kWords) {
    if (known == status) return text;
  }
  return "error";
}

std::optional<PlanStatus> plan_status(std::string_view word) {
  for (const auto& [known, text] : kWords) {
    if (text == word) return known;
  }
  return std::nullopt;
}

bool says_nothing(const PlanStep& step) { return step.command.empty() && step.expected == Expectations{}; }

}  // namespace casemate
