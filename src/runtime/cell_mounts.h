// cell_mounts: what one script's cell shows of the host: what it reads, read-only, and what it writes.
#pragma once

#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "runtime/output_places.h"

namespace casemate::runtime {

/// Binds at the same paths: `shown` (lexical; files or directories) read-only, and what `outputs` (may be null) has. A directory that is
/// shown and in which single files are written is shown entry by entry. not_found: a path that is not there; refused: as
/// FilledPlaces::real_path(); invalid_input: more than a cell can show.
Result<std::vector<Mount>> cell_mounts(const std::vector<std::string>& shown, const OutputPlaces* outputs, const FilledPlaces& filled);

}  // namespace casemate::runtime
