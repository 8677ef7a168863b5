// spot_check: whether a job will see what was sent. An engine's workers may lay directories of their own over an action's input root, and
// say so to nobody (buildbox: --runner-arg=--ro-bind-mount=/usr:/usr): the job would run other programs than those that were asked for.
#pragma once

#include "casemate/result.h"
#include "witness/order.h"

namespace casemate {

/// Compares the files of WitnessOrder::spot_checks with their copies in casemate's own directory: kind, size, and of small ones the
/// content. The input root is the working directory. An Error has a step of the set-up as `where`, and says what to do.
Result<void> check_spots(const WitnessOrder& order);

}  // namespace casemate
