#include "apps/script/options.h"

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "apps/image/naming.h"
#include "apps/image/pulling.h"
#include "base/shell_words.h"
#include "base/units.h"

namespace casemate {
namespace {

using Values = ScriptOption::Values;

std::unexpected<Error> wrong(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

std::unexpected<Error> not_a_choice(std::string_view value, std::string_view choices) {
  return wrong(fmt::format("invalid choice: '{}' (choose from {})", value, choices));
}

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
  if (value != "missing" && value != "always" && value != "never") return not_a_choice(value, "'missing', 'always', 'never'");
  TRY_ASSIGN(request.pull.policy, parse_policy("--pull", value));
  return {};
}

Result<void> store_tls_verify(ScriptRequest& request, const std::string& value) {
  if (value != "true" && value != "false") return not_a_choice(value, "'true', 'false'");
  request.pull.access.verify_tls = value == "true";
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
  if (value != "native" && value != "docker") return not_a_choice(value, "'native', 'docker'");
  request.executor = value;
  return {};
}

Result<void> store_network(ScriptRequest& request, const std::string& value) {
  if (value == "none")
    request.network = Network::none;
  else if (value == "outbound")
    request.network = Network::outbound;
  else if (value == "host")
    request.network = Network::host;
  else
    return not_a_choice(value, "'none', 'outbound', 'host'");
  return {};
}

Result<void> store_timeout(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(const auto duration, parse_duration(value));
  request.limits.wall = unless_zero(duration);
  return {};
}

Result<void> store_memory(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(const std::uint64_t bytes, parse_bytes(value));
  constexpr std::uint64_t kLeast = 6u << 20;  // docker's: less can't start a program
  if (bytes != 0 && bytes < kLeast)
    return wrong(fmt::format("'{}' is too little to run Python; give at least 6M, or 0 for no limit", value));
  request.limits.memory_bytes = unless_zero(bytes);
  return {};
}

Result<void> store_disk(ScriptRequest& request, const std::string& value) {
  TRY_ASSIGN(const std::uint64_t bytes, parse_bytes(value));
  request.limits.disk_bytes = unless_zero(bytes);
  if (bytes == 0) request.limits.disk_inodes.reset();
  return {};
}

Result<void> store_pids(ScriptRequest& request, const std::string& value) {
  std::uint32_t pids = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), pids);
  if (problem != std::errc{} || end != value.data() + value.size() || value.empty() || pids > 4'194'304)
    return wrong(fmt::format("'{}' is not a number of processes; write for example 64, or 0 for no limit", value));
  request.limits.pids = unless_zero(pids);
  return {};
}

Result<void> store_cpus(ScriptRequest& request, const std::string& value) {
  double cpus = 0;
  const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), cpus, std::chars_format::fixed);
  const bool number = problem == std::errc{} && end == value.data() + value.size() && cpus >= 0 && cpus <= 4096;
  if (!number || (cpus > 0 && cpus < 0.01))
    return wrong(fmt::format("'{}' is not a number of CPUs; write for example 1.5, or 0 for no limit", value));
  request.limits.cpus = unless_zero(cpus);
  return {};
}

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
  if (value == "auto")
    request.color = Color::automatic;
  else if (value == "always")
    request.color = Color::always;
  else if (value == "never")
    request.color = Color::never;
  else
    return not_a_choice(value, "'auto', 'always', 'never'");
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
    {"--help", 'h', Values::none, "", false, "show this help message and exit"},
    {"--script", 0, Values::one, "SCRIPT", false, "Path to the Python script to execute. (Required)", store_text<&ScriptRequest::script>},
    {"--reqs", 0, Values::one, "REQS", false, "Path to the requirements.txt file. (Required)", store_text<&ScriptRequest::requirements>},
    {"--inputs", 0, Values::many, "INPUTS", false, "Optional list of input files to be copied into the context.", store_input},
    {"--script-args", 0, Values::one, "SCRIPT_ARGS", false, "A string of arguments to pass to the script being executed.",
     store_script_arguments},
    {"--json-output", 0, Values::none, "", false, "Enable JSON output for machine readability.", store_true<&ScriptRequest::json>},
    {"--python-version", 0, Values::one, "VERSION", true,
     "The interpreter: a version (3.11, 3.12.1) or a path. Default: python3 on PATH. A version that this host lacks comes from an image, "
     "docker://python:VERSION-slim.",
     store_text<&ScriptRequest::python_version>},
    {"--image", 0, Values::one, "IMAGE", true,
     "The root of the cell, with the Python in it: docker://NAME[:TAG], oci:DIR, dir:ROOTFS, ... Default: host, the programs and libraries "
     "of this machine.",
     store_image},
    {"--pull", 0, Values::one, "WHEN", true, "When to ask for the image: missing (default), always or never.", store_pull},
    {"--lock", 0, Values::attached, "FILE", true,
     "Take the digest that this file (casemate.lock) has for the image's tag, and note a new one there.", store_lock},
    {"--tls-verify", 0, Values::one, "BOOL", true, "false: also registries with any certificate, and plain http.", store_tls_verify},
    {"--authfile", 0, Values::one, "FILE", true, "Credentials of registries. Default: as skopeo finds them.",
     store_access<&RegistryAccess::authfile>},
    {"--cert-dir", 0, Values::one, "DIR", true, "Certificates (*.crt, *.cert, *.key) of the registry.",
     store_access<&RegistryAccess::cert_directory>},
    {"--results", 0, Values::one, "DIR", true, "Where captured files go, instead of ./results. Emptied on every run.", store_results},
    {"--timeout", 0, Values::one, "TIME", true, "End the script after this long (10, 500ms, 2m). Default: never.", store_timeout},
    {"--memory", 0, Values::one, "SIZE", true, "Memory for the script and all it starts. Default: 2G; 0: no limit.", store_memory},
    {"--cpus", 0, Values::one, "N", true, "CPUs it may use (1.5). Default: all.", store_cpus},
    {"--pids", 0, Values::one, "N", true, "Processes and threads at a time. Default: 512; 0: no limit.", store_pids},
    {"--disk", 0, Values::one, "SIZE", true, "What it may write. Default: 1G; 0: no limit.", store_disk},
    {"--network", 0, Values::one, "MODE", true,
     "none: loopback only. outbound: the world, but not this host (default). host: this host's network, no isolation.", store_network},
    {"--env", 'e', Values::one, "KEY=VALUE", true, "An environment variable for the script; KEY alone passes on your own. May be repeated.",
     store_environment},
    {"--executor", 0, Values::one, "WHO", true, "native: cells made by casemate (default). docker: not in this version.", store_executor},
    {"--quiet", 'q', Values::none, "", true, "No progress and no summary, only the script's output and errors.",
     store_true<&ScriptRequest::quiet>},
    {"--color", 0, Values::one, "WHEN", true, "auto (default), always or never.", store_color},
    {"--version", 0, Values::none, "", true, "Print casemate's version and exit."},
};

}  // namespace

std::span<const ScriptOption> script_options() { return kOptions; }

std::string spelling(const ScriptOption& option, std::string_view separator) {
  return option.letter ? fmt::format("-{}{}{}", option.letter, separator, option.name) : std::string(option.name);
}

}  // namespace casemate
