// inquiry: what an engine says that it offers, and what one of its workers is seen to give an action. For `casemate doctor --remote`.
#pragma once

#include <vector>

#include "casemate/result.h"
#include "remote/engine.h"
#include "remote/executor.h"
#include "sys/probe.h"
#include "witness/worker_facts.h"

namespace casemate {

/// A row for each thing that matters to jobs; the one named "action" is missing if none could be run. Errors: kRemoteUnusable.
Result<std::vector<HostFeature>> inquire(RemoteOptions options);

/// The rows of an offer.
[[nodiscard]] std::vector<HostFeature> offer_features(const RemoteOffer& offer);
/// The rows of a worker.
[[nodiscard]] std::vector<HostFeature> worker_features(const WorkerFacts& facts);

}  // namespace casemate
