#include "apps/script/options.h"

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "base/shell_words.h"
#include "base/units.h"
#include "command/limit_values.h"
#include "command/naming.h"
#include "command/pulling.h"

namespace casemate {
namespace {

using Values = OptionWords::Values;

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

// docker reads 0 as "no limit".
template <class T>
std::optional<T> unless_zero(T value) {
  return value == T{} ? std::nullopt : std::optional<T>(value);
}

Result<void> store_script_arguments(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(request.script_arguments, split_shell_words(value));
  return {};
}

Result<void> store_image(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(request.image, read_image_name(value));
  return {};
}

Result<void> store_pull(ScriptRequest& request, const std::string& value) {
  using Policy = PullOptions::Policy;
  TRY_ASSIGN(request.pull.policy,
             read_choice<Policy>(value, {{"missing", Policy::missing}, {"always", Policy::always}, {"never", Policy::never}}));
  return {};
}

Result<void> store_tls_verify(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(request.pull.access.verify_tls, read_choice<bool>(value, {{"true", true}, {"false", false}}));
  return {};
}

Result<void> store_lock(ScriptRequest& request, const std::string& value) {
  request.lock = lock_path({.lock = value.empty() ? "true" : value});
  return {};
}

template <std::string RegistryAccess::* member>
Result<void> store_access(ScriptRequest& request, const std::string& value) {
  request.pull.access.*member = value;
  return {};
}

Result<void> store_executor(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(request.executor, read_choice<std::string_view>(value, {{"native", "native"}, {"docker", "docker"}, {"remote", "remote"}}));
  request.executor_chosen = true;
  return {};
}

template <std::string RemoteWords::* member>
Result<void> store_remote(ScriptRequest& request, const std::string& value) {
  request.remote_words.*member = value;
  return {};
}

Result<void> store_address(ScriptRequest& request, const std::string& value) {
  request.remote_words.address = value;
  request.remote_words.off = value.empty();
  return {};
}

template <std::vector<std::string> RemoteWords::* member>
Result<void> store_remote_pair(ScriptRequest& request, const std::string& value) {
  (request.remote_words.*member).push_back(value);
  return {};
}

Result<void> store_fallback(ScriptRequest& request, const std::string&) {
  request.remote_words.fallback = true;
  return {};
}

Result<void> store_network(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(request.network,
             read_choice<Network>(value, {{"none", Network::none}, {"outbound", Network::outbound}, {"host", Network::host}}));
  return {};
}

Result<void> store_timeout(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(const auto duration, parse_duration(value));
  request.limits.wall = unless_zero(duration);
  return {};
}

Result<void> store_memory(ScriptRequest& request, const std::string& value) { return read_memory_limit(value, request.limits); }

Result<void> store_disk(ScriptRequest& request, const std::string& value) { return read_disk_limit(value, request.limits); }

Result<void> store_pids(ScriptRequest& request, const std::string& value) {
  std::uint32_t pids = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), pids);
  if (problem != std::errc{} || end != value.data() + value.size() || value.empty() || pids > 4'194'304)
    return wrong(fmt::format("'{}' is not a number of processes; write for example 64, or 0 for no limit", value));
  request.limits.pids = unless_zero(pids);
  return {};
}

Result<void> store_cpus(ScriptRequest& request, const std::string& value) { return read_cpus_limit(value, request.limits); }

Result<void> store_environment(ScriptRequest& request, const std::string& value) {
  const std::size_t equals = value.find('=');
  const std::string key = value.substr(0, equals);
  if (key.empty()) return wrong(fmt::format("'{}' is not KEY=VALUE", value));
  if (equals != std::string::npos)
    request.environment[key] = value.substr(equals + 1);
  else if (const char* inherited = std::getenv(key.c_str()))  // as docker: a bare KEY passes on the caller's value, if there is one
    request.environment[key] = inherited;
  return {};
}

Result<void> store_color(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(request.color, read_choice<Color>(value, {{"auto", Color::automatic}, {"always", Color::always}, {"never", Color::never}}));
  return {};
}

Result<void> store_results(ScriptRequest& request, const std::string& value) {
  if (value.empty()) return wrong("the name of a directory can't be empty");
  request.results = value;
  return {};
}

template <std::string ScriptRequest::* member>
Result<void> store_text(ScriptRequest& request, const std::string& value) {
  request.*member = value;
  return {};
}

template <bool ScriptRequest::* member>
Result<void> store_true(ScriptRequest& request, const std::string&) {
  request.*member = true;
  return {};
}

Result<void> store_input(ScriptRequest& request, const std::string& value) {
  request.inputs.push_back(value);
  return {};
}

constexpr ScriptOption kOptions[] = {
    {{.name = "--help", .values = Values::none, .help = "show this help message and exit", .letter = 'h', .ends = true}},
    {{.name = "--script", .metavar = "SCRIPT", .help = "Path to the Python script to execute. (Required)", .required = true},
     store_text<&ScriptRequest::script>},
    {{.name = "--reqs", .metavar = "REQS", .help = "Path to the requirements.txt file. (Required)", .required = true},
     store_text<&ScriptRequest::requirements>},
    {{.name = "--inputs",
      .values = Values::many,
      .metavar = "INPUTS",
      .help = "Optional list of input files to be copied into the context."},
     store_input},
    {{.name = "--script-args",
      .metavar = "SCRIPT_ARGS",
      .help = "A string of arguments to pass to the script being executed.",
      .takes_dashes = true},
     store_script_arguments},
    {{.name = "--json-output", .values = Values::none, .help = "Enable JSON output for machine readability."},
     store_true<&ScriptRequest::json>},
    {{.name = "--python-version",
      .metavar = "VERSION",
      .help = "The interpreter: a version (3.11, 3.12.1) or a path. Default: python3 on PATH. A version that this host lacks comes from an "
              "image, docker://python:VERSION-slim.",
      .ours = true},
     store_text<&ScriptRequest::python_version>},
    {{.name = "--image",
      .metavar = "IMAGE",
      .help = "The root of the cell, with the Python in it: docker://NAME[:TAG], oci:DIR, dir:ROOTFS, ... Default: host, the programs and "
              "libraries of this machine.",
      .ours = true},
     store_image},
    {{.name = "--pull", .metavar = "WHEN", .help = "When to ask for the image: missing (default), always or never.", .ours = true},
     store_pull},
    {{.name = "--lock",
      .values = Values::attached,
      .metavar = "FILE",
      .help = "Take the digest that this file (casemate.lock) has for the image's tag, and note a new one there.",
      .ours = true},
     store_lock},
    {{.name = "--tls-verify", .metavar = "BOOL", .help = "false: also registries with any certificate, and plain http.", .ours = true},
     store_tls_verify},
    {{.name = "--authfile", .metavar = "FILE", .help = "Credentials of registries. Default: as skopeo finds them.", .ours = true},
     store_access<&RegistryAccess::authfile>},
    {{.name = "--cert-dir", .metavar = "DIR", .help = "Certificates (*.crt, *.cert, *.key) of the registry.", .ours = true},
     store_access<&RegistryAccess::cert_directory>},
    {{.name = "--results", .metavar = "DIR", .help = "Where captured files go, instead of ./results. Emptied on every run.", .ours = true},
     store_results},
    {{.name = "--timeout", .metavar = "TIME", .help = "End the script after this long (10, 500ms, 2m). Default: never.", .ours = true},
     store_timeout},
    {{.name = "--memory", .metavar = "SIZE", .help = "Memory for the script and all it starts. Default: 2G; 0: no limit.", .ours = true},
     store_memory},
    {{.name = "--cpus", .metavar = "N", .help = "CPUs it may use (1.5). Default: all.", .ours = true}, store_cpus},
    {{.name = "--pids", .metavar = "N", .help = "Processes and threads at a time. Default: 512; 0: no limit.", .ours = true}, store_pids},
    {{.name = "--disk", .metavar = "SIZE", .help = "What it may write. Default: 1G; 0: no limit.", .ours = true}, store_disk},
    {{.name = "--network",
      .metavar = "MODE",
      .help = "none: loopback only. outbound: the world, but not this host (default). host: this host's network, no isolation.",
      .ours = true},
     store_network},
    {{.name = "--env",
      .metavar = "KEY=VALUE",
      .help = "An environment variable for the script; KEY alone passes on your own. May be repeated.",
      .letter = 'e',
      .ours = true},
     store_environment},
    {{.name = "--cache",
      .values = Values::none,
      .help = "The script is deterministic: with the same inputs it is not run again, its result is kept.",
      .ours = true},
     store_true<&ScriptRequest::cache>},
    {{.name = "--executor",
      .metavar = "WHO",
      .help = "native: cells made by casemate (default). docker: containers of a Docker Engine or podman. remote: a remote execution "
              "engine (--remote).",
      .ours = true},
     store_executor},
    {{.name = "--remote",
      .metavar = "ADDRESS",
      .help = "Run the script on this remote execution engine (REAPI v2): grpc://HOST:PORT, grpcs://HOST:PORT, unix:/PATH; \"\": on none.",
      .alias = "--remote_executor",
      .ours = true},
     store_address},
    {{.name = "--remote-cache",
      .metavar = "ADDRESS",
      .help = "The engine's storage, if that has another address.",
      .alias = "--remote_cache",
      .ours = true},
     store_remote<&RemoteWords::cache>},
    {{.name = "--remote-instance",
      .metavar = "NAME",
      .help = "Instance name of the engine.",
      .alias = "--remote_instance_name",
      .ours = true},
     store_remote<&RemoteWords::instance>},
    {{.name = "--remote-header",
      .metavar = "NAME=VALUE",
      .help = "A header of each call. May be repeated.",
      .alias = "--remote_header",
      .ours = true},
     store_remote_pair<&RemoteWords::headers>},
    {{.name = "--remote-property",
      .metavar = "NAME=VALUE",
      .help = "A platform property of the worker. May be repeated.",
      .alias = "--remote_default_exec_properties",
      .ours = true},
     store_remote_pair<&RemoteWords::properties>},
    {{.name = "--remote-priority",
      .metavar = "N",
      .help = "Less is sooner. Default: 0.",
      .alias = "--remote_execution_priority",
      .ours = true,
      .takes_dashes = true},
     store_remote<&RemoteWords::priority>},
    {{.name = "--remote-timeout",
      .metavar = "TIME",
      .help = "Of the execution, the wait in the engine's queue included.",
      .alias = "--remote_timeout",
      .ours = true},
     store_remote<&RemoteWords::timeout>},
    {{.name = "--remote-patience",
      .metavar = "TIME",
      .help = "How long an engine that does not answer is tried again. Default: 60s.",
      .ours = true},
     store_remote<&RemoteWords::patience>},
    {{.name = "--remote-ca",
      .metavar = "FILE",
      .help = "PEM of who may sign for the engine. Default: the system's.",
      .alias = "--tls_certificate",
      .ours = true},
     store_remote<&RemoteWords::ca>},
    {{.name = "--remote-cert", .metavar = "FILE", .help = "PEM of our own certificate.", .alias = "--tls_client_certificate", .ours = true},
     store_remote<&RemoteWords::certificate>},
    {{.name = "--remote-key", .metavar = "FILE", .help = "PEM of its key.", .alias = "--tls_client_key", .ours = true},
     store_remote<&RemoteWords::key>},
    {{.name = "--remote-token-file", .metavar = "FILE", .help = "Bearer token: its first line.", .ours = true},
     store_remote<&RemoteWords::token_file>},
    {{.name = "--remote-image",
      .metavar = "HOW",
      .help = "root: an image is sent as the input root (default, and all there is).",
      .ours = true},
     store_remote<&RemoteWords::image>},
    {{.name = "--remote-fallback", .values = Values::none, .help = "What the engine can't run is run here.", .ours = true}, store_fallback},
    {{.name = "--quiet",
      .values = Values::none,
      .help = "No progress and no summary, only the script's output and errors.",
      .letter = 'q',
      .ours = true},
     store_true<&ScriptRequest::quiet>},
    {{.name = "--color", .metavar = "WHEN", .help = "auto (default), always or never.", .ours = true}, store_color},
    {{.name = "--version", .values = Values::none, .help = "Print casemate's version and exit.", .ours = true, .ends = true}},
};

}  // namespace

std::span<const ScriptOption> script_options() { return kOptions; }

}  // namespace casemate
