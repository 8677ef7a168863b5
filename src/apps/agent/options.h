// options: the table of the agent's options; what settings.cc parses and agent_help() prints.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "apps/agent/settings.h"

namespace casemate {

/// What the options say before it is put together: settings, and where secrets are.
struct AgentRequest {
  AgentSettings settings;
  bool password_given = false;
  std::string password_file;
};

/// One option of the agent: how it is spelled, described and stored.
struct AgentOption {
  std::string_view name;     ///< "--timeout"
  std::string_view metavar;  ///< "": it takes no value
  bool ours = false;         ///< not an option of ostest-runner
  std::string_view help;
  /// Puts a value into the request; null for --help and --version. An error's `what` follows "argument --name: ".
  Result<void> (*store)(AgentRequest& request, const std::string& value) = nullptr;
};

/// All options, ostest-runner's first and in its order.
[[nodiscard]] std::span<const AgentOption> agent_options();

}  // namespace casemate
