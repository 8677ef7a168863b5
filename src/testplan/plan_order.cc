#include "testplan/plan_order.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <queue>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace casemate {
namespace {

using Places = std::unordered_map<std::string_view, std::size_t>;

// Where each id of a case or of a case's step is.
Places places_of(const TestPlan& plan) {
  Places places;
  for (std::size_t index = 0; index < plan.cases.size(); ++index) {
    for (const PlanStep& step : plan.cases[index].steps) places.emplace(step.id, index);
  }
  for (std::size_t index = 0; index < plan.cases.size(); ++index) places[plan.cases[index].id] = index;
  return places;
}

// Calls `use` with the name of each {{NAME}}, $NAME and ${NAME} in a text.
template <class Use>
void for_each_name(std::string_view text, const Use& use) {
  const auto is_name = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '_';
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$' && text[at] != '{') continue;
    std::size_t begin = at + 1;
    while (begin < text.size() && (text[begin] == ' ' || (text[at] == '$' && text[begin] == '{'))) ++begin;
    std::size_t end = begin;
    while (end < text.size() && is_name(text[end])) ++end;
    if (end > begin) use(text.substr(begin, end - begin));
  }
}

// Disjoint sets of cases.
class Together {
 public:
  explicit Together(std::size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), std::size_t{0}); }
  std::size_t of(std::size_t one) {
    while (parent_[one] != one) one = parent_[one] = parent_[parent_[one]];
    return one;
  }
  void join(std::size_t one, std::size_t other) { parent_[of(one)] = of(other); }

 private:
  std::vector<std::size_t> parent_;
};

void join_by_variables(const TestPlan& plan, const std::vector<std::size_t>& order, Together& together) {
  std::unordered_map<std::string_view, std::vector<std::size_t>> takers;
  for (const std::size_t index : order) {
    for (const PlanStep& step : plan.cases[index].steps) {
      for (const Extraction& value : step.extractions) takers[value.variable].push_back(index);
    }
  }
  if (takers.empty()) return;
  // Who takes the same variable belongs together too: which one holds is a matter of order.
  for (auto& [name, cases] : takers) {
    for (const std::size_t index : cases) together.join(index, cases.front());
    cases.resize(1);
  }
  for (const std::size_t index : order) {
    const auto use = [&](std::string_view name) {
      if (const auto found = takers.find(name); found != takers.end()) together.join(index, found->second.front());
    };
    for (const PlanStep& step : plan.cases[index].steps) {
      for_each_name(step.command, use);
      for_each_name(step.input, use);
      for (const auto& [name, value] : step.environment) for_each_name(value, use);
      for (const auto* texts : {&step.expected.output, &step.expected.error, &step.expected.files}) {
        for (const std::string& text : *texts) for_each_name(text, use);
      }
      for (const ExpectedContent& content : step.expected.contents) {
        for_each_name(content.file, use);
        for_each_name(content.text, use);
      }
    }
  }
}

}  // namespace

std::vector<std::vector<std::size_t>> case_needs(const TestPlan& plan) {
  const Places places = places_of(plan);
  std::vector<std::vector<std::size_t>> needs(plan.cases.size());
  for (std::size_t index = 0; index < plan.cases.size(); ++index) {
    std::vector<std::size_t>& own = needs[index];
    const auto need = [&](const std::string& id) {
      const auto found = id.empty() ? places.end() : places.find(id);
      if (found != places.end() && found->second != index) own.push_back(found->second);
    };
    for (const PlanDependency& one : plan.cases[index].depends_on) need(one.id);
    for (const PlanStep& step : plan.cases[index].steps) {
      for (const PlanDependency& one : step.depends_on) need(one.id);
      for (const Extraction& value : step.extractions) need(value.of);
    }
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
  }
  return needs;
}

std::set<std::string_view> extracted_variables(const TestPlan& plan) {
  std::set<std::string_view> names;
  const auto take = [&](const std::vector<PlanStep>& steps) {
    for (const PlanStep& step : steps) {
      for (const Extraction& value : step.extractions) names.insert(value.variable);
    }
  };
  take(plan.setup);
  for (const PlanCase& one : plan.cases) take(one.steps);
  take(plan.teardown);
  return names;
}

std::vector<std::size_t> case_order(const TestPlan& plan, const std::vector<bool>& wanted) {
  const auto needs = case_needs(plan);
  const auto is_wanted = [&](std::size_t index) { return index < wanted.size() && wanted[index]; };
  using Rank = std::tuple<bool, int, std::size_t>;  // circular or not is not known yet: it comes when nothing else can
  const auto rank = [&](std::size_t index) {
    const auto& order = plan.cases[index].execution_order;
    return Rank{!order, order.value_or(0), index};
  };
  std::vector<std::size_t> open(plan.cases.size());
  std::vector<std::vector<std::size_t>> needed_by(plan.cases.size());
  std::priority_queue<Rank, std::vector<Rank>, std::greater<>> ready;
  std::size_t count = 0;
  for (std::size_t index = 0; index < plan.cases.size(); ++index) {
    if (!is_wanted(index)) continue;
    ++count;
    for (const std::size_t other : needs[index]) {
      if (!is_wanted(other)) continue;
      ++open[index];
      needed_by[other].push_back(index);
    }
    if (open[index] == 0) ready.push(rank(index));
  }
  std::vector<std::size_t> order;
  std::vector<bool> came(plan.cases.size());
  while (!ready.empty()) {
    const std::size_t index = std::get<2>(ready.top());
    ready.pop();
    order.push_back(index);
    came[index] = true;
    for (const std::size_t other : needed_by[index]) {
      if (--open[other] == 0) ready.push(rank(other));
    }
  }
  for (std::size_t index = 0; order.size() < count; ++index) {
    if (is_wanted(index) && !came[index]) order.push_back(index);
  }
  return order;
}

std::vector<std::vector<std::size_t>> case_groups(const TestPlan& plan, const std::vector<std::size_t>& order,
                                                  const std::map<std::string, std::chrono::microseconds>& times) {
  const auto needs = case_needs(plan);
  std::vector<bool> wanted(plan.cases.size());
  for (const std::size_t index : order) wanted[index] = true;
  Together together(plan.cases.size());
  for (const std::size_t index : order) {
    for (const std::size_t other : needs[index]) {
      if (wanted[other]) together.join(index, other);
    }
  }
  join_by_variables(plan, order, together);

  std::chrono::microseconds sum{0};
  for (const auto& [id, took] : times) sum += took;
  const std::chrono::microseconds mean = times.empty() ? std::chrono::microseconds(1) : sum / static_cast<std::int64_t>(times.size());
  std::unordered_map<std::size_t, std::size_t> group_of;
  std::vector<std::pair<std::chrono::microseconds, std::vector<std::size_t>>> groups;
  for (const std::size_t index : order) {
    const auto [found, fresh] = group_of.emplace(together.of(index), groups.size());
    if (fresh) groups.emplace_back();
    auto& [length, cases] = groups[found->second];
    const auto known = times.find(plan.cases[index].id);
    length += known == times.end() ? mean : known->second;
    cases.push_back(index);
  }
  // Only where times are known: else a group's size says little, and the order of the document is easier to follow.
  if (!times.empty()) std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::vector<std::size_t>> only_cases;
  only_cases.reserve(groups.size());
  for (auto& [length, cases] : groups) only_cases.push_back(std::move(cases));
  return only_cases;
}

}  // namespace casemate
