#include "apps/run/arguments.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <sstream>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/units.h"
#include "cell/plan.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr const char* kRunFooter =
    R"(After the options comes the command with its arguments: casemate run [OPTIONS] -- COMMAND [ARGUMENT...]

Examples:
  casemate run -- python3 -c 'print(1)'
  casemate run --memory 128m --timeout 10 -e LANG=C.UTF-8 --inputs build.sh -- ./build.sh
  casemate run --inputs data.csv --outputs out -- python3 -c 'open("made.txt","w").write(open("data.csv").read())'
  casemate run -v "$PWD":/src:ro -w /src --network host -- make -C /src -n

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

Exit status: 0 the plan was printed, 125 there is none: a wrong option, a mount source that is not there, what this host can't do.)";

std::string absolute_host_path(std::string_view path) {
  if (!path.empty() && path[0] == '/') return std::string(path);
  char here[PATH_MAX];
  if (!::getcwd(here, sizeof here)) return std::string(path);
  return fmt::format("{}/{}", here, path);
}

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

Result<std::uint32_t> parse_mode(std::string_view text) {
  std::uint32_t mode = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
  if (problem != std::errc{} || end != text.data() + text.size() || mode > 07777)
    return invalid(fmt::format("'{}' is not an octal mode", text));
  return mode;
}

Result<void> tmpfs_option(Mount& mount, std::string_view key, std::string_view value) {
  if (key == "size" || key == "tmpfs-size") {
    TRY_ASSIGN(mount.bytes, parse_bytes(value));
  } else if (key == "mode" || key == "tmpfs-mode") {
    TRY_ASSIGN(mount.mode, parse_mode(value));
  } else if (key == "exec") {
    mount.executable = true;
  } else if (key == "noexec") {
    mount.executable = false;
  } else if (key != "rw" && key != "nosuid" && key != "nodev") {
    return invalid(fmt::format("tmpfs has no option '{}' (size, mode, exec, noexec)", key));
  }
  return {};
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
  std::string workdir = "/app", memory, cpus, pids, network = "none", user, timeout, cpu_time, disk, inodes, output_limit, file_size,
              open_files, hostname, profile = "default", image = "host", outputs, executor = "native", name;
  bool read_only = false, interactive = false, tty = false, json = false, quiet = false, rm = false, init = false;
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
  app.add_option("-w,--workdir", words.workdir, "working directory in the cell")->type_name("DIR")->capture_default_str();
  app.add_option("-v,--volume", words.volumes, "show a host path in the cell (read-only with :ro)")
      ->type_name("SRC:DST[:ro]")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--mount", words.mounts,
                 "type=bind|tmpfs|overlay,source=...,target=...[,readonly]; an overlay can be written, its source stays as it is")
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
  app.add_option("--network,--net", words.network, "none (only loopback), outbound (through pasta or slirp4netns), host")
      ->type_name("KIND")
      ->capture_default_str();
  app.add_flag("--read-only", words.read_only, "only /tmp, /dev/shm and mounts can be written");
  app.add_option("-u,--user", words.user, "numeric ids in the cell [0:0]")->type_name("UID[:GID]");
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
  app.add_option("--image", words.image, "host; images of registries are not done yet")->type_name("IMAGE")->capture_default_str();
  app.add_option("--executor", words.executor, "native")->type_name("NAME")->capture_default_str();
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

Result<void> set_mounts(RunRequest& request, const Words& words) {
  Job& job = request.job;
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
  request.inputs = words.inputs;
  if (!words.outputs.empty()) request.outputs = absolute_host_path(words.outputs);
  return {};
}

// The command out of what the parser left over, the end of `arguments`. Without a "--" before it a word with a dash is a misspelt option of
// ours.
Result<std::vector<std::string>> command_of(const std::vector<std::string>& arguments, std::vector<std::string> rest) {
  if (rest.empty()) return rest;
  const bool marked = rest[0] == "--" || (arguments.size() > rest.size() && arguments[arguments.size() - rest.size() - 1] == "--");
  if (rest[0] == "--") {
    rest.erase(rest.begin());
  } else if (!marked && rest[0].starts_with('-') && rest[0].size() > 1) {
    return invalid(fmt::format("there is no option '{}'; --help lists them, and -- goes before the command", rest[0]));
  }
  return rest;
}

Result<RunRequest> meaning(const Words& words) {
  RunRequest request;
  Job& job = request.job;
  job.limits = default_limits();
  job.argv = words.command;
  job.name = words.name;
  job.cwd = words.workdir;
  job.image = words.image;
  job.host_paths = words.host_paths;
  job.read_only = words.read_only;
  job.capabilities = words.cap_add;
  job.forward_stdin = words.interactive;
  job.stdin_fd = 0;
  job.env = {{"PATH", kDefaultPath}, {"HOME", "/root"}};
  if (!words.hostname.empty()) job.hostname = words.hostname;
  if (job.argv.empty()) return invalid("no command; write: casemate run [flags] -- COMMAND [ARGUMENT...]");
  if (words.tty)
    return invalid(fmt::format("-t is not supported yet: a cell has no terminal; {}",
                               words.interactive ? "-i is: write -i for -it, and standard input goes to the command through a pipe"
                                                 : "leave it out, or write -i to pass standard input on through a pipe"));
  if (words.network == "none") {
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
  if (!words.user.empty()) {
    TRY_ASSIGN(job.user, parse_user(words.user));
  }
  for (const std::string& path : words.env_files) TRY(add_environment_file(job, path));
  for (const std::string& text : words.env) TRY(add_environment(job, text));
  TRY(set_limits(job.limits, words));
  TRY(set_mounts(request, words));
  request.executor = words.executor;
  request.json = words.json;
  request.quiet = words.quiet;
  return request;
}

}  // namespace

Result<void> add_work_layer(RunRequest& request, const std::string& staged) {
  if (request.inputs.empty() && request.outputs.empty()) return {};
  Job& job = request.job;
  if (job.cwd == "/") return invalid("--inputs and --outputs need a working directory other than /");
  Mount work{.kind = Mount::Kind::overlay, .target = job.cwd, .owned = true};
  if (!staged.empty()) work.lower = {staged};
  job.mounts.push_back(std::move(work));
  if (!request.outputs.empty()) {
    job.collect = {job.cwd};
    job.collect_to = request.outputs;
  }
  return {};
}

Result<Mount> parse_volume(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return invalid(fmt::format("'{}': write SRC:DST or SRC:DST:ro", text));
  std::string_view rest = text.substr(colon + 1);
  const auto second = rest.find(':');
  Mount mount{.kind = Mount::Kind::bind,
              .source = absolute_host_path(text.substr(0, colon)),
              .target = std::string(rest.substr(0, second)),
              .writable = true,
              .owned = true};
  if (second != std::string_view::npos) {
    const std::string_view option = rest.substr(second + 1);
    if (option == "ro") {
      mount.writable = false;
    } else if (option != "rw") {
      return invalid(fmt::format("'{}': after the second colon comes ro or rw", text));
    }
  }
  mount.owned = mount.writable;
  return mount;
}

Result<Mount> parse_tmpfs(std::string_view text) {
  const auto colon = text.find(':');
  Mount mount{.kind = Mount::Kind::tmpfs, .target = std::string(text.substr(0, colon)), .mode = 01777};
  std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const std::string_view option = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto equals = option.find('=');
    TRY(tmpfs_option(mount, option.substr(0, equals), equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1)));
  }
  return mount;
}

Result<Mount> parse_mount(std::string_view text) {
  if (text.find('=') == std::string_view::npos) return parse_volume(text);
  Mount mount{.writable = true};
  std::string type = "bind";
  std::string source;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const std::string_view option = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto equals = option.find('=');
    const std::string_view key = option.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
    if (key == "type") {
      type = value;
    } else if (key == "source" || key == "src") {
      source = absolute_host_path(value);
    } else if (key == "target" || key == "destination" || key == "dst") {
      mount.target = value;
    } else if (key == "readonly" || key == "ro") {
      mount.writable = value == "false" || value == "0";
    } else if (auto taken = tmpfs_option(mount, key, value); !taken) {
      const bool known = key == "size" || key == "mode" || key.starts_with("tmpfs-");  // then it is the value that is wrong
      if (known) return std::unexpected(std::move(taken.error()));
      return invalid(fmt::format("--mount has no option '{}' (type, source, target, readonly; of a tmpfs size, mode, exec, noexec)", key));
    }
  }
  if (mount.target.empty()) return invalid(fmt::format("--mount '{}' has no target=", text));
  if (type == "bind") {
    if (source.empty()) return invalid(fmt::format("--mount '{}' has no source=", text));
    mount.source = source;
  } else if (type == "tmpfs") {
    mount.kind = Mount::Kind::tmpfs;
  } else if (type == "overlay") {
    mount.kind = Mount::Kind::overlay;
    if (!source.empty()) mount.lower = {source};
  } else {
    return invalid(fmt::format("--mount type '{}': choose bind, tmpfs or overlay", type));
  }
  mount.owned = mount.writable;
  return mount;
}

namespace {

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
    const auto end = std::find(arguments.begin(), arguments.end(), "--");
    parsed.request.json = std::find(arguments.begin(), end, "--json") != end;
    parsed.text = fmt::format("{}: {} (see '{} --help')", program, error.what(), program);
    return words;
  }
  parsed.request.json = words.json;
  if (auto command = command_of(arguments, app.remaining())) {
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
  auto request = meaning(words);
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
