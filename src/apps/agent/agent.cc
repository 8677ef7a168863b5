#include "apps/agent/agent.h"

#include <csignal>

#include <fmt/format.h>
#include <sys/resource.h>
#include <nlohmann/json.hpp>

#include "apps/agent/clone_credentials.h"
#include "apps/agent/mock_backend.h"
#include "apps/agent/settings.h"
#include "apps/agent/supervisor.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "report/printing.h"
#include "sys/cgroup.h"
#include "sys/fd.h"
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

// A task takes two descriptors of the agent's; what it has without any is well below this many.
constexpr rlim_t kDescriptorsOfOurs = 64;
constexpr rlim_t kDescriptorsOfTask = 2;

// Only as many as are needed: workers inherit the limit.
Result<void> provide_descriptors(std::uint32_t concurrent) {
  const rlim_t needed = kDescriptorsOfOurs + kDescriptorsOfTask * concurrent;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return fail_errno("ask for the limit of descriptors");
  if (limit.rlim_cur >= needed) return {};
  if (limit.rlim_max < needed)
    return fail(
        ErrorCode::invalid_input,
        fmt::format("--concurrent {} needs {} descriptors, and this process may have {} at most: raise its limit (ulimit -n, LimitNOFILE= "
                    "of systemd){}",
                    concurrent, needed, limit.rlim_max,
                    limit.rlim_max < kDescriptorsOfOurs + kDescriptorsOfTask
                        ? ""
                        : fmt::format(", or give at most {}", (limit.rlim_max - kDescriptorsOfOurs) / kDescriptorsOfTask)));
  limit.rlim_cur = needed;
  if (::setrlimit(RLIMIT_NOFILE, &limit) < 0) return fail_errno("raise the limit of descriptors");
  return {};
}

Result<int> run_agent(AgentSettings settings) {
  TRY(provide_descriptors(settings.concurrent));
  if (!settings.clone_credentials.empty()) {
    TRY_ASSIGN(settings.clone_credentials, check_clone_credentials(settings.clone_credentials));
  }
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
