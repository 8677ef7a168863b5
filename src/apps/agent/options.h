// options: the table of the agent's options; what settings.cc parses and agent_help() prints.
#pragma once

#include <span>
#include <string>

#include "apps/agent/settings.h"
#include "command/argparse.h"

namespace casemate {

/// What the options say before it is put together: settings, and where secrets are.
struct AgentRequest {
  AgentSettings settings;
  bool password_given = false;
  std::string password_file;
};

/// One option of the agent.
using AgentOption = CommandOption<AgentRequest>;

/// All options, ostest-runner's first and in its order.
[[nodiscard]] std::span<const AgentOption> agent_options();

}  // namespace casemate
