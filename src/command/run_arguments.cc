#include "command/run_arguments.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <sstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/terminal.h"
#include "base/units.h"
#include "cell/plan.h"
#include "command/command_line.h"
#include "command/job_root.h"
#include "command/mounts.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr const char* kRunFooter =
    R"(After the options comes the command with its arguments: casemate run [OPTIONS] -- COMMAND [ARGUMENT...]

Examples:
  casemate run -- python3 -c 'print(1)'
  casemate run --memory 128m --timeout 10 -e LANG=C.UTF-8 --inputs build.sh -- ./build.sh
  casemate run --inputs data.csv --outputs out -- python3 -c 'open("made.txt","w").write(open("data.csv").read())'
  casemate run -v "$PWD":/src:ro -w /src --network host -- make -C /src -n
  casemate run --image docker://python:3.11-slim --layer '{ glob = "**.py" }' -- python3 main.py
  casemate run --cache --inputs src --outputs out -- python3 src/train.py

Exit status: the command's own; 124 timed out, 125 casemate could not run it, 126 the command can't be executed,
127 it was not found, 128+N it was killed by signal N (137 also for a memory limit).)";

constexpr const char* kExplainFooter =
    R"(After the options, which are those of 'casemate run', comes the command: casemate explain [OPTIONS] -- COMMAND [ARGUMENT...]
Printed are the trees of the host that the cell shows, how ids map, who holds each limit here, the steps of the cell's first process
and of the command's, and the system calls that are allowed.

Examples:
  casemate explain -- true
  casemate explain --profile strict --network outbound --memory 64m -- python3 job.py
  casemate explain --json -v "$PWD":/src -- make
  casemate explain --image oci:./layout -- true
  casemate explain --why --inputs src -- python3 src/train.py

Exit status: 0 the plan was printed, 125 there is none: a wrong option, a mount source that is not there, what this host can't do.)";

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

Result<std::uint32_t> parse_id(std::string_view text) {
  std::uint32_t id = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (problem != std::errc{} || end != text.data() + text.size() || text.empty())
    return invalid(fmt::format("'{}' is not a numeric user or group id", text));
  return id;
}

Result<User> parse_user(std::string_view text) {
  User user;
  const auto colon = text.find(':');
  TRY_ASSIGN(user.uid, parse_id(text.substr(0, colon)));
  user.gid = user.uid;
  if (colon != std::string_view::npos) {
    TRY_ASSIGN(user.gid, parse_id(text.substr(colon + 1)));
  }
  return user;
}

// "A=B": sets it; "A": takes the caller's value, if there is one.
Result<void> add_environment(Job& job, const std::string& text) {
  const auto equals = text.find('=');
  if (text.empty() || equals == 0) return invalid(fmt::format("-e '{}': write NAME=VALUE or NAME", text));
  if (text.substr(0, equals).find_first_of(" \t") != std::string::npos)
    return invalid(fmt::format("-e '{}': a variable's name has no blanks", text));
  if (equals == std::string::npos) {
    if (const char* value = std::getenv(text.c_str())) job.env[text] = value;
    return {};
  }
  job.env[text.substr(0, equals)] = text.substr(equals + 1);
  return {};
}

Result<void> add_environment_file(Job& job, const std::string& path) {
  TRY_ASSIGN(const std::string content, read_file(path, 1 << 20));
  std::istringstream lines(content);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    TRY(add_environment(job, line));
  }
  return {};
}

/// The words of the command line as CLI11 collects them, before they are given meaning.
struct Words {
  std::vector<std::string> env, env_files, volumes, mounts, tmpfs, cap_add, cap_drop, inputs, host_paths, command;
  std::string workdir, memory, cpus, pids, network, user, timeout, cpu_time, disk, inodes, output_limit, file_size, open_files, hostname,
      profile = "default", outputs, executor, name;
  RootWords root;
  RemoteWords remote;
  bool read_only = false, interactive = false, tty = false, json = false, quiet = false, cache = false, why = false, rm = false,
       init = false;
};

// An option that may be repeated takes one word each time (allow_extra_args(false)): the next one may be the command. Only --inputs takes
// many.
void declare(CLI::App& app, Words& words) {
  app.add_option("-e,--env", words.env, "environment of the command: NAME=VALUE, or NAME to pass the caller's on")
      ->type_name("NAME[=VALUE]")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--env-file", words.env_files, "the same, a line each")
      ->type_name("FILE")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("-w,--workdir", words.workdir, "working directory in the cell [/app; of an image: its own]")->type_name("DIR");
  app.add_option("-v,--volume", words.volumes, "show a host path in the cell (read-only with :ro)")
      ->type_name("SRC:DST[:ro]")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--mount", words.mounts,
                 "type=bind|overlay|tmpfs|proc|sysfs|mqueue|devpts|device,source=...,target=...[,readonly]; an overlay can be written, "
                 "its source stays as it is")
      ->type_name("SPEC")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--tmpfs", words.tmpfs, "an empty private file system")
      ->type_name("DST[:size=,mode=]")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("-m,--memory", words.memory, "memory of all processes and files in the cell [512m]; 0: no limit")->type_name("SIZE");
  app.add_option("--cpus", words.cpus, "CPU bandwidth in cores, for example 0.5")->type_name("N");
  app.add_option("--pids-limit", words.pids, "processes and threads at a time [256]; 0 or -1: no limit")->type_name("N");
  app.add_option("--timeout", words.timeout, "end the command after this wall time (2s, 500ms, 1m30s)")->type_name("TIME");
  app.add_option("--cpu-time", words.cpu_time, "end the command after this CPU time")->type_name("TIME");
  app.add_option("--disk", words.disk, "size of each writable layer [256m]")->type_name("SIZE");
  app.add_option("--inodes", words.inodes, "files in each writable layer [32768]")->type_name("N");
  app.add_option("--file-size", words.file_size, "size of any one file [1t]")->type_name("SIZE");
  app.add_option("--open-files", words.open_files, "open files a process [1024]")->type_name("N");
  app.add_option("--output-limit", words.output_limit, "end the command when it has written more than this to stdout and stderr")
      ->type_name("SIZE");
  app.add_option("--network,--net", words.network, "none (only loopback), outbound (through pasta or slirp4netns), host [none]")
      ->type_name("KIND");
  app.add_flag("--read-only", words.read_only, "only /tmp, /dev/shm and mounts can be written");
  app.add_option("-u,--user", words.user, "ids in the cell, or names of the image [0:0; of an image: its own]")->type_name("USER[:GROUP]");
  app.add_option("--cap-add", words.cap_add, "keep a capability, in the cell's user namespace (all are dropped)")
      ->type_name("NAME")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--cap-drop", words.cap_drop, "accepted as docker's: all are dropped anyway")
      ->type_name("NAME")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--profile", words.profile, "default or strict: see 'casemate explain'")->type_name("NAME")->capture_default_str();
  app.add_option("--inputs", words.inputs, "copy files or directories into the working directory; end the list with another option or --")
      ->type_name("PATH...")
      ->expected(1, -1);
  app.add_option("--outputs", words.outputs, "bring files that the command made or changed in the working directory here")
      ->type_name("DIR");
  app.add_flag("-i,--interactive", words.interactive, "the command reads our stdin (otherwise it gets /dev/null)");
  app.add_flag("-t,--tty", words.tty, "docker's: refused, a cell has no terminal yet; -i alone passes stdin on");
  app.add_option("--hostname", words.hostname, "host name in the cell")->type_name("NAME");
  app.add_option("--host-path", words.host_paths,
                 "image host: show these host paths and the root's links into them, no others, read-only [/usr, /etc, /opt]")
      ->type_name("PATH")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  declare_root_options(app, words.root);
  app.add_option("--executor", words.executor,
                 "native: cells of this machine; docker: containers of a Docker Engine or podman; remote: a remote "
                 "execution engine [native, or what --remote, CASEMATE_REMOTE or casemate.toml names]")
      ->type_name("NAME");
  app.add_flag("--cache", words.cache, "the command is deterministic: with the same inputs it is not run again, its result is kept");
  app.add_option("--name", words.name, "for reports and history")->type_name("NAME");
  app.add_flag("--json", words.json, "print one JSON object with everything instead of the command's output");
  app.add_flag("-q,--quiet", words.quiet, "no line of ours on stderr");
  app.add_flag("--rm", words.rm, "accepted as docker's: a cell is always removed");
  app.add_flag("--init", words.init, "accepted as docker's: a cell always has an init");
}

Result<void> set_limits(Limits& limits, const Words& words) {
  const auto bytes = [](const std::string& text, const char* flag, std::optional<std::uint64_t>& into) -> Result<void> {
    if (text.empty()) return {};
    const auto value = parse_bytes(text);
    if (!value) return invalid(fmt::format("{}: {}", flag, value.error().what));
    into = *value == 0 ? std::nullopt : std::optional(*value);
    return {};
  };
  const auto time = [](const std::string& text, const char* flag, std::optional<std::chrono::milliseconds>& into) -> Result<void> {
    if (text.empty()) return {};
    const auto value = parse_duration(text);
    if (!value) return invalid(fmt::format("{}: {}", flag, value.error().what));
    into = value->count() == 0 ? std::nullopt : std::optional(*value);
    return {};
  };
  const auto count = [](const std::string& text, const char* flag, std::uint64_t& into) -> Result<void> {
    if (text.empty()) return {};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (problem != std::errc{} || end != text.data() + text.size())
      return invalid(fmt::format("{} '{}' is not a whole number", flag, text));
    return {};
  };
  TRY(bytes(words.memory, "--memory", limits.memory_bytes));
  TRY(bytes(words.disk, "--disk", limits.disk_bytes));
  TRY(bytes(words.file_size, "--file-size", limits.file_bytes));
  TRY(bytes(words.output_limit, "--output-limit", limits.output_bytes));
  TRY(time(words.timeout, "--timeout", limits.wall));
  TRY(time(words.cpu_time, "--cpu-time", limits.cpu_time));
  std::uint64_t number = limits.disk_inodes.value_or(0);
  TRY(count(words.inodes, "--inodes", number));
  limits.disk_inodes = number;
  number = limits.open_files.value_or(0);
  TRY(count(words.open_files, "--open-files", number));
  limits.open_files = number;
  if (words.pids == "-1" || words.pids == "0") {
    limits.pids.reset();
  } else if (!words.pids.empty()) {
    number = 0;
    TRY(count(words.pids, "--pids-limit", number));
    if (number > 4'194'304) return invalid("--pids-limit: the kernel has at most 4194304 processes");
    limits.pids = static_cast<std::uint32_t>(number);
  }
  if (!words.cpus.empty()) {
    double cpus = 0;
    const auto [end, problem] = std::from_chars(words.cpus.data(), words.cpus.data() + words.cpus.size(), cpus);
    if (problem != std::errc{} || end != words.cpus.data() + words.cpus.size())
      return invalid(fmt::format("--cpus '{}' is not a number", words.cpus));
    limits.cpus = cpus;
  }
  return {};
}

// What a container's file says, below the command line's words.
void take_container(RunRequest& request, const ContainerSpec& container) {
  Job& job = request.job;
  if (container.working_directory) job.cwd = *container.working_directory;
  request.directory_chosen = container.working_directory.has_value();
  job.read_only = !container.enable_writable_file_system;
  job.mounts = container.mounts;
  if (container.network) job.network = *container.network;
  const Limits& asked = container.limits;
  const auto take = [](const auto& from, auto& into) {
    if (from) into = from;
  };
  take(asked.memory_bytes, job.limits.memory_bytes);
  take(asked.pids, job.limits.pids);
  take(asked.cpus, job.limits.cpus);
  take(asked.wall, job.limits.wall);
  take(asked.disk_bytes, job.limits.disk_bytes);
}

Result<void> set_mounts(RunRequest& request, const Words& words) {
  Job& job = request.job;
  const std::vector<Mount> below = std::move(job.mounts);
  job.mounts.clear();
  for (const std::string& text : words.volumes) {
    TRY_ASSIGN(Mount mount, parse_volume(text));
    job.mounts.push_back(std::move(mount));
  }
  for (const std::string& text : words.mounts) {
    TRY_ASSIGN(Mount mount, parse_mount(text));
    job.mounts.push_back(std::move(mount));
  }
  for (const std::string& text : words.tmpfs) {
    TRY_ASSIGN(Mount mount, parse_tmpfs(text));
    job.mounts.push_back(std::move(mount));
  }
  const auto is_replaced = [&](const Mount& mount) {
    return std::any_of(job.mounts.begin(), job.mounts.end(), [&](const Mount& typed) { return typed.target == mount.target; });
  };
  std::vector<Mount> all;
  std::copy_if(below.begin(), below.end(), std::back_inserter(all), [&](const Mount& mount) { return !is_replaced(mount); });
  all.insert(all.end(), job.mounts.begin(), job.mounts.end());
  job.mounts = std::move(all);
  request.inputs = words.inputs;
  if (!words.outputs.empty()) request.outputs = absolute_host_path(words.outputs);
  return {};
}

// The command out of what the parser left over, the end of `arguments`. Without a "--" before it a word with a dash is a misspelt option of
// ours.
Result<std::vector<std::string>> command_of(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::vector<std::string> rest = app.remaining();
  TRY(check_lock_words({arguments.begin(), arguments.end() - static_cast<std::ptrdiff_t>(rest.empty() ? 0 : rest.size() - 1)}));
  if (rest.empty()) return rest;
  const bool marked = rest[0] == "--" || (arguments.size() > rest.size() && arguments[arguments.size() - rest.size() - 1] == "--");
  if (rest[0] == "--") {
    rest.erase(rest.begin());
  } else if (!marked && rest[0].starts_with('-') && rest[0].size() > 1) {
    const std::string meant = nearest_option(app, rest[0]);
    return invalid(
        fmt::format("there is no option '{}'{} --help lists them, and -- goes before the command", rest[0], meant.empty() ? ";" : meant));
  }
  return rest;
}

void set_directory(RunRequest& request, const Words& words) {
  if (!words.workdir.empty()) {
    request.job.cwd = words.workdir;
    request.directory_chosen = true;
  } else if (!request.directory_chosen) {
    request.job.cwd = request.root ? "" : "/app";  // the root's own, when it is there
  }
}

Result<void> set_walls(Job& job, const Words& words) {
  if (words.network.empty()) {
    // none, or the container's
  } else if (words.network == "none") {
    job.network = Network::none;
  } else if (words.network == "outbound" || words.network == "bridge") {
    job.network = Network::outbound;
  } else if (words.network == "host") {
    job.network = Network::host;
  } else {
    return invalid(fmt::format("--network '{}': choose none, outbound or host", words.network));
  }
  if (words.profile == "strict") {
    job.profile = Profile::strict;
  } else if (words.profile != "default") {
    return invalid(fmt::format("--profile '{}': choose default or strict", words.profile));
  }
  return {};
}

// An engine that nobody asked for by --executor is one that --remote, a variable or a file names.
Result<void> set_executor(RunRequest& request, const Words& words) {
  if (!words.executor.empty() && words.executor != "remote") {
    request.executor = words.executor;
    if (words.remote.address.empty()) return {};
    return invalid(fmt::format("--executor {} runs nothing on a remote engine: leave it or --remote out", words.executor));
  }
  TRY_ASSIGN(request.remote, remote_choice(words.remote, "."));
  if (request.remote) request.executor = "remote";
  if (!request.remote && words.executor == "remote") return invalid("--executor remote needs an engine: --remote ADDRESS");
  return {};
}

Result<RunRequest> meaning(const Words& words, bool explains) {
  RunRequest request;
  Job& job = request.job;
  job.limits = default_limits();
  TRY_ASSIGN(const std::optional<ContainerSpec> container, read_container(words.root));
  TRY_ASSIGN(request.root, root_request(words.root, container));
  if (container) take_container(request, *container);
  job.argv = words.command;
  job.name = words.name;
  set_directory(request, words);
  job.host_paths = words.host_paths;
  job.read_only = job.read_only || words.read_only;
  job.capabilities = words.cap_add;
  job.forward_stdin = words.interactive;
  job.stdin_fd = 0;
  if (!words.hostname.empty()) job.hostname = words.hostname;
  // What command there is an image says when it is there.
  const bool has_image = request.root && request.root->image.kind != ImageReference::Kind::host;
  const bool has_entrypoint = request.root && request.root->entrypoint && !request.root->entrypoint->empty();
  if (job.argv.empty() && !has_image && !has_entrypoint)
    return invalid(
        fmt::format("no command{}; write: casemate run [flags] -- COMMAND [ARGUMENT...]",
                    container ? fmt::format(", and {} has no image that could say which", printable_name(words.root.container)) : ""));
  if (words.tty)
    return invalid(fmt::format("-t is not supported yet: a cell has no terminal; {}",
                               words.interactive ? "-i is: write -i for -it, and standard input goes to the command through a pipe"
                                                 : "leave it out, or write -i to pass standard input on through a pipe"));
  TRY(set_walls(job, words));
  request.user = words.user;
  if (!has_image && !words.user.empty()) {
    TRY_ASSIGN(job.user, parse_user(words.user));
  }
  for (const std::string& path : words.env_files) TRY(add_environment_file(job, path));
  for (const std::string& text : words.env) TRY(add_environment(job, text));
  if (!request.root) add_least_environment(job);
  TRY(set_limits(job.limits, words));
  TRY(set_mounts(request, words));
  request.job.deterministic = words.cache;
  request.why = words.why;
  if (!explains || words.why) {
    TRY(set_executor(request, words));
    if (explains && request.remote && request.remote->image_as_property)
      return invalid("what runs with --remote-image property has its results at the engine alone: it can't be told why");
  } else if (!words.remote.address.empty()) {
    return invalid("an action has no plan of a cell to print: leave --remote out");
  }
  request.json = words.json;
  request.quiet = words.quiet;
  return request;
}

// The words of a command line with options, by CLI11; where that ends the matter (help, a mistake) `parsed` says so.
Words read_words(const std::vector<std::string>& arguments, std::string_view program, ParsedRun& parsed) {
  Words words;
  const bool explains = program == "casemate explain";
  CLI::App app(explains ? "Print what the kernel would be asked to do for a job, and run nothing."
                        : "Run one command in a fresh cell: namespaces, root, limits and system call filter of its own.",
               std::string(program));
  app.footer(explains ? kExplainFooter : kRunFooter);
  app.prefix_command();
  app.get_formatter()->column_width(34);
  declare(app, words);
  declare_remote_options(app, words.remote);
  if (explains) app.add_flag("--why", words.why, "print instead which inputs have changed since the command last ran with --cache");
  if (auto* json = app.get_option_no_throw("--json"); json && explains) json->description("print one JSON object instead of text");
  // Everything from the first word that is no option belongs to the command, as it is; CLI11 would drop a "--" further on.
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    parsed.stop = true;
    parsed.text = app.help();
    return words;
  } catch (const CLI::ParseError& error) {
    parsed.stop = true;
    parsed.exit_status = 125;
    parsed.request.json = asks_for_json_object(arguments);
    parsed.text = fmt::format("{}: {} (see '{} --help')", program, error.what(), program);
    return words;
  }
  parsed.request.json = words.json;
  if (auto command = command_of(app, arguments)) {
    words.command = std::move(*command);
  } else {
    parsed.stop = true;
    parsed.exit_status = 125;
    parsed.text = fmt::format("{}: {}", program, command.error().what);
  }
  return words;
}

// The command where nothing but it is given, after "--" or without; empty if there are options, or nothing.
std::vector<std::string> plain_command(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0].empty()) return {};
  if (arguments[0] == "--") return {arguments.begin() + 1, arguments.end()};
  return arguments[0][0] == '-' ? std::vector<std::string>() : arguments;
}

}  // namespace

ParsedRun parse_run(const std::vector<std::string>& arguments, std::string_view program) {
  ParsedRun parsed;
  Words words;
  words.command = plain_command(arguments);
  // To declare thirty options costs more than to make the cell's cgroups: only where there is one.
  if (words.command.empty()) words = read_words(arguments, program, parsed);
  if (parsed.stop) return parsed;
  auto request = meaning(words, program == "casemate explain");
  if (!request) {
    parsed.stop = true;
    parsed.exit_status = 125;
    parsed.text = fmt::format("{}: {}", program, request.error().what);
    return parsed;
  }
  parsed.request = std::move(*request);
  return parsed;
}

}  // namespace casemate
