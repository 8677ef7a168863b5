// data_paths: which step's output is which other step's input, by their paths.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/models.h"
#include "runtime/pipeline_graph.h"

namespace casemate::runtime {

/// The logical name whose path is `path`, else one above it, else the only one below it; "" if there is none.
[[nodiscard]] std::string name_at(const NamedTexts& paths, std::string_view path);

/// From each step that writes a path to those that read it, or something below it, or a directory above it. Of several that write it the
/// last one before the reader in the list; one that comes after the reader only where nobody before it does, and the reader does not itself
/// write there. Linear time, but for at most `most` + 1 edges.
[[nodiscard]] std::vector<PipelineEdge> edges_by_path(const std::vector<const ScriptExecutionSpec*>& specs, std::size_t most);

}  // namespace casemate::runtime
