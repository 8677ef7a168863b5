// data_flow: which output of one script becomes which input of another, and whether it was taken.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/models.h"
#include "runtime/pipeline_graph.h"

namespace casemate::runtime {

/// Gives `to` the outputs of `from`: an edge's own names, else equal or nested paths, else equal names; where nothing fits, the outputs
/// take the places of the inputs in their order, and what `to` has no input for is added under its own name (a lone first one as
/// "data_input"). `claimed` are inputs that come from elsewhere, and grows by those that were given.
void hand_over(const MainParameters& from, MainParameters& to, const PipelineEdge& edge, std::set<std::string>& claimed);

/// Formats of data for people: "CSV", "CSV, JSON"; nullopt: there is none.
[[nodiscard]] std::optional<std::string> shown_format(const std::vector<DataReport>& data);

/// Whether there is anything at all.
[[nodiscard]] bool any_data(const std::vector<DataReport>& data);

/// What of `given` is not as one of `wanted` was: the closest of the same name or format counts.
[[nodiscard]] std::vector<std::string> data_issues(const std::vector<DataReport>& given, const std::vector<DataReport>& wanted);

/// The verdict on two scripts: `result_b` is missing where A kept it from running. B's name is left to the caller.
[[nodiscard]] DataCompatibilityResult judge(const ScriptTestResult& result_a, const std::optional<ScriptTestResult>& result_b,
                                            std::vector<DataReport> data_a, std::vector<DataReport> data_b);

}  // namespace casemate::runtime
