// arguments: the command line of `casemate script` (also py_test_runner) as plain data.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "command/remote_options.h"
#include "image/pull.h"
#include "image/reference.h"
#include "report/table.h"

namespace casemate {

/// What the user asked for, as typed: paths are not looked at yet.
struct ScriptRequest {
  std::string script;
  std::string requirements;
  std::vector<std::string> inputs;
  std::vector<std::string> script_arguments;  ///< --script-args, split into words
  bool json = false;
  bool cache = false;  ///< the script is deterministic: --cache
  bool quiet = false;
  Color color = Color::automatic;
  std::string python_version;           ///< "": the python3 first on PATH
  std::optional<ImageReference> image;  ///< unset: the host, or an image for a version that the host lacks
  PullOptions pull;
  std::string lock;                 ///< the file that pins tags to digests; "": none
  std::string executor = "native";  ///< native, docker, remote
  bool executor_chosen = false;     ///< --executor was typed
  RemoteWords remote_words;
  std::optional<RemoteChoice> remote;  ///< the engine of "remote"
  std::string results = "results";
  std::map<std::string, std::string> environment;  ///< --env, over what the script gets anyway
  Limits limits;
  Network network = Network::outbound;

  ScriptRequest();
};

/// The bounds when the user gives none: 2 GiB of memory, 512 processes, 1 GiB and 131,072 files written, 64 MiB of output kept; no timeout.
[[nodiscard]] Limits default_script_limits();

/// What a command line asks for.
struct ParsedArguments {
  enum class Action { run, help, version };
  Action action = Action::run;
  ScriptRequest request;
};

/// Reads a command line as Python's argparse reads that of py_test_runner.py: `--opt value`, `--opt=value`, unambiguous beginnings of
/// options, several values after --inputs; a beginning that is unambiguous among py_test_runner's own options keeps its meaning whatever we
/// added. Ours on top:
/// --inputs may be repeated and adds up, and --script-args takes the next argument even if it begins with a dash, unless that is an option.
/// An engine that --executor does not name is one that --remote, a variable or casemate.toml names (remote_choice()).
/// Fails with invalid_input, or not_supported; `what` is the line that argparse would print after "error: ".
Result<ParsedArguments> parse_script_arguments(const std::vector<std::string>& arguments);

/// Whether --json-output is among `arguments`, also when they can't be parsed: a machine that asked for an object gets one.
[[nodiscard]] bool asks_for_json(const std::vector<std::string>& arguments);

/// "usage: ..." as argparse prints it before an error, with a newline at its end.
[[nodiscard]] std::string script_usage(std::string_view program);
/// What --help prints.
[[nodiscard]] std::string script_help(std::string_view program);

}  // namespace casemate
