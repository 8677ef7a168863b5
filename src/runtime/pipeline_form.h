// pipeline_form: the forms in which people write a pipeline, read into one.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// A pipeline as it was written: steps may be named twice, and links may lead nowhere.
struct PipelineForm {
  /// A step and the name by which links know it.
  struct Step {
    std::string name;
    ScriptExecutionSpec spec;  ///< its step_name is `name`
    std::string also;          ///< what the spec calls itself, if that is another name
  };
  /// `to` comes after `from`.
  struct Link {
    std::string from;
    std::string to;
    std::string place;           ///< where it is written: "edges[2]"
    bool is_dependency = false;  ///< a step's own depends_on
    std::string path;            ///< of the data, "" if it is not said
    std::string from_output;
    std::string to_input;
  };
  std::vector<Step> steps;
  std::vector<Link> links;
  bool says_order = false;  ///< there were edges or depends_on, maybe empty ones
};

/// Of graph_from()'s forms.
Result<PipelineForm> form_of(const Json& configuration);
Result<PipelineForm> form_of(const PipelineTestingSpec& spec);

}  // namespace casemate::runtime
