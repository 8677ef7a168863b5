// execution: one action on its way through an engine.
#pragma once

#include <stop_token>

#include "casemate/result.h"
#include "remote/calls.h"
#include "remote/engine.h"

namespace casemate {

/// As RemoteEngine::execute has it. An operation that an engine has forgotten (a scheduler that was started anew) is executed again: the
/// action is the same, and only one answer is told. Of a second execution no live output is told.
Result<Execution> execute_action(const RemoteCalls& calls, const RemoteOffer& offer, const ExecutionOrder& order,
                                 ExecutionListener& listener, const std::stop_token& stop);

/// CancelOperation, once more if nobody is there.
grpc::Status cancel_operation(const RemoteCalls& calls, const std::string& name, const std::stop_token& stop);

}  // namespace casemate
