#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "apps/runtime/request.h"
#include "base/terminal.h"
#include "base/units.h"
#include "command/command_line.h"
#include "report/printing.h"

namespace casemate {
namespace {

constexpr const char* kFooter = R"(
Examples:
  {0} test-script tabular_preprocessing --workspace-dir ./test_workspace
  {0} test-script tabular_preprocessing --output-format json --timeout 600
  {0} test-compatibility tabular_preprocessing xgboost_training --explain
  {0} test-pipeline pipeline_config.json --junit-xml results.xml

Scripts are looked for in --scripts-dir, then below the current directory in src/cursus/steps/scripts, scripts and
dockers/xgboost_atoz/scripts. Each runs in a cell of its own: it sees its inputs, read-only, and what it writes to its outputs comes back.

Exit status: 0 passed, 1 failed, 2 usage or nothing could be run, 130 interrupted.)";

// Also where the rest can't be read.
bool asks_for_json(const std::vector<std::string>& arguments) {
  for (std::size_t at = 0; at < arguments.size() && arguments[at] != "--"; ++at) {
    if (arguments[at] == "--output-format=json") return true;
    if (arguments[at] == "--output-format" && at + 1 < arguments.size() && arguments[at + 1] == "json") return true;
  }
  return false;
}

// What CLI11 collects, before it has meaning.
struct Words {
  std::string format = "text";
  double timeout = 300;
  std::string memory;
  bool keep_all = false;
};

void declare_all(CLI::App& command, RuntimeRequest& request, Words& words) {
  auto& configuration = request.configuration;
  command.add_option("--workspace-dir", configuration.workspace_dir, "Where tests take place")->option_text("DIRECTORY [./test_workspace]");
  command.add_option("--output-format", words.format, "What is printed: text or json")
      ->option_text("text|json")
      ->check(CLI::IsMember({"text", "json"}));
  command.add_option("--timeout", words.timeout, "Of each script")->option_text("SECONDS [300]");
  command.add_option("--memory", words.memory, "Of each script, such as 2g")->option_text("SIZE [4g]");
  command.add_option("--python", configuration.python, "An interpreter, in place of the active one")->option_text("PROGRAM");
  command.add_option("--requirements", configuration.requirements, "Packages, in place of the interpreter's own")->option_text("FILE");
  command.add_option("--image", configuration.image, "An OCI image, in place of this host")->option_text("IMAGE");
  command.add_option("--slots", configuration.slots, "Scripts at a time; 0: as many as there are CPUs")->option_text("N");
  command.add_option("--scripts-dir", configuration.script_directories, "Look for scripts here first; may be repeated")
      ->option_text("DIRECTORY")
      ->expected(1)
      ->take_all();
  command.add_flag("--preserve-outputs", configuration.preserve_outputs, "Keep what scripts wrote in the workspace");
  command.add_flag("--no-cleanup", words.keep_all, "Keep inputs too");
  command.add_option("--log-level", configuration.log_level, "What is told on stderr: DEBUG, INFO, WARNING, ERROR or CRITICAL")
      ->option_text("LEVEL");
  command.add_option("--junit-xml", request.junit_xml, "Write JUnit XML as well")->option_text("FILE");
  command.add_option("--html", request.html, "Write an HTML page as well")->option_text("FILE");
  command.add_flag("-v,--verbose", request.verbose, "Print what scripts wrote, also of those that passed");
  declare_color(command, request.color);
}

// A problem of a configuration's field, by the name that the field has here.
std::string by_option(std::string problem) {
  for (const auto& [field, option] : {std::pair("workspace_dir:", "--workspace-dir:"),
                                      {"log_level:", "--log-level:"},
                                      {"memory_bytes:", "--memory:"},
                                      {"script_directories", "--scripts-dir"},
                                      {"python:", "--python:"},
                                      {"requirements:", "--requirements:"},
                                      {"image:", "--image:"},
                                      {"slots:", "--slots:"}}) {
    if (problem.starts_with(field)) return option + problem.substr(std::string_view(field).size());
  }
  return problem;
}

Result<void> settle(RuntimeRequest& request, const Words& words, bool log_level_given) {
  auto& configuration = request.configuration;
  request.json = words.format == "json";
  if (!std::isfinite(words.timeout) || words.timeout < 0.001 || words.timeout > 1e8)
    return fail(ErrorCode::invalid_input, "--timeout must be a number of seconds above 0");
  configuration.timeout_seconds = words.timeout;
  if (!words.memory.empty()) {
    const auto bytes = parse_bytes(words.memory);
    if (!bytes) return fail(bytes.error().code, "--memory: " + bytes.error().what);
    configuration.memory_bytes = *bytes;
  }
  configuration.cleanup_after_test = !words.keep_all;
  if (!log_level_given && request.kind != RuntimeRequest::Kind::pipeline) configuration.log_level = "WARNING";
  for (const std::string& directory : configuration.script_directories) {
    std::error_code problem;
    if (!std::filesystem::is_directory(directory, problem))
      return fail(ErrorCode::invalid_input,
                  fmt::format("--scripts-dir: {} {}", printable_name(directory),
                              std::filesystem::exists(directory, problem) ? "is no directory" : "does not exist"));
  }
  // Whether its values make sense is said in one place.
  TRY_ASSIGN(configuration, runtime::configuration_from(runtime::to_json(configuration)));
  return {};
}

}  // namespace

std::expected<RuntimeRequest, int> read_runtime_arguments(const std::vector<std::string>& arguments, std::string_view program) {
  CLI::App app("Tests the scripts of a pipeline by running them.", std::string(program));
  app.require_subcommand(1);
  app.footer(fmt::format(kFooter, program));
  const auto refused = [&](const std::string& what) {
    return std::unexpected(refuse(program, what, asks_for_json(arguments), kRuntimeUsage));
  };
  RuntimeRequest request;
  Words words;
  request.names.resize(2);
  auto* script = app.add_subcommand("test-script", "Run one script, and say whether it works");
  script->add_option("script", request.names[0], "Its name, without .py")->required()->option_text("SCRIPT");
  script->add_option("--spec", request.spec, "A file that says how: a ScriptExecutionSpec as JSON")->option_text("FILE");
  auto* pair = app.add_subcommand("test-compatibility", "Run one script, then another one with what it wrote");
  pair->add_option("script_a", request.names[0], "Who writes")->required()->option_text("SCRIPT_A");
  pair->add_option("script_b", request.names[1], "Who reads")->required()->option_text("SCRIPT_B");
  pair->add_option("--specs-dir", request.specs_directory, "Where both scripts' specs are saved")->option_text("DIRECTORY");
  pair->add_flag("--explain", request.explain, "Show both schemas");
  auto* pipeline = app.add_subcommand("test-pipeline", "Run the scripts of a pipeline, each with what those before it wrote");
  pipeline->add_option("config", request.names[0], "Steps, or a PipelineTestingSpec, as JSON")->required()->option_text("FILE");
  pipeline->add_flag("--explain", request.explain, "Show schemas where data does not fit");
  for (auto* one : {script, pair})
    one->add_option("--sample", request.sample, "Data: a table as JSON ({\"column\": [values]}), or a schema ({\"columns\": {...}})")
        ->option_text("FILE");
  for (auto* one : {script, pair, pipeline}) {
    declare_all(*one, request, words);
    one->footer(fmt::format(kFooter, program));
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {  // --help
    return std::unexpected(app.exit(asked));
  } catch (const CLI::Error& wrong) {
    return refused(fmt::format("{} (see '{} --help')", parse_problem(app, wrong), program));
  }
  CLI::App* chosen = script->parsed() ? script : pair->parsed() ? pair : pipeline;
  request.kind = chosen == script ? RuntimeRequest::Kind::script
                 : chosen == pair ? RuntimeRequest::Kind::compatibility
                                  : RuntimeRequest::Kind::pipeline;
  if (request.kind != RuntimeRequest::Kind::compatibility) request.names.resize(1);
  for (const auto& [option, path] : {std::pair("--junit-xml", &request.junit_xml), {"--html", &request.html}}) {
    if (chosen->count(option) > 0 && path->empty()) return refused(fmt::format("{}: must be the path of a file, is empty", option));
  }
  if (request.sample && (request.spec || request.specs_directory))
    return refused(fmt::format("--sample: the data is what the input_paths of {} name: leave one of the two out",
                               request.spec ? "--spec" : "--specs-dir"));
  if (auto settled = settle(request, words, chosen->count("--log-level") > 0); !settled) return refused(by_option(settled.error().what));
  return request;
}

std::string json_text(const runtime::Json& json) { return json.dump(2, ' ', false, runtime::Json::error_handler_t::replace) + "\n"; }

int refuse(std::string_view program, const std::string& what, bool json, int status) {
  if (json) (void)put(program, json_text({{"error", what}}), status);
  return complain(program, what, status);
}

}  // namespace casemate
