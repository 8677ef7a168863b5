// results_json: what came of a plan as the results file: docs/schema/plan-results.schema.json, format 1.
#pragma once

#include <string>

#include "report/result_json.h"
#include "testplan/models.h"
#include "testplan/normalisation.h"

namespace casemate {

/// The whole of the results file. Texts are readable UTF-8; what a command wrote that is none stands in base64 beside it
/// ("stdout_base64"), and what `normaliser` makes of it too ("stdout_normalised").
[[nodiscard]] Json results_json(const TestPlan& plan, const PlanResult& result, const Normaliser& normaliser);
/// The file's bytes: two spaces, a newline at the end.
[[nodiscard]] std::string results_text(const Json& results);

/// RFC 4648, section 4, with padding.
[[nodiscard]] std::string base64(std::string_view bytes);

}  // namespace casemate
