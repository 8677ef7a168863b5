#include "testplan/plan_references.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/nearest.h"

namespace casemate {
namespace {

using Type = PlanStep::Type;
using Needs = std::vector<std::vector<std::size_t>>;

constexpr std::size_t kOwnCommand = 1;

// Setup, the case's own command, commands and what is said of them, verification, teardown.
std::size_t rank(const PlanCase& one, std::size_t step) {
  if (one.main == step) return kOwnCommand;
  switch (one.steps[step].type) {
    case Type::setup:
      return 0;
    case Type::command:
    case Type::assertion:
      return 2;
    case Type::verification:
      return 3;
    case Type::teardown:
      break;
  }
  return 4;
}

// Who comes when: of those whose needs have come, the one of least rank, then the first. Without the members of circles.
std::vector<std::size_t> order_of(const Needs& needs, const std::vector<std::size_t>& ranks) {
  std::vector<std::size_t> open(needs.size());
  Needs needed_by(needs.size());
  std::priority_queue<std::pair<std::size_t, std::size_t>, std::vector<std::pair<std::size_t, std::size_t>>, std::greater<>> ready;
  for (std::size_t node = 0; node < needs.size(); ++node) {
    open[node] = needs[node].size();
    for (const std::size_t other : needs[node]) needed_by[other].push_back(node);
    if (open[node] == 0) ready.emplace(ranks[node], node);
  }
  std::vector<std::size_t> order;
  while (!ready.empty()) {
    const std::size_t node = ready.top().second;
    ready.pop();
    order.push_back(node);
    for (const std::size_t other : needed_by[node]) {
      if (--open[other] == 0) ready.emplace(ranks[other], other);
    }
  }
  return order;
}

class References {
 public:
  References(TestPlan& plan, ReadingLog& log) : plan_(plan), log_(log) {}

  void settle(std::map<std::size_t, std::vector<Extraction>> values_of_cases) {
    name_cases();
    name_global_steps(plan_.setup, "setup");
    name_global_steps(plan_.teardown, "teardown");
    for (std::size_t index = 0; index < plan_.cases.size(); ++index) name_steps(index);
    needs_of_cases_.resize(plan_.cases.size());
    resolve_global(plan_.setup, true);
    resolve_global(plan_.teardown, false);
    for (std::size_t index = 0; index < plan_.cases.size(); ++index) {
      PlanCase& one = plan_.cases[index];
      resolve_case(index);
      auto taken = values_of_cases.find(index);
      if (taken == values_of_cases.end() || one.steps.empty()) continue;
      for (Extraction& value : taken->second) value.of = of_another_case(index, value.of, one.pointer).value_or("");
      std::vector<Extraction>& first = one.steps.front().extractions;
      first.insert(first.begin(), taken->second.begin(), taken->second.end());
    }
    say_circle(needs_of_cases_, [&](std::size_t node) { return plan_.cases[node].id; });
  }

 private:
  static constexpr std::size_t kSetup = SIZE_MAX, kTeardown = SIZE_MAX - 1;
  // A case, or a step of one, of the set-up or of the tear-down.
  struct Place {
    std::size_t in = 0;
    std::optional<std::size_t> step;  // as the document has them
  };
  struct Found {
    std::string id;
    Place place;
  };

  // `wanted`, or the first of "wanted-2", ... that nobody has. Ids are never given back, so each search goes on where the last one ended.
  std::string free_id(const std::string& wanted) {
    std::string id = wanted;
    std::size_t& tried = tried_[wanted];
    while (known_.contains(id)) id = fmt::format("{}-{}", wanted, ++tried + 1);
    return id;
  }

  void name_cases() {
    for (std::size_t index = 0; index < plan_.cases.size(); ++index) {
      const PlanCase& one = plan_.cases[index];
      if (!one.id.empty() && !known_.emplace(one.id, Place{index, {}}).second)
        log_.problem(place_of(one.pointer) + ".id", fmt::format("'{}' is another case's id too", one.id));
      if (!one.name.empty() && !by_name_.emplace(one.name, index).second) by_name_[one.name] = std::nullopt;
    }
    for (std::size_t index = 0; index < plan_.cases.size(); ++index) {
      PlanCase& one = plan_.cases[index];
      if (one.id.empty()) known_.emplace(one.id = free_id(fmt::format("case-{}", index + 1)), Place{index, {}});
      if (one.name.empty()) one.name = one.id;
    }
  }

  void name_global_steps(std::vector<PlanStep>& steps, std::string_view what) {
    const std::size_t in = what == "setup" ? kSetup : kTeardown;
    for (std::size_t index = 0; index < steps.size(); ++index) {
      PlanStep& step = steps[index];
      if (step.id.empty()) step.id = free_id(fmt::format("{}-{}", what, index + 1));
      if (!known_.emplace(step.id, Place{in, index}).second)
        log_.problem(place_of(step.pointer) + ".id", fmt::format("'{}' is the id of something else too", step.id));
    }
  }

  void name_steps(std::size_t index) {
    PlanCase& one = plan_.cases[index];
    std::unordered_map<std::string, std::size_t>& own = own_.emplace_back();
    for (std::size_t at = 0; at < one.steps.size(); ++at) {
      PlanStep& step = one.steps[at];
      if (step.id.empty()) {
        step.id =
            free_id(step.pointer == one.pointer ? one.id + ".command_line" : fmt::format("{}.step-{}", one.id, at + (one.main ? 0 : 1)));
      } else {
        if (!own.emplace(step.id, at).second) {
          log_.problem(place_of(step.pointer) + ".id", fmt::format("'{}' is another step's id too", step.id));
        } else if (known_.contains(step.id)) {
          ambiguous_.insert(step.id);
          step.id = free_id(one.id + "." + step.id);
        }
      }
      known_.emplace(step.id, Place{index, at});
    }
  }

  std::optional<Found> find(const std::string& id) {
    if (const auto found = known_.find(id); found != known_.end()) return Found{id, found->second};
    const auto named = by_name_.find(id);
    if (named == by_name_.end() || !named->second) return std::nullopt;
    log_.note("", fmt::format("'{}' is taken for the case of that name", id));
    return Found{plan_.cases[*named->second].id, {*named->second, {}}};
  }

  // Nothing has that id; a list of all the ids is no help, one that is near is.
  void nothing(const std::string& id, const std::string& pointer) {
    std::string hint;
    if (known_.size() <= 5000 && log_.more_problems == 0) {
      std::vector<std::string_view> ids;
      for (const auto& [known, place] : known_) ids.push_back(known);
      std::sort(ids.begin(), ids.end());
      hint = nearest(id, ids);
    }
    log_.problem(place_of(pointer), fmt::format("depends on '{}', which is no case and no step{}", id,
                                                hint.empty() ? "" : fmt::format(", did you mean '{}'?", hint)));
  }

  void resolve_global(std::vector<PlanStep>& steps, bool setup) {
    Needs needs(steps.size());
    for (std::size_t at = 0; at < steps.size(); ++at) {
      const auto settle_one = [&](std::string& id) {
        if (id.empty()) return;
        const auto found = find(id);
        if (!found) return nothing(id, steps[at].pointer);
        id = found->id;
        if (found->place.in == (setup ? kSetup : kTeardown)) {
          needs[at].push_back(*found->place.step);
        } else if (setup) {
          log_.problem(place_of(steps[at].pointer), fmt::format("depends on '{}', which runs after it", id));
        }
      };
      for (PlanDependency& need : steps[at].depends_on) settle_one(need.id);
      for (Extraction& value : steps[at].extractions) settle_one(value.of);
    }
    if (say_circle(needs, [&](std::size_t node) { return steps[node].id; })) return;
    std::vector<PlanStep> sorted;
    for (const std::size_t at : order_of(needs, std::vector<std::size_t>(steps.size()))) sorted.push_back(std::move(steps[at]));
    steps = std::move(sorted);
  }

  // The id that case `index` means by `id`; nullopt, and a problem, if that can't run before it.
  std::optional<std::string> of_another_case(std::size_t index, const std::string& id, const std::string& pointer) {
    const auto found = find(id);
    if (!found) {
      nothing(id, pointer);
      return std::nullopt;
    }
    const Place& place = found->place;
    if (ambiguous_.contains(id) && place.step && place.in < plan_.cases.size())
      log_.note(place_of(pointer), fmt::format("several cases have a step '{}': that of '{}' is meant", id, plan_.cases[place.in].id));
    if (place.in == kTeardown) {
      log_.problem(place_of(pointer), fmt::format("depends on '{}', which runs after it", id));
      return std::nullopt;
    }
    if (place.in != kSetup) needs_of_cases_[index].push_back(place.in);
    return found->id;
  }

  void resolve_case(std::size_t index) {
    PlanCase& one = plan_.cases[index];
    for (PlanDependency& need : one.depends_on) {
      if (!need.id.empty()) need.id = of_another_case(index, need.id, one.pointer).value_or("");
    }
    Needs needs(one.steps.size());
    for (std::size_t at = 0; at < one.steps.size(); ++at) {
      PlanStep& step = one.steps[at];
      const auto settle_one = [&](std::string& id) {
        if (id.empty()) return;
        const auto own = own_[index].find(id);
        const auto known = own == own_[index].end() ? known_.find(id) : known_.end();
        if (own != own_[index].end() || (known != known_.end() && known->second.in == index && known->second.step)) {
          const std::size_t other = own != own_[index].end() ? own->second : *known->second.step;
          if (one.steps[other].type == Type::teardown && step.type != Type::teardown)
            return log_.problem(place_of(step.pointer), fmt::format("depends on '{}', a teardown: it runs last", id));
          needs[at].push_back(other);
          id = one.steps[other].id;
        } else {
          id = of_another_case(index, id, step.pointer).value_or("");
        }
      };
      for (PlanDependency& need : step.depends_on) settle_one(need.id);
      for (Extraction& value : step.extractions) settle_one(value.of);
    }
    if (say_circle(needs, [&](std::size_t node) { return one.steps[node].id; })) return;
    keep_behind(one, needs);
    sort_steps(one, needs);
  }

  // An assertion without a command stays behind the command that stands before it, which may have to wait for others. One that others need
  // may not: that could be a circle.
  static void keep_behind(const PlanCase& one, Needs& needs) {
    std::vector<bool> needed(needs.size());
    for (const std::vector<std::size_t>& others : needs) {
      for (const std::size_t other : others) needed[other] = true;
    }
    std::optional<std::size_t> command = one.main;
    for (std::size_t at = 0; at < one.steps.size(); ++at) {
      const PlanStep& step = one.steps[at];
      if (step.type == Type::command && !step.command.empty()) command = at;
      if (step.type == Type::assertion && step.command.empty() && command && !needed[at]) needs[at].push_back(*command);
    }
  }

  void sort_steps(PlanCase& one, const Needs& needs) {
    std::vector<std::size_t> ranks(one.steps.size());
    for (std::size_t at = 0; at < ranks.size(); ++at) ranks[at] = rank(one, at);
    std::vector<PlanStep> sorted;
    std::optional<std::size_t> main;
    bool had_command = false;
    for (const std::size_t at : order_of(needs, ranks)) {
      PlanStep& step = one.steps[at];
      if (one.main == at) main = sorted.size();
      if (step.command.empty() && step.expected != Expectations{} && !had_command)
        log_.problem(place_of(step.pointer), "checks the output of the command before it, and there is none");
      if (says_nothing(step)) log_.note(place_of(step.pointer), "neither runs a command nor says what to look for: it is passed over");
      had_command = had_command || !step.command.empty();
      sorted.push_back(std::move(step));
    }
    one.steps = std::move(sorted);
    one.main = main;
  }

  template <class Name>
  bool say_circle(const Needs& needs, Name name) {
    const std::vector<std::size_t> circle = find_circle(needs);
    if (circle.empty()) return false;
    constexpr std::size_t kShown = 20;
    std::string text;
    for (std::size_t at = 0; at < circle.size() && at < kShown; ++at) text += fmt::format("'{}' needs ", name(circle[at]));
    if (circle.size() > kShown) text += fmt::format("({} more) needs ", circle.size() - kShown);
    log_.problem("", fmt::format("dependencies in a circle: {}'{}'", text, name(circle.front())));
    return true;
  }

  TestPlan& plan_;
  ReadingLog& log_;
  std::unordered_map<std::string, Place> known_;
  std::unordered_map<std::string, std::optional<std::size_t>> by_name_;  // nullopt: several
  std::vector<std::unordered_map<std::string, std::size_t>> own_;        // of each case: ids of its steps as the document has them
  std::unordered_set<std::string> ambiguous_;
  std::unordered_map<std::string, std::size_t> tried_;  // numbers that free_id() has tried, by what was wanted
  Needs needs_of_cases_;
};

}  // namespace

std::vector<std::size_t> find_circle(const Needs& needs) {
  const std::vector<std::size_t> order = order_of(needs, std::vector<std::size_t>(needs.size()));
  if (order.size() == needs.size()) return {};
  std::vector<bool> came(needs.size());
  for (const std::size_t node : order) came[node] = true;
  // Who has not come needs somebody who has not: along those one comes back to where one was.
  std::size_t node = static_cast<std::size_t>(std::find(came.begin(), came.end(), false) - came.begin());
  std::vector<std::size_t> path;
  std::unordered_map<std::size_t, std::size_t> seen;
  while (seen.emplace(node, path.size()).second) {
    path.push_back(node);
    node = *std::find_if(needs[node].begin(), needs[node].end(), [&](std::size_t other) { return !came[other]; });
  }
  path.erase(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(seen[node]));
  return path;
}

void settle_references(TestPlan& plan, std::map<std::size_t, std::vector<Extraction>> values_of_cases, ReadingLog& log) {
  References(plan, log).settle(std::move(values_of_cases));
}

}  // namespace casemate
