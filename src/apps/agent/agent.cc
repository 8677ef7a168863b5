#include "apps/agent/agent.h"

#include <csignal>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/agent/mock_backend.h"
#include "apps/agent/settings.h"
#include "apps/agent/supervisor.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "report/printing.h"
#include "sys/cgroup.h"
#include "sys/signals.h"

namespace casemate {
namespace {

constexpr int kWrongUsage = 2;
constexpr int kTrouble = 3;

int status_of(const Error& error) {
  return error.code == ErrorCode::invalid_input || error.code == ErrorCode::not_found ? kWrongUsage : kTrouble;
}

// Indented, as it was posted.
void show_result(const std::string& body) {
  const auto json = nlohmann::ordered_json::parse(body, nullptr, false);
  if (!json.is_discarded()) print_json(json);
}

// The mock's backend and lab instead of a teacher's.
Result<MockRun> start_mock_for(AgentSettings& settings) {
  TRY_ASSIGN(MockRun mock, start_mock(settings, settings.state_directory + "/lab", 1, show_result));
  settings.backend_url = mock.backend.url();
  settings.tests_repo = mock.lab.tests_url();
  settings.tests_revision.clear();
  settings.allow_file_urls = true;
  return mock;
}

// All signals that the loop hears, blocked before there are threads.
Result<UniqueFd> hear_signals() {
  sigset_t signals = ending_signals();
  ::sigaddset(&signals, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return open_signals(signals);
}

Result<int> run_agent(AgentSettings settings) {
  TRY_ASSIGN(const UniqueFd signals, hear_signals());
  if (settings.state_directory.empty()) settings.state_directory = state_directory() + (settings.mock ? "/agent-mock" : "/agent");
  TRY_ASSIGN(Log log, Log::open(settings.logger_output, settings.logger_level, settings.json_log));
  TRY_ASSIGN(Outbox outbox, Outbox::open(settings.state_directory));
  TRY_ASSIGN(const TaskDirectories directories, TaskDirectories::open(settings.state_directory));
  if (!outbox.note().empty()) log.write(LogLevel::error, outbox.note());
  // On cgroup v2 this moves the agent, alone so far, into a leaf, in which workers then start: none of them would be alone in a delegated
  // cgroup, and none could get limits for its cells.
  (void)open_cgroups();
  std::optional<MockRun> mock;
  if (settings.mock) {
    TRY_ASSIGN(mock, start_mock_for(settings));
  }
  Metrics metrics;
  std::optional<MetricsServer> server;
  if (!settings.metrics.empty()) {
    TRY_ASSIGN(server, MetricsServer::start(settings.metrics, metrics));
    log.write(LogLevel::info, fmt::format("metrics are on port {}", server->port()));
  }
  TRY_ASSIGN(const auto courier, Courier::create(settings));
  log.write(LogLevel::info, fmt::format("casemate " CASEMATE_VERSION " takes tasks from {}, tests from {}", shown_url(settings.backend_url),
                                        shown_url(settings.tests_repo)));
  auto status = Supervisor({settings, log, metrics, outbox, directories, *courier, signals.get()}).run();
  if (!status) log.write(LogLevel::critical, status.error().what);
  return status ? *status : kTrouble;
}

}  // namespace

int agent_main(const std::vector<std::string>& arguments, const std::string& program) {
  auto parsed = parse_agent_arguments(arguments);
  hide_password_variable();
  if (!parsed) return complain(program, parsed.error().what, kWrongUsage);
  if (parsed->action == ParsedAgentArguments::Action::help) return put(program, agent_help(program), 0);
  if (parsed->action == ParsedAgentArguments::Action::version) return put(program, "casemate " CASEMATE_VERSION "\n", 0);
  const auto status = run_agent(std::move(parsed->settings));
  return status ? *status : complain(program, status.error().what, status_of(status.error()));
}

}  // namespace casemate
