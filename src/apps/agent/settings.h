// settings: what the command line of `casemate agent` (also ostest-runner), the environment and files of secrets say, as plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// In which of the two forms a result is posted.
enum class WireForm {
  attempt,  ///< A: task key "attempt", durations as text of seconds
  uuid,     ///< B: task key "id", durations in whole milliseconds
};

/// How much a line of the log matters, least first.
enum class LogLevel { debug, info, warning, error, critical };

/// What of a task's tests may share a cell. "run": all of them, as the tests' command runs them; the rest as `casemate pytest` has it.
inline constexpr std::string_view kAgentIsolations[] = {"run", "test", "class", "module", "file"};

/// All of ostest-runner's flags with its defaults, and ours.
struct AgentSettings {
  // ---- ostest-runner's
  bool mock = false;  ///< own small backend on loopback, own example lab
  std::string backend_url = "http://localhost:5000";
  std::uint32_t concurrent = 2;
  std::chrono::milliseconds check_interval = std::chrono::seconds(5);              ///< between polls that found nothing
  std::chrono::milliseconds check_proc_interval = std::chrono::milliseconds(100);  ///< accepted and unused: workers are waited for
  std::chrono::milliseconds timeout = std::chrono::seconds(600);                   ///< of the tests' run; 0: none
  std::chrono::milliseconds proxy_timeout = std::chrono::seconds(10);              ///< --proxy_timeout of the tests' command; 0: not given
  std::string get_api = "/api/task/available";
  std::string post_api = "/api/task/result";
  std::string login_api = "/api/v1/login";
  std::string token_refresh_api = "/api/v1/auth/refresh";
  std::chrono::milliseconds refresh_time = std::chrono::seconds(60);  ///< a token is refreshed this long before it ends, at the latest
  std::string login = "dora_explorer";
  std::string password = "dora_explorer";  ///< from the flag, CASEMATE_AGENT_PASSWORD or --password-file
  bool auth = false;
  LogLevel logger_level = LogLevel::error;
  std::string logger_output;  ///< "": stdout
  // ---- Ours
  std::optional<WireForm> wire;                                         ///< forced; unset: the form of each task
  std::string tests_repo;                                               ///< URL; "": --mock's own, else it is an error
  std::string tests_revision;                                           ///< branch, tag or commit; "": HEAD
  std::vector<std::string> tests_command = {"python", "run_tests.py"};  ///< run in the tests' tree; the contract's arguments are added
  std::string image;                                                    ///< "": the host
  std::string ca_file;
  Limits limits;                  ///< of the tests' cell; see default_agent_limits()
  std::uint32_t slots = 0;        ///< tests (or classes, ... ) at a time over all tasks, with an isolation other than "run"; 0: CPUs
  std::string isolation = "run";  ///< what shares a cell: one of kAgentIsolations
  bool strict_skips = false;
  bool once = false;  ///< one task, then exit
  bool json_log = false;
  bool allow_file_urls = false;  ///< repositories by file: URL or path
  Network clone_network = Network::outbound;
  std::string clone_credentials;   ///< a file in git-credential-store(1)'s format; "": none
  std::string metrics;             ///< "ADDRESS:PORT", "[ADDRESS]:PORT"; "": none
  std::uint32_t keep_tasks = 100;  ///< whose artifacts stay
  std::string state_directory;     ///< "": agent in state_directory() (with `mock`: agent-mock)
};

/// 2 GiB of memory, 512 processes, 1 GiB and 131,072 files written, 64 MiB of output; no wall time (AgentSettings::timeout is its own).
[[nodiscard]] Limits default_agent_limits();

/// What a command line asks for.
struct ParsedAgentArguments {
  enum class Action { run, help, version };
  Action action = Action::run;
  AgentSettings settings;
};

/// Reads a command line as argparse reads ostest-runner's (unambiguous beginnings of options, `-auth` too), then the environment and files
/// of secrets. Fails with invalid_input; `what` is one line that says what to change.
Result<ParsedAgentArguments> parse_agent_arguments(const std::vector<std::string>& arguments);
/// What --help prints; `program` is what the user typed.
[[nodiscard]] std::string agent_help(std::string_view program);

/// The environment variable that a password may be in.
inline constexpr const char* kPasswordVariable = "CASEMATE_AGENT_PASSWORD";

/// Overwrites what stands for --password in the arguments of this process, for all who may look into its command line. They must have been
/// copied before.
void hide_passwords(int argc, char** argv);
/// Removes kPasswordVariable from the environment of this process and of those that it starts, and its bytes from /proc/PID/environ.
void hide_password_variable();

/// A repository and what of it.
struct RepositoryAt {
  std::string url;
  std::string revision;  ///< "": HEAD
};
/// "URL[@REV]", where URL may be one with user and host ("git@host:tests.git@v1"). A revision with a slash in it needs a repository that
/// ends with ".git". Fails with invalid_input for an empty URL or revision.
Result<RepositoryAt> read_repository_at(std::string_view text);

}  // namespace casemate
