// why: `casemate explain --why`: which inputs of a command have changed since it last ran with --cache.
#pragma once

#include "casemate/job.h"
#include "store/store.h"

namespace casemate {

/// Prints it, as one JSON object if `json`; the result is the program's exit status. The job is complete, its inputs are in place.
int tell_why(const Job& job, Store& store, bool json);

}  // namespace casemate
