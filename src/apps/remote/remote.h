// remote: what casemate-remote has beside casemate's own: the remote executor, made of what the user said of an engine.
#pragma once

#include <memory>
#include <vector>

#include "command/executors.h"
#include "engine/executor.h"
#include "sys/probe.h"

namespace casemate {

/// MakeExecutor.
Result<std::unique_ptr<Executor>> remote_executor(Reactor& reactor, const ExecutorChoice& choice);
/// AskEngine.
Result<std::vector<HostFeature>> inquire_engine(const RemoteChoice& choice);

}  // namespace casemate
