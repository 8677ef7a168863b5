// Any bytes as a plan in JSON and in YAML: no crash, bounded time and memory; what is written is read as the same; ids are unique,
// dependencies lead somewhere, results go back to where their steps came from.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "testplan/plan_reading.h"

namespace {

using namespace casemate;

void require(bool truth) {
  if (!truth) std::abort();
}

void look_at(const TestPlan& plan) {
  std::set<std::string> ids;
  const auto take = [&](const std::vector<PlanStep>& steps) {
    for (const PlanStep& step : steps) require(!step.id.empty() && !step.pointer.empty() && ids.insert(step.id).second);
  };
  for (const PlanCase& one : plan.cases) require(!one.id.empty() && ids.insert(one.id).second);
  take(plan.setup);
  take(plan.teardown);
  for (const PlanCase& one : plan.cases) {
    require(!one.steps.empty() && (!one.main || *one.main < one.steps.size()));
    take(one.steps);
  }
  for (const PlanCase& one : plan.cases) {
    for (const PlanDependency& need : one.depends_on) require(need.id.empty() || ids.contains(need.id));
    for (const PlanStep& step : one.steps) {
      for (const PlanDependency& need : step.depends_on) require(need.id.empty() || ids.contains(need.id));
      for (const Extraction& value : step.extractions) require(value.of.empty() || ids.contains(value.of));
    }
  }
}

void write_and_read_again(const TestPlan& plan, Document document) {
  PlanResult result;
  for (const PlanCase& one : plan.cases) {
    result.cases.push_back({.status = PlanStatus::failed, .reason = "a\nb"});
    for (std::size_t step = 0; step < one.steps.size(); ++step)
      result.cases.back().steps.push_back({.status = PlanStatus::passed, .out = "\xff"});
  }
  write_result(plan, result, document.value);
  const auto again = read_plan(document, "p");
  require(again && again->cases.size() == plan.cases.size());
}

void look(std::string_view bytes, DocumentFormat format) {
  const auto document = parse_document(bytes, "p", format);
  if (!document) {
    require(document.error().what.starts_with("p:") && document.error().what.find('\n') == std::string::npos);
    return;
  }
  const std::string text = to_text(*document);
  const auto same = parse_document(text, "p", format);
  require(same && same->value == document->value);
  const auto plan = read_plan(*document, "p");
  if (!plan) {
    require(plan.error().code == ErrorCode::invalid_input && plan.error().what.starts_with("p: "));
    return;
  }
  look_at(*plan);
  write_and_read_again(*plan, *document);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  look(bytes, DocumentFormat::json);
  look(bytes, DocumentFormat::yaml);
  return 0;
}
