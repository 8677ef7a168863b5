#include "apps/agent/options.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/image/naming.h"
#include "base/shell_words.h"
#include "base/units.h"

namespace casemate {
namespace {

using Stored = Result<void>;

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
  if (!named) return wrong(fmt::format("'{}' is not http://HOST[:PORT] or https://HOST[:PORT]", value));
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
  constexpr std::pair<std::string_view, LogLevel> kLevels[] = {{"debug", LogLevel::debug},
                                                               {"info", LogLevel::info},
                                                               {"warning", LogLevel::warning},
                                                               {"error", LogLevel::error},
                                                               {"critical", LogLevel::critical}};
  for (const auto& [name, level] : kLevels) {
    if (value != name) continue;
    request.settings.logger_level = level;
    return {};
  }
  return wrong(fmt::format("invalid choice: '{}' (choose from 'debug', 'info', 'warning', 'error', 'critical')", value));
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
  if (value != "a" && value != "b") return wrong(fmt::format("invalid choice: '{}' (choose from 'a', 'b')", value));
  request.settings.wire = value == "a" ? WireForm::attempt : WireForm::uuid;
  return {};
}

Stored store_isolation(AgentRequest& request, const std::string& value) {
  if (std::find(std::begin(kAgentIsolations), std::end(kAgentIsolations), value) == std::end(kAgentIsolations))
    return wrong(fmt::format("invalid choice: '{}' (choose from '{}')", value, fmt::join(kAgentIsolations, "', '")));
  request.settings.isolation = value;
  return {};
}

Stored store_clone_network(AgentRequest& request, const std::string& value) {
  if (value != "none" && value != "outbound" && value != "host")
    return wrong(fmt::format("invalid choice: '{}' (choose from 'none', 'outbound', 'host')", value));
  request.settings.clone_network = value == "none" ? Network::none : value == "host" ? Network::host : Network::outbound;
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

Stored store_memory(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(const std::uint64_t bytes, parse_bytes(value));
  constexpr std::uint64_t kLeast = 6u << 20;  // docker's: less can't start a program
  if (bytes != 0 && bytes < kLeast)
    return wrong(fmt::format("'{}' is too little to run Python; give at least 6M, or 0 for no limit", value));
  request.settings.limits.memory_bytes = unless_zero(bytes);
  return {};
}

Stored store_cpus(AgentRequest& request, const std::string& value) {
  double cpus = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), cpus, std::chars_format::fixed);
  const bool number = problem == std::errc{} && end == value.data() + value.size() && cpus >= 0 && cpus <= 4096;
  if (!number || (cpus > 0 && cpus < 0.01))
    return wrong(fmt::format("'{}' is not a number of CPUs; write for example 1.5, or 0 for no limit", value));
  request.settings.limits.cpus = unless_zero(cpus);
  return {};
}

Stored store_pids(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(const std::uint32_t pids, whole_number(value, 0, 4'194'304));
  request.settings.limits.pids = unless_zero(pids);
  return {};
}

Stored store_disk(AgentRequest& request, const std::string& value) {
  TRY_ASSIGN(const std::uint64_t bytes, parse_bytes(value));
  request.settings.limits.disk_bytes = unless_zero(bytes);
  if (bytes == 0) request.settings.limits.disk_inodes.reset();
  return {};
}

using S = AgentSettings;

constexpr AgentOption kOptions[] = {
    {"--help", "", false, "Show this help message and exit. Also -h."},
    {"--mock", "", false, "Grade a bundled example lab for a small backend of our own on loopback, and print each result.",
     store_true<&S::mock>},
    {"--backend-url", "URL", false, "The backend. Default: http://localhost:5000", store_backend_url},
    {"--concurrent", "N", false, "Tasks at a time. Default: 2", store_number<&S::concurrent, 1, 1024>},
    {"--check-interval", "TIME", false, "Between questions for a task where there was none. Default: 5",
     store_duration<&S::check_interval>},
    {"--check-proc-interval", "TIME", false, "Taken, and of no use: nothing here has to be looked at now and then. Default: 0.1",
     store_duration<&S::check_proc_interval>},
    {"--timeout", "TIME", false, "For all tests of a task; 0: none. Default: 600", store_duration<&S::timeout>},
    {"--proxy-timeout", "TIME", false,
     "Given to the tests' command as --proxy_timeout, for the student's program; 0: not given. Default: 10",
     store_duration<&S::proxy_timeout>},
    {"--get-api", "PATH", false, "Where to ask for tasks. Default: /api/task/available", store_path<&S::get_api>},
    {"--post-api", "PATH", false, "Where results go. Default: /api/task/result", store_path<&S::post_api>},
    {"--login-api", "PATH", false, "Where to log in. Default: /api/v1/login", store_path<&S::login_api>},
    {"--token-refresh-api", "PATH", false, "Where a token is refreshed. Default: /api/v1/auth/refresh", store_path<&S::token_refresh_api>},
    {"--refresh-time", "TIME", false, "How long before its end a token is refreshed. Default: 60", store_duration<&S::refresh_time>},
    {"--login", "NAME", false, "The user for --auth. Default: dora_explorer", store_text<&S::login>},
    {"--password", "PASSWORD", false,
     "The password for --auth. Better in a file (--password-file) or in the environment (CASEMATE_AGENT_PASSWORD). Default: dora_explorer",
     store_password},
    {"--auth", "", false, "Log in. Also -auth.", store_true<&S::auth>},
    {"--logger-level", "LEVEL", false, "The least to log: debug, info, warning, error or critical. Default: error", store_level},
    {"--logger-output", "FILE", false, "Where the log goes. Default: \"\", which is stdout", store_text<&S::logger_output>},
    {"--tests-repo", "URL[@REV]", true, "The repository of the tests, and a branch, tag or commit of it. Needed, but with --mock.",
     store_tests_repo},
    {"--tests-command", "COMMAND", true, "What runs the tests, in the root of their repository. Default: python run_tests.py",
     store_tests_command},
    {"--image", "IMAGE", true, "The root of the cells (docker://NAME[:TAG], oci:DIR, ...). Default: host, the programs of this machine.",
     store_image},
    {"--isolation", "WHAT", true, "What of a task's tests shares a cell: run (all; default), file, module, class or test.",
     store_isolation},
    {"--slots", "N", true, "Cells at a time over all tasks, with an --isolation other than run. Default: CPUs",
     store_number<&S::slots, 0, 4096>},
    {"--memory", "SIZE", true, "Memory for a task's tests. Default: 2G; 0: no limit.", store_memory},
    {"--cpus", "N", true, "CPUs they may use (1.5). Default: all.", store_cpus},
    {"--pids", "N", true, "Processes and threads at a time. Default: 512; 0: no limit.", store_pids},
    {"--disk", "SIZE", true, "What they may write. Default: 1G; 0: no limit.", store_disk},
    {"--strict-skips", "", true, "A test that was skipped counts against the student.", store_true<&S::strict_skips>},
    {"--clone-network", "MODE", true, "For git: outbound (the world, but not this host; default), host or none.", store_clone_network},
    {"--allow-file-urls", "", true, "Also take repositories of this machine: file: URLs and paths.", store_true<&S::allow_file_urls>},
    {"--wire", "FORM", true, "The form of results: a or b. Default: that of the task.", store_wire},
    {"--ca-file", "FILE", true, "Certificates (PEM) that https is checked with, instead of the system's.", store_text<&S::ca_file>},
    {"--password-file", "FILE", true, "A file with the password on its first line.", store_password_file},
    {"--once", "", true, "Grade one task, post its result, and exit.", store_true<&S::once>},
    {"--json-log", "", true, "Log JSON objects, one a line.", store_true<&S::json_log>},
    {"--metrics", "[ADDRESS:]PORT", true, "Serve metrics for Prometheus at /metrics; on loopback where no address is given.",
     store_metrics},
    {"--state-dir", "DIR", true, "Where tasks and results are kept. Default: agent in $CASEMATE_STATE_DIR, or in ~/.local/state/casemate",
     store_text<&S::state_directory>},
    {"--keep-tasks", "N", true, "Of how many tasks reports and output are kept. Default: 100", store_number<&S::keep_tasks, 0, 1'000'000>},
    {"--version", "", true, "Print casemate's version and exit."},
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
