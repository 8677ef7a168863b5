#include <charconv>

#include "base/terminal.h"
#include "report/result_json.h"
#include "testplan/checks.h"
#include "testplan/plan_reading.h"

namespace casemate {
namespace {

// The object at `pointer`, whose parts are names of ours and numbers; null if the document is another one than was read.
Json* object_at(Json& document, std::string_view pointer) {
  Json* at = &document;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view part = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(part.size());
    if (at->is_array()) {
      std::size_t index = 0;
      if (std::from_chars(part.data(), part.data() + part.size(), index).ec != std::errc() || index >= at->size()) return nullptr;
      at = &(*at)[index];
    } else {
      const auto found = at->find(part);
      if (found == at->end()) return nullptr;
      at = &*found;
    }
  }
  return at->is_object() ? at : nullptr;
}

Json exit_code_json(const StepResult& result) {
  const auto code = exit_code(result);
  return code ? Json(*code) : Json(nullptr);
}

// One line of what happened, where the generator's own runner would put it.
std::string in_words(const StepResult& result) {
  if (!result.reason.empty()) return to_utf8(result.reason);
  return result.outcome ? to_utf8(words(*result.outcome)) : std::string(word(result.status));
}

void write_steps(const std::vector<PlanStep>& steps, const std::vector<StepResult>& results, std::string_view but, Json& document) {
  for (std::size_t at = 0; at < steps.size() && at < results.size(); ++at) {
    if (steps[at].pointer == but) continue;  // the case's own command: told with the case
    Json* step = object_at(document, steps[at].pointer);
    if (step == nullptr) continue;  // a command alone, as a text: there is no place for it
    const StepResult& result = results[at];
    (*step)["status"] = word(result.status);
    (*step)["actual_result"] = in_words(result);
    (*step)["actual_exit_code"] = exit_code_json(result);
    (*step)["actual_output"] = to_utf8(result.out);
    (*step)["actual_error"] = to_utf8(result.err);
  }
}

// `result` of a case: an object, or a line where the document has a text there.
void write_case(const PlanCase& one, const CaseResult& result, Json& document) {
  Json* target = object_at(document, one.pointer);
  if (target == nullptr) return;
  (*target)["status"] = word(result.status);
  const bool ran = one.main && *one.main < result.steps.size();
  static const StepResult kNone;
  const StepResult& own = ran ? result.steps[*one.main] : kNone;
  const std::string reason = to_utf8(result.reason);
  Json& place = (*target)["result"];
  if (place.is_string()) {
    place = reason.empty() ? std::string(word(result.status)) : reason;
    return;
  }
  if (!place.is_object()) place = Json::object();
  place["status"] = word(result.status);
  place["actual_exit_code"] = exit_code_json(own);
  place["actual_output"] = to_utf8(own.out);
  place["actual_error"] = to_utf8(own.err);
  place["duration_ms"] = milliseconds(result.took);
  place["error_message"] = reason.empty() ? Json(nullptr) : Json(reason);
}

}  // namespace

void write_result(const TestPlan& plan, const PlanResult& result, Json& document) {
  write_steps(plan.setup, result.setup, "", document);
  for (std::size_t at = 0; at < plan.cases.size() && at < result.cases.size(); ++at) {
    write_steps(plan.cases[at].steps, result.cases[at].steps, plan.cases[at].pointer, document);
    write_case(plan.cases[at], result.cases[at], document);
  }
  write_steps(plan.teardown, result.teardown, "", document);
}

}  // namespace casemate
