// Any bytes as a document of the runtime tester's: no crash, errors are one line, what is taken comes back the same from its own JSON,
// graphs are in an order in which they can run.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/terminal.h"
#include "runtime/data_report.h"
#include "runtime/json_text.h"
#include "runtime/models.h"
#include "runtime/pipeline_graph.h"
#include "runtime/sample_data.h"
#include "runtime/spec_builder.h"

namespace {

using namespace casemate;
using namespace casemate::runtime;

void require(bool truth) {
  if (!truth) std::abort();
}

// One line that no terminal obeys.
template <class T>
bool taken(const Result<T>& result) {
  if (result) return true;
  const std::string& what = result.error().what;
  require(!what.empty() && what == printable_name(what));
  return false;
}

template <class Spec>
void look(const Result<Spec>& spec, Result<Spec> (*read)(const Json&)) {
  if (!taken(spec)) return;
  const Json json = to_json(*spec);
  const auto again = read(json);
  require(again && *again == *spec && to_json(*again) == json);
}

void look(const Result<PipelineGraph>& graph) {
  if (!taken(graph)) return;
  require(!graph->steps.empty());
  for (std::size_t at = 0; at < graph->steps.size(); ++at) {
    require(!graph->steps[at].spec.script_name.empty() && !graph->steps[at].spec.step_name.empty());
    for (const std::size_t before : graph->steps[at].after) require(before < at);
  }
  for (const PipelineEdge& edge : graph->edges) require(edge.from < edge.to && edge.to < graph->steps.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = json_from(text, "f.json");
  if (!taken(json)) return 0;
  require(json->dump() == json_from(json->dump(), "f.json").value().dump());
  look(script_spec_from(*json), script_spec_from);
  look(pipeline_spec_from(*json), pipeline_spec_from);
  look(configuration_from(*json), configuration_from);
  look(main_parameters_from(*json), main_parameters_from);
  look(graph_from(*json));
  if (const auto pipeline = pipeline_spec_from(*json)) look(graph_from(*pipeline));
  if (const auto pipeline = pipeline_from_dag("p", *json, "", "d"); taken(pipeline)) look(graph_from(*pipeline));
  if (const auto sample = sample_from_schema(*json, 3); taken(sample)) require(check_sample(*sample).has_value());
  if (taken(check_sample(*json))) static_cast<void>(sample_csv(*json));
  if (const auto report = data_report_from(nlohmann::json::parse(text, nullptr, false)); taken(report)) {
    require(!to_json(*report).dump().empty());
    require(differences(*report, *report).size() <= 50);
    static_cast<void>(side_by_side(*report, *report));
  }
  return 0;
}
