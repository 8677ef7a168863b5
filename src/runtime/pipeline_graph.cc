#include "runtime/pipeline_graph.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/nearest.h"
#include "runtime/data_paths.h"
#include "runtime/pipeline_form.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

constexpr std::size_t kMostSteps = 10'000;
constexpr std::size_t kMostEdges = 1'000'000;
constexpr std::size_t kLongestCycle = 12;  // names of a cycle that are shown

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

// ", did you mean 'x'?", or nothing: a list of a thousand steps is no help.
std::string meant(const std::string& name, const std::vector<PipelineStep>& steps) {
  std::vector<std::string_view> known;
  for (const PipelineStep& step : steps) known.push_back(step.spec.step());
  const std::string nearby = nearest(name, known);
  return nearby.empty() ? "" : fmt::format(", did you mean '{}'?", named(nearby));
}

// Steps and edges in the order in which they were written; then in the order in which they run.
class Composition {
 public:
  explicit Composition(PipelineForm form) : form_(std::move(form)) {}

  Result<PipelineGraph> graph() {
    TRY(take_steps());
    TRY(take_links());
    TRY(take_paths());
    if (edges_.empty() && !form_.says_order) {
      for (std::size_t at = 1; at < steps_.size(); ++at) edges_.push_back({.from = at - 1, .to = at});
    }
    merge_edges();
    return ordered();
  }

 private:
  Result<void> take_steps() {
    if (form_.steps.empty()) return invalid("No steps found in pipeline configuration");
    if (form_.steps.size() > kMostSteps)
      return invalid(fmt::format("the pipeline has {} steps; at most {} are run", form_.steps.size(), kMostSteps));
    for (PipelineForm::Step& step : form_.steps) {
      const std::size_t index = steps_.size();
      steps_.push_back({.spec = std::move(step.spec)});
      if (!by_name_.emplace(step.name, index).second) return invalid(fmt::format("two steps are named '{}'", named(step.name)));
      names_.push_back(std::move(step.name));
    }
    // A spec may be named by its step or its script too, where that means one step only.
    for (std::size_t at = 0; at < steps_.size(); ++at) {
      for (const std::string& other : {form_.steps[at].also, steps_[at].spec.script_name}) {
        if (other.empty() || by_name_.contains(other)) continue;
        const auto [found, is_new] = by_other_name_.emplace(other, at);
        if (!is_new && found->second != at) found->second = kSeveral;
      }
    }
    return {};
  }

  std::size_t index_of(const std::string& name) const {
    if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
    const auto other = by_other_name_.find(name);
    return other == by_other_name_.end() ? kSeveral : other->second;
  }

  Result<void> take_links() {
    for (PipelineForm::Link& link : form_.links) {
      const std::size_t from = index_of(link.from);
      const std::size_t to = index_of(link.to);
      for (const auto& [name, index] : {std::pair(&link.from, from), std::pair(&link.to, to)}) {
        if (index == kSeveral) return invalid(missing(link, *name));
      }
      PipelineEdge edge{.from = from, .to = to, .from_output = std::move(link.from_output), .to_input = std::move(link.to_input)};
      TRY(check_names(link, edge));
      if (!link.path.empty()) {
        if (edge.from_output.empty()) edge.from_output = name_at(steps_[from].spec.output_paths, link.path);
        if (edge.to_input.empty()) edge.to_input = name_at(steps_[to].spec.input_paths, link.path);
      }
      TRY(add(std::move(edge)));
    }
    return {};
  }

  std::string missing(const PipelineForm::Link& link, const std::string& name) const {
    if (link.is_dependency && &name == &link.from)
      return fmt::format("step '{}' depends on '{}', which is no step{}", named(link.to), named(name), meant(name, steps_));
    return fmt::format("{} names '{}', which is no step{}", link.place, named(name), meant(name, steps_));
  }

  Result<void> check_names(const PipelineForm::Link& link, const PipelineEdge& edge) const {
    const auto check = [&](const std::string& name, const PipelineStep& step, const NamedTexts& paths,
                           std::string_view kind) -> Result<void> {
      if (name.empty() || paths.empty()) return {};
      if (std::ranges::any_of(paths, [&](const auto& path) { return path.first == name; })) return {};
      std::vector<std::string_view> known;
      for (const auto& path : paths) known.push_back(path.first);
      return invalid(
          fmt::format("{}: step '{}' has no {} '{}'{}", link.place, named(step.spec.step()), kind, named(name), did_you_mean(name, known)));
    };
    TRY(check(edge.from_output, steps_[edge.from], steps_[edge.from].spec.output_paths, "output"));
    return check(edge.to_input, steps_[edge.to], steps_[edge.to].spec.input_paths, "input");
  }

  Result<void> take_paths() {
    std::vector<const ScriptExecutionSpec*> specs;
    for (const PipelineStep& step : steps_) specs.push_back(&step.spec);
    for (PipelineEdge& edge : edges_by_path(specs, kMostEdges)) TRY(add(std::move(edge)));
    return {};
  }

  Result<void> add(PipelineEdge edge) {
    if (edges_.size() >= kMostEdges) return invalid(fmt::format("the pipeline has more than {} connections", kMostEdges));
    edges_.push_back(std::move(edge));
    return {};
  }

  // One edge for each pair of data; one that says nothing of names only where no other one joins the two steps.
  void merge_edges() {
    const auto key = [](const PipelineEdge& edge) { return std::tie(edge.from, edge.to, edge.from_output, edge.to_input); };
    std::ranges::sort(edges_, [&](const PipelineEdge& a, const PipelineEdge& b) { return key(a) > key(b); });  // those with names first
    std::vector<PipelineEdge> kept;
    for (PipelineEdge& edge : edges_) {
      const bool same_steps = !kept.empty() && kept.back().from == edge.from && kept.back().to == edge.to;
      const bool says_nothing = edge.from_output.empty() && edge.to_input.empty();
      if (same_steps && (says_nothing || key(kept.back()) == key(edge))) continue;
      kept.push_back(std::move(edge));
    }
    std::ranges::reverse(kept);
    edges_ = std::move(kept);
  }

  // Kahn's order; of steps that could run, the one that was written first.
  Result<PipelineGraph> ordered() {
    std::vector<std::vector<std::size_t>> followers(steps_.size());
    std::vector<std::size_t> waits(steps_.size());
    for (const PipelineEdge& edge : edges_) {
      followers[edge.from].push_back(edge.to);
      ++waits[edge.to];
    }
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
    for (std::size_t at = 0; at < steps_.size(); ++at) {
      if (waits[at] == 0) ready.push(at);
    }
    std::vector<std::size_t> place(steps_.size(), kSeveral);
    PipelineGraph graph;
    while (!ready.empty()) {
      const std::size_t at = ready.top();
      ready.pop();
      place[at] = graph.steps.size();
      graph.steps.push_back(std::move(steps_[at]));
      for (const std::size_t follower : followers[at]) {
        if (--waits[follower] == 0) ready.push(follower);
      }
    }
    if (graph.steps.size() < steps_.size()) return invalid(cycle(place));
    for (PipelineEdge& edge : edges_) {
      edge.from = place[edge.from];
      edge.to = place[edge.to];
      graph.steps[edge.to].after.push_back(edge.from);
    }
    for (PipelineStep& step : graph.steps) {
      std::ranges::sort(step.after);
      step.after.erase(std::ranges::unique(step.after).begin(), step.after.end());
    }
    std::ranges::sort(edges_, {}, [](const PipelineEdge& edge) { return std::tie(edge.to, edge.from, edge.from_output, edge.to_input); });
    graph.edges = std::move(edges_);
    return graph;
  }

  // Each step that has no place waits for one that has none: going back from any of them ends in a circle.
  std::string cycle(const std::vector<std::size_t>& place) const {
    std::vector<std::size_t> before(place.size(), kSeveral);
    for (const PipelineEdge& edge : edges_) {
      if (place[edge.from] == kSeveral && place[edge.to] == kSeveral && before[edge.to] == kSeveral) before[edge.to] = edge.from;
    }
    std::size_t at = static_cast<std::size_t>(std::ranges::find(place, kSeveral) - place.begin());
    std::vector<bool> seen(place.size());
    while (!seen[at]) {
      seen[at] = true;
      at = before[at];
    }
    std::vector<std::size_t> circle{at};
    for (std::size_t next = before[at]; next != at; next = before[next]) circle.push_back(next);
    std::ranges::reverse(circle);
    std::ranges::rotate(circle, std::ranges::min_element(circle));
    const std::size_t shown = std::min(circle.size(), kLongestCycle);
    std::string text = "steps depend on each other: ";
    for (std::size_t one = 0; one < shown; ++one) text += named(names_[circle[one]]) + " -> ";
    if (shown < circle.size()) text += fmt::format("... ({} more) -> ", circle.size() - shown);
    return text + named(names_[circle.front()]);
  }

  static constexpr std::size_t kSeveral = static_cast<std::size_t>(-1);  // no step, or not one alone

  PipelineForm form_;
  std::vector<PipelineStep> steps_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::unordered_map<std::string, std::size_t> by_other_name_;
  std::vector<PipelineEdge> edges_;
};

}  // namespace

Result<PipelineGraph> graph_from(const Json& configuration) {
  TRY_ASSIGN(PipelineForm form, form_of(configuration));
  return Composition(std::move(form)).graph();
}

Result<PipelineGraph> graph_from(const PipelineTestingSpec& spec) {
  TRY_ASSIGN(PipelineForm form, form_of(spec));
  return Composition(std::move(form)).graph();
}

}  // namespace casemate::runtime
