// orphans: what pulls left in the store that no image on record needs any more: layers and blobs of tags that have moved.
#pragma once

#include "casemate/result.h"
#include "image/pull.h"
#include "store/store.h"

namespace casemate {

/// Removes them, but for what somebody holds (a pull that is under way, a job). Layers of environments and projects stay.
Result<RemovedImages> remove_orphans(Store& store);

}  // namespace casemate
