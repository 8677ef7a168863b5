// executor: jobs on a remote execution engine, with the same outcomes, results and captured files as in cells.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "action/messages.h"
#include "action/sending_progress.h"
#include "engine/executor.h"
#include "engine/reactor.h"
#include "remote/endpoint.h"

namespace casemate {

/// Which engine, and how jobs are put to it.
struct RemoteOptions {
  RemoteEndpoint endpoint;
  RemotePolicy policy;
  PlatformProperties properties;
  bool image_as_property = false;                     ///< ActionSetting
  int priority = 0;                                   ///< ExecutionOrder
  std::optional<std::chrono::milliseconds> deadline;  ///< ExecutionOrder
  TellSending sending;                                ///< hears in the reactor's loop; may be empty
  std::string witness;                                ///< host path of casemate-witness; "": the one beside this program
  /// While the engine does not answer, each second from the second one on: a line for people. `stays`: one for where lines are not written
  /// over too, after 5 s and then at twice the time of the last. "": it is over. May be empty.
  std::function<void(std::string_view line, bool stays)> outage;
};

/// For Engine::add_executor("remote", ...). Waits until the engine has said what it offers. Errors with `where` kRemoteUnusable: there is
/// none, none that may be used, or none that executes.
Result<std::unique_ptr<Executor>> make_remote_executor(Reactor& reactor, RemoteOptions options);

}  // namespace casemate
