// capabilities: what an engine says that it does, as far as it matters here.
#pragma once

#include <string>

#include "casemate/result.h"
#include "remote/calls.h"
#include "remote/engine.h"

namespace casemate {

/// What `engine` (Execution) and `cache` (CAS, ActionCache; the same where one address has all) say, bounded. The error is a line about
/// what is missing: SHA-256, version 2 of the protocol.
Result<RemoteOffer> offer_of(const protocol::ServerCapabilities& engine, const protocol::ServerCapabilities& cache);

/// Asks both. kRemoteUnusable.
Result<RemoteOffer> ask_capabilities(const RemoteCalls& calls, bool cache_elsewhere, const std::stop_token& stop);

}  // namespace casemate
