// pipeline_graph: steps of a pipeline and what flows between them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// A step and those whose data it takes.
struct PipelineStep {
  ScriptExecutionSpec spec;        ///< with step_name: that is how results name it
  std::vector<std::size_t> after;  ///< indices of steps, ascending
};

/// From a step to another one. Several may join the same two, by different data.
struct PipelineEdge {
  std::size_t from = 0;
  std::size_t to = 0;
  std::string from_output;  ///< logical names; "": by the path, the name, or as the only one
  std::string to_input;
};

/// A pipeline in an order in which it can run: no step comes before one that it is after.
struct PipelineGraph {
  std::vector<PipelineStep> steps;
  std::vector<PipelineEdge> edges;  ///< ascending by `to`, then by `from`
};

/// From {"steps": {name: {"script", "inputs", "outputs", "environ_vars", "job_args", "depends_on"} | "script.py" | null}} (or a list of
/// those with "name"), {"nodes": [...], "edges": [[a, b] | {"from", "to"}]}, both, either below "dag", or a PipelineTestingSpec's JSON. A
/// step without "script" is its own script; ".py" is left out; one with a slash is a file. What one step writes and another reads joins
/// them by its path. Where nothing says what comes after what (no such path, no "edges" and no "depends_on", not even empty ones) steps are
/// a chain as they are written. invalid_input: no steps ("No steps found in pipeline configuration"), a step that is named and not there
/// ("step 'b' depends on 'x', which is no step"), a cycle ("steps depend on each other: a -> b -> a"), two steps of a name, more than
/// 10,000 steps, more than 1,000,000 edges.
Result<PipelineGraph> graph_from(const Json& configuration);
/// The same of a spec: its data_flow_specs and dag are the edges.
Result<PipelineGraph> graph_from(const PipelineTestingSpec& spec);

}  // namespace casemate::runtime
