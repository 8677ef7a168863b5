#include <algorithm>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "testplan/pattern.h"
#include "testplan/plan_order.h"
#include "testplan/plan_run.h"

namespace casemate {
namespace {

// Of many known words only one that is near helps.
std::string hint(const std::string& word, const std::set<std::string_view>& known) {
  constexpr std::size_t kShown = 20;
  const std::vector<std::string_view> words(known.begin(), known.end());
  if (words.size() <= kShown) return words.empty() ? "" : printable_line(did_you_mean(word, words));
  const std::string meant = nearest(word, words);
  return meant.empty() ? "" : fmt::format(", did you mean '{}'?", printable_line(meant));
}

Result<void> check_known(const TestPlan& plan, const PlanSelection& selection) {
  std::set<std::string_view> ids, names, tags;
  for (const PlanCase& one : plan.cases) {
    ids.insert(one.id);
    names.insert(one.name);
    tags.insert(one.tags.begin(), one.tags.end());
  }
  for (const std::string& id : selection.ids) {
    if (ids.contains(id) || names.contains(id)) continue;
    const bool is_name = nearest(id, {ids.begin(), ids.end()}).empty() && !nearest(id, {names.begin(), names.end()}).empty();
    return fail(ErrorCode::invalid_input,
                fmt::format("no case has the id or name '{}'{}", printable_line(id), hint(id, is_name ? names : ids)));
  }
  // A tag that no case has excludes none.
  for (const std::string& tag : selection.tags) {
    if (!tags.contains(tag))
      return fail(ErrorCode::invalid_input, fmt::format("no case has the tag '{}'{}", printable_line(tag), hint(tag, tags)));
  }
  return {};
}

bool has_any(const std::vector<std::string>& own, const std::vector<std::string>& wanted) {
  return std::any_of(own.begin(), own.end(), [&](const std::string& each) { return std::count(wanted.begin(), wanted.end(), each) > 0; });
}

bool matches(const PlanCase& one, const re2::RE2& pattern) {
  const auto found = [&](const std::string& text) { return re2::RE2::PartialMatch(text, pattern); };
  if (found(one.id) || found(one.name)) return true;
  return std::any_of(one.steps.begin(), one.steps.end(), [&](const PlanStep& step) { return found(step.command); });
}

}  // namespace

Result<std::vector<bool>> select_cases(const TestPlan& plan, const PlanSelection& selection) {
  TRY(check_known(plan, selection));
  std::shared_ptr<const re2::RE2> pattern;
  if (!selection.match.empty()) {
    TRY_ASSIGN(pattern, make_pattern(selection.match));
  }
  const auto needs = case_needs(plan);
  std::vector<bool> selected(plan.cases.size());
  std::vector<std::size_t> open;
  const auto select = [&](std::size_t index) {
    if (selected[index]) return;
    selected[index] = true;
    open.push_back(index);
  };
  for (std::size_t index = 0; index < plan.cases.size(); ++index) {
    const PlanCase& one = plan.cases[index];
    const bool named = selection.ids.empty() || has_any({one.id, one.name}, selection.ids);
    const bool tagged = selection.tags.empty() || has_any(one.tags, selection.tags);
    if (named && tagged && !has_any(one.tags, selection.not_tags) && (!pattern || matches(one, *pattern))) select(index);
  }
  while (!open.empty()) {
    const std::size_t index = open.back();
    open.pop_back();
    for (const std::size_t other : needs[index]) select(other);
  }
  return selected;
}

}  // namespace casemate
