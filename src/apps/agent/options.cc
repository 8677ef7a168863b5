#include "apps/agent/options.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include <fmt/format.h>

#include "apps/agent/log.h"
#include "base/shell_words.h"
#include "base/units.h"
#include "command/limit_values.h"
#include "command/naming.h"

namespace casemate {
namespace {

using Stored = Result<void>;
using Values = OptionWords::Values;

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

// docker reads 0 as "no limit".
template <class T>
std::optional<T> unless_zero(T value) {
  return value == T{} ? std::nullopt : std::optional<T>(value);
}

Result<std::uint32_t> whole_number(const std::string& value, std::uint32_t least, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (problem != std::errc{} || end != value.data() + value.size() || number < least || number > most)
    return wrong(fmt::format("'{}' is not a whole number from {} to {}", value, least, most));
  return number;
}

template <std::string AgentSettings::* member>
Stored store_text(AgentRequest& request, const std::string& value) {
  request.settings.*member = value;
  return {};
}

template <bool AgentSettings::* member>
Stored store_true(AgentRequest& request, const std::string&) {
  request.settings.*member = true;
  return {};
}

template <std::chrono::milliseconds AgentSettings::* member>
Stored store_duration(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(request.settings.*member, parse_duration(value));
  if ((request.settings.*member).count() == 0 && value.find_first_of("123456789") != std::string::npos)
    return wrong(fmt::format("'{}' is less than a millisecond; give at least 0.001, or 0", value));
  return {};
}

template <std::uint32_t AgentSettings::* member, std::uint32_t least, std::uint32_t most>
Stored store_number(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(request.settings.*member, whole_number(value, least, most));
  return {};
}

// A path below the backend's URL.
template <std::string AgentSettings::* member>
Stored store_path(AgentRequest& request, const std::string& value) {
  if (value.find_first_of(" \t\r\n") != std::string::npos) return wrong(fmt::format("'{}' is not a path of an URL", value));
  request.settings.*member = value.starts_with('/') ? value : "/" + value;
  return {};
}

Stored store_backend_url(AgentRequest& request, const std::string& value) {
  const std::size_t host = value.starts_with("http://") ? 7 : value.starts_with("https://") ? 8 : 0;
  const bool named = host > 0 && value.size() > host && value[host] != '/' && value.find_first_of(" \t\r\n?#") == std::string::npos;
  if (!named) return wrong(fmt::format("'{}' is not http://HOST[:PORT] or https://HOST[:PORT]", shown_url(value)));
  std::string url = value;
  while (url.ends_with('/')) url.pop_back();
  request.settings.backend_url = url;
  return {};
}

Stored store_password(AgentRequest& request, const std::string& value) {
  request.settings.password = value;
  request.password_given = true;
  return {};
}

Stored store_password_file(AgentRequest& request, const std::string& value) {
  if (value.empty()) return wrong("the name of a file can't be empty");
  request.password_file = value;
  return {};
}

Stored store_level(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(request.settings.logger_level, read_choice<LogLevel>(value, {{"debug", LogLevel::debug},
                                                                          {"info", LogLevel::info},
                                                                          {"warning", LogLevel::warning},
                                                                          {"error", LogLevel::error},
                                                                          {"critical", LogLevel::critical}}));
  return {};
}

Stored store_tests_repo(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(RepositoryAt repository, read_repository_at(value));
  request.settings.tests_repo = std::move(repository.url);
  request.settings.tests_revision = std::move(repository.revision);
  return {};
}

Stored store_tests_command(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(request.settings.tests_command, split_shell_words(value));
  if (request.settings.tests_command.empty()) return wrong("a command can't be empty");
  return {};
}

Stored store_image(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(const auto image, read_image_name(value));
  request.settings.image = image.kind == ImageReference::Kind::host ? "" : value;
  return {};
}

Stored store_wire(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(request.settings.wire, read_choice<WireForm>(value, {{"a", WireForm::attempt}, {"b", WireForm::uuid}}));
  return {};
}

Stored store_isolation(AgentRequest& request, const std::string& value) {
  if (std::ranges::find(kAgentIsolations, value) == std::end(kAgentIsolations)) return not_a_choice(value, kAgentIsolations);
  request.settings.isolation = value;
  return {};
}

Stored store_clone_network(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(request.settings.clone_network,
             read_choice<Network>(value, {{"none", Network::none}, {"outbound", Network::outbound}, {"host", Network::host}}));
  return {};
}

Stored store_metrics(AgentRequest& request, const std::string& value) {
  const std::size_t colon = value.rfind(':');
  const std::string address = colon == std::string::npos ? "127.0.0.1" : value.substr(0, colon);
  const std::string_view digits = std::string_view(value).substr(colon == std::string::npos ? 0 : colon + 1);
  std::uint16_t port = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool bracketed = address.starts_with('[') && address.ends_with(']');
  if (problem != std::errc{} || end != digits.data() + digits.size() || address.empty() ||
      (!bracketed && address.find(':') != std::string::npos))
    return wrong(fmt::format("'{}' is not ADDRESS:PORT, [ADDRESS]:PORT or PORT", value));
  request.settings.metrics = fmt::format("{}:{}", address, port);
  return {};
}

Stored store_memory(AgentRequest& request, const std::string& value) { return read_memory_limit(value, request.settings.limits); }

Stored store_cpus(AgentRequest& request, const std::string& value) { return read_cpus_limit(value, request.settings.limits); }

Stored store_pids(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(const std::uint32_t pids, whole_number(value, 0, 4'194'304));
  request.settings.limits.pids = unless_zero(pids);
  return {};
}

Stored store_disk(AgentRequest& request, const std::string& value) { return read_disk_limit(value, request.settings.limits); }

using S = AgentSettings;

constexpr AgentOption kOptions[] = {
    {{.name = "--help", .values = Values::none, .help = "Show this help message and exit. Also -h.", .alias = "-h", .ends = true}},
    {{.name = "--mock",
      .values = Values::none,
      .help = "Grade a bundled example lab for a small backend of our own on loopback, and print each result."},
     store_true<&S::mock>},
    {{.name = "--backend-url", .metavar = "URL", .help = "The backend. Default: http://localhost:5000"}, store_backend_url},
    {{.name = "--concurrent", .metavar = "N", .help = "Tasks at a time. Default: 2"}, store_number<&S::concurrent, 1, 1024>},
    {{.name = "--check-interval", .metavar = "TIME", .help = "Between questions for a task where there was none. Default: 5"},
     store_duration<&S::check_interval>},
    {{.name = "--check-proc-interval",
      .metavar = "TIME",
      .help = "Taken, and of no use: nothing here has to be looked at now and then. Default: 0.1"},
     store_duration<&S::check_proc_interval>},
    {{.name = "--timeout", .metavar = "TIME", .help = "For all tests of a task; 0: none. Default: 600"}, store_duration<&S::timeout>},
    {{.name = "--proxy-timeout",
      .metavar = "TIME",
      .help = "Given to the tests' command as --proxy_timeout, for the student's program; 0: not given. Default: 10"},
     store_duration<&S::proxy_timeout>},
    {{.name = "--get-api", .metavar = "PATH", .help = "Where to ask for tasks. Default: /api/task/available"}, store_path<&S::get_api>},
    {{.name = "--post-api", .metavar = "PATH", .help = "Where results go. Default: /api/task/result"}, store_path<&S::post_api>},
    {{.name = "--login-api", .metavar = "PATH", .help = "Where to log in. Default: /api/v1/login"}, store_path<&S::login_api>},
    {{.name = "--token-refresh-api", .metavar = "PATH", .help = "Where a token is refreshed. Default: /api/v1/auth/refresh"},
     store_path<&S::token_refresh_api>},
    {{.name = "--refresh-time", .metavar = "TIME", .help = "How long before its end a token is refreshed. Default: 60"},
     store_duration<&S::refresh_time>},
    {{.name = "--login", .metavar = "NAME", .help = "The user for --auth. Default: dora_explorer"}, store_text<&S::login>},
    {{.name = "--password",
      .metavar = "PASSWORD",
      .help = "The password for --auth. Better in a file (--password-file) or in the environment (CASEMATE_AGENT_PASSWORD). Default: "
              "dora_explorer"},
     store_password},
    {{.name = "--auth", .values = Values::none, .help = "Log in. Also -auth.", .alias = "-auth"}, store_true<&S::auth>},
    {{.name = "--logger-level", .metavar = "LEVEL", .help = "The least to log: debug, info, warning, error or critical. Default: error"},
     store_level},
    {{.name = "--logger-output", .metavar = "FILE", .help = "Where the log goes. Default: \"\", which is stdout"},
     store_text<&S::logger_output>},
    {{.name = "--tests-repo",
      .metavar = "URL[@REV]",
      .help = "The repository of the tests, and a branch, tag or commit of it. Needed, but with --mock.",
      .ours = true},
     store_tests_repo},
    {{.name = "--tests-command",
      .metavar = "COMMAND",
      .help = "What runs the tests, in the root of their repository. Default: python run_tests.py",
      .ours = true},
     store_tests_command},
    {{.name = "--image",
      .metavar = "IMAGE",
      .help = "The root of the cells (docker://NAME[:TAG], oci:DIR, ...). Default: host, the programs of this machine.",
      .ours = true},
     store_image},
    {{.name = "--isolation",
      .metavar = "WHAT",
      .help = "What of a task's tests shares a cell: run (all; default), file, module, class or test.",
      .ours = true},
     store_isolation},
    {{.name = "--slots",
      .metavar = "N",
      .help = "Cells at a time over all tasks, with an --isolation other than run. Default: CPUs",
      .ours = true},
     store_number<&S::slots, 0, 4096>},
    {{.name = "--memory", .metavar = "SIZE", .help = "Memory for a task's tests. Default: 2G; 0: no limit.", .ours = true}, store_memory},
    {{.name = "--cpus", .metavar = "N", .help = "CPUs they may use (1.5). Default: all.", .ours = true}, store_cpus},
    {{.name = "--pids", .metavar = "N", .help = "Processes and threads at a time. Default: 512; 0: no limit.", .ours = true}, store_pids},
    {{.name = "--disk", .metavar = "SIZE", .help = "What they may write. Default: 1G; 0: no limit.", .ours = true}, store_disk},
    {{.name = "--strict-skips", .values = Values::none, .help = "A test that was skipped counts against the student.", .ours = true},
     store_true<&S::strict_skips>},
    {{.name = "--clone-network",
      .metavar = "MODE",
      .help = "For git: outbound (the world, but not this host; default), host or none.",
      .ours = true},
     store_clone_network},
    {{.name = "--clone-credentials",
      .metavar = "FILE",
      .help = "Users and passwords of git servers, a line each: https://USER:PASSWORD@HOST (git-credential-store(1)).",
      .ours = true},
     store_text<&S::clone_credentials>},
    {{.name = "--allow-file-urls",
      .values = Values::none,
      .help = "Also take repositories of this machine: file: URLs and paths.",
      .ours = true},
     store_true<&S::allow_file_urls>},
    {{.name = "--wire", .metavar = "FORM", .help = "The form of results: a or b. Default: that of the task.", .ours = true}, store_wire},
    {{.name = "--ca-file",
      .metavar = "FILE",
      .help = "Certificates (PEM) that https is checked with, instead of the system's.",
      .ours = true},
     store_text<&S::ca_file>},
    {{.name = "--password-file", .metavar = "FILE", .help = "A file with the password on its first line.", .ours = true},
     store_password_file},
    {{.name = "--once", .values = Values::none, .help = "Grade one task, post its result, and exit.", .ours = true}, store_true<&S::once>},
    {{.name = "--json-log", .values = Values::none, .help = "Log JSON objects, one a line.", .ours = true}, store_true<&S::json_log>},
    {{.name = "--metrics",
      .metavar = "[ADDRESS:]PORT",
      .help = "Serve metrics for Prometheus at /metrics; on loopback where no address is given.",
      .ours = true},
     store_metrics},
    {{.name = "--state-dir",
      .metavar = "DIR",
      .help = "Where tasks and results are kept. Default: agent in $CASEMATE_STATE_DIR, or in ~/.local/state/casemate",
      .ours = true},
     store_text<&S::state_directory>},
    {{.name = "--keep-tasks", .metavar = "N", .help = "Of how many tasks reports and output are kept. Default: 100", .ours = true},
     store_number<&S::keep_tasks, 0, 1'000'000>},
    {{.name = "--version", .values = Values::none, .help = "Print casemate's version and exit.", .ours = true, .ends = true}},
};

}  // namespace

std::span<const AgentOption> agent_options() { return kOptions; }

Result<RepositoryAt> read_repository_at(std::string_view text) {
  // Where the path begins: an '@' before it is a user's.
  std::size_t path = 0;
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    path = text.find('/', scheme + 3);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos && colon < text.find('/')) {
    path = colon + 1;
  }
  std::size_t at = std::string_view::npos;
  if (path != std::string_view::npos) {
    const std::string_view rest = text.substr(path);
    const std::size_t name = rest.rfind('/') == std::string_view::npos ? 0 : rest.rfind('/') + 1;
    const std::size_t last = rest.rfind('@');
    const std::size_t suffix = rest.find(".git@");
    if (suffix != std::string_view::npos)
      at = path + suffix + 4;
    else if (last != std::string_view::npos && last >= name)
      at = path + last;
  }
  RepositoryAt repository{std::string(text.substr(0, at)), at == std::string_view::npos ? "" : std::string(text.substr(at + 1))};
  if (repository.url.empty()) return wrong("the URL of a repository can't be empty");
  if (at != std::string_view::npos && repository.revision.empty()) return wrong("there is no revision after the '@'");
  return repository;
}

}  // namespace casemate
