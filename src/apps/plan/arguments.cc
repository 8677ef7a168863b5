#include <charconv>
#include <cstdlib>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "apps/plan/request.h"
#include "base/terminal.h"
#include "base/units.h"
#include "command/command_line.h"
#include "command/limit_values.h"
#include "command/mounts.h"
#include "report/printing.h"
#include "report/result_json.h"

namespace casemate {
namespace {

using Action = PlanRequest::Action;

constexpr const char* kFooter = R"(
Examples:
  casemate plan init jq --image docker://debian:12 --install apt:jq -o jq.yaml
  casemate plan run jq.yaml --output results
  casemate plan run jq.yaml --tag smoke --parallel 4 --retries 1
  casemate plan record jq.yaml
  casemate plan verify jq.yaml --rule 'build=build [0-9]+=<build>'
  casemate plan show latest version --normalised

A plan is JSON or YAML. What it does not say of how to run it, --config and the options here do; options come before --config, that
before the plan, that before the defaults. All of a plan's cases run in one context, one after the other, or with --parallel and
--isolate case in several.

Exit status: 0 all passed, 1 some did not, 2 wrong usage or a plan that can't be read, 125 casemate's own failure (no daemon, a tool that
can't be installed), 128+N interrupted by signal N.)";

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

int refuse(const std::string& what, const std::vector<std::string>& arguments) {
  if (asks_for_json_object(arguments))
    (void)put(kPlanProgram, Json({{"error", to_utf8(what)}}).dump(2, ' ', false, Json::error_handler_t::replace) + "\n", kPlanUsage);
  return complain(kPlanProgram, what, kPlanUsage);
}

// What CLI11 collects, before it has meaning.
struct Words {
  std::vector<std::string> env, mounts, volumes, rules;
  std::string memory, cpus, disk, pids, timeout, isolate, compare;
};

void declare_many(CLI::App& app, const std::string& name, std::vector<std::string>& into, const std::string& what, const char* type) {
  app.add_option(name, into, what)->option_text(type)->expected(1)->take_all()->allow_extra_args(false);
}

// Where commands run: of everything that runs any.
void declare_place(CLI::App& app, PlanFlags& flags, Words& words) {
  app.add_option("--image", flags.root.image, "What is at /: host, docker://NAME[:TAG], oci:DIR, dir:ROOTFS, ... [host]")
      ->option_text("IMAGE");
  app.add_option("--pull", flags.root.policy, "When a registry is asked: missing, always or never [missing]")->option_text("POLICY");
  declare_pull_options(app, flags.root.pull);
  app.add_option("--executor", flags.executor, "native (cells) or docker [native]")->option_text("NAME");
  declare_many(
      app, "--install", flags.install,
      "How the tool is got: apt:jq, pip:httpie==3.2.2, npm:, cargo:, go:, gem:, archive:URL#sha256=HEX, script:FILE or none; may be "
      "repeated",
      "STRATEGY[:WHAT]");
  app.add_flag("--install-again", flags.install_again, "Also where it is kept from an earlier run");
  app.add_option("--network", flags.network, "none, outbound (also called bridge or own) or host [none]; installation has outbound")
      ->option_text("KIND");
  app.add_option("-m,--memory", words.memory, "Of all commands of a context together [512m]; 0: no limit")->option_text("SIZE");
  app.add_option("--pids-limit", words.pids, "Processes and threads at a time [256]; 0 or -1: no limit")->option_text("N");
  app.add_option("--cpus", words.cpus, "CPU bandwidth in cores")->option_text("N");
  app.add_option("--disk", words.disk, "What a context may write [256m]; 0: no limit")->option_text("SIZE");
  declare_many(app, "-e,--env", words.env, "For all commands: NAME=VALUE, or NAME to pass the caller's on", "NAME[=VALUE]");
  declare_many(app, "--mount", words.mounts, "type=bind|overlay|tmpfs,source=...,target=...[,readonly]", "SPEC");
  declare_many(app, "-v,--volume", words.volumes, "Show a host path (read-only with :ro)", "SRC:DST[:ro]");
  app.add_option("-u,--user", flags.user, "Who commands are: ids, or names of the image [0:0; of an image: its own]")
      ->option_text("USER[:GROUP]");
  app.add_flag("--read-only", flags.read_only, "Only /tmp, /dev/shm and mounts can be written");
  app.add_option("-w,--workdir", flags.work_dir, "Where commands begin [/app; of an image: its own]")->option_text("DIR");
}

void declare_normalisation(CLI::App& app, PlanRequest& request, Words& words) {
  declare_many(app, "--without", request.without, "Leave a rule of normalisation out, such as duration; may be repeated", "RULE");
  declare_many(app, "--rule", words.rules, "Another one: what matches PATTERN (RE2) becomes BY; may be repeated", "NAME=PATTERN=BY");
}

void declare_run(CLI::App& app, PlanRequest& request, Words& words) {
  app.add_option("plan", request.plan, "The plan: JSON or YAML")->required()->option_text("PLAN");
  app.add_option("--config", request.config, "A file of YAML, JSON or TOML with a table 'execution'")->option_text("FILE");
  declare_place(app, request.flags, words);
  app.add_option("--isolate", words.isolate, "A context each plan, or each case [plan]")
      ->option_text("plan|case")
      ->check(CLI::IsMember({"plan", "case"}));
  app.add_option("--parallel", request.flags.parallel, "Contexts at a time; cases that need each other stay together [1]")
      ->option_text("N")
      ->check(CLI::Range(1U, 1000U));
  app.add_option("--timeout", words.timeout, "Of a command that does not say [60s]")->option_text("TIME");
  app.add_option("--retries", request.flags.retries, "Of a case that did not pass, in a fresh context [0]")
      ->option_text("N")
      ->check(CLI::Range(0U, 100U));
  app.add_option("--shell", request.flags.shell, "What runs the commands [/bin/sh]")->option_text("PROGRAM");
  declare_many(app, "--tag", request.selection.tags, "Cases with any of these tags; may be repeated", "TAG");
  declare_many(app, "--not-tag", request.selection.not_tags, "Cases with none of these; may be repeated", "TAG");
  declare_many(app, "--case", request.selection.ids, "These cases, by id or name; may be repeated", "ID");
  app.add_option("--match", request.selection.match, "Cases whose id, name or command this pattern (RE2) is in")->option_text("PATTERN");
  app.add_flag("--fail-fast", request.fail_fast, "No more cases after one that did not pass");
  app.add_option("--output", request.output, "Results, the plan with results, JUnit, HTML and artifacts go here")->option_text("DIR");
  app.add_flag("--json", request.json, "Print the results as one JSON object instead of text");
  app.add_flag("-q,--quiet", request.quiet, "Only what did not pass, and the summary");
  declare_normalisation(app, request, words);
}

struct Commands {
  CLI::App* run;
  CLI::App* record;
  CLI::App* verify;
  CLI::App* show;
  CLI::App* list;
  CLI::App* export_run;
  CLI::App* init;
};

Commands declare_all(CLI::App& app, PlanRequest& request, Words& words) {
  Commands commands{};
  commands.run = app.add_subcommand("run", "Run a plan, and say whether all is as it expects");
  commands.record = app.add_subcommand("record", "Run a plan, and keep what comes as what is expected");
  commands.verify = app.add_subcommand("verify", "Run a plan again, and compare with a recording");
  commands.show = app.add_subcommand("show", "What came of a run, or of one case of it");
  commands.list = app.add_subcommand("list", "The runs there were, newest first");
  commands.export_run = app.add_subcommand("export", "Write a run's results, JUnit, page and artifacts into a directory");
  commands.init = app.add_subcommand("init", "Write a first plan from what a tool says of itself");
  for (CLI::App* one : {commands.run, commands.record, commands.verify}) declare_run(*one, request, words);
  commands.run->add_flag("--resume", request.resume, "Go on with this plan's last run, if it was killed: finished cases are not run again");
  commands.run->add_flag("--write", request.write, "Fill the results into the plan's own file");
  commands.record->add_flag("--write", request.write, "Put the recording into the plan's own file, as expected_...");
  commands.record->add_option("-o,--output-file", request.output_file, "The same into another file")->option_text("FILE");
  commands.verify->add_option("--against", request.against, "A run's id or a results file [the plan's newest recording]")
      ->option_text("RUN|FILE");
  commands.verify->add_option("--compare", words.compare, "exact, contains or json [what the plan says, or exact]")
      ->option_text("MODE")
      ->check(CLI::IsMember({"exact", "contains", "json"}));
  commands.show->add_option("run", request.run, "Its id, or the beginning of it, or latest")->option_text("RUN [latest]");
  commands.show->add_option("case", request.one, "A case, by id or name")->option_text("CASE");
  commands.show->add_flag("--normalised", request.normalised, "Outputs as they are compared, not as they came");
  declare_normalisation(*commands.show, request, words);
  commands.list->add_option("plan", request.plan, "Only runs of this file")->option_text("PLAN");
  commands.list->add_option("-n,--limit", request.most, "At most so many [20]")->option_text("N")->check(CLI::Range(1U, 100'000U));
  commands.export_run->add_option("run", request.run, "Its id, or the beginning of it, or latest")->required()->option_text("RUN");
  commands.export_run->add_option("directory", request.directory, "Where to")->required()->option_text("DIR");
  declare_normalisation(*commands.export_run, request, words);
  commands.init->add_option("tool", request.tool, "Its program's name")->required()->option_text("TOOL");
  declare_place(*commands.init, request.flags, words);
  commands.init->add_option("-o,--output-file", request.output_file, "Where the plan goes: .json, .yaml [standard output, YAML]")
      ->option_text("FILE");
  for (CLI::App* one : {commands.show, commands.list}) one->add_flag("--json", request.json, "Print JSON instead of text");
  for (CLI::App* one : app.get_subcommands({})) {
    declare_color(*one, request.color);
    one->get_formatter()->column_width(34);
    one->footer(kFooter);
  }
  return commands;
}

// ---- what the words mean

Result<void> read_environment(const std::vector<std::string>& words, PlanFlags& flags) {
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (name.empty() || name.find_first_of(" \t\n") != std::string::npos)
      return invalid(fmt::format("--env '{}': write NAME=VALUE or NAME", name));
    if (equals != std::string::npos) {
      flags.environment[name] = word.substr(equals + 1);
    } else if (const char* value = std::getenv(name.c_str())) {
      flags.environment[name] = value;
    } else {
      flags.unset.push_back(name);
    }
  }
  return {};
}

Result<void> read_pids(const std::string& word, Limits& limits) {
  if (word.empty()) return {};
  if (word == "0" || word == "-1") {
    limits.pids.reset();
    return {};
  }
  std::uint32_t number = 0;
  const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (problem != std::errc{} || end != word.data() + word.size() || number > 4'194'304)
    return invalid(fmt::format("--pids-limit '{}': write a number from 1 to 4194304, or 0 for none", word));
  limits.pids = number;
  return {};
}

Result<void> read_limit(std::string_view option, const std::string& word, Result<void> (*read)(const std::string&, Limits&),
                        Limits& limits) {
  if (word.empty()) return {};
  const auto done = read(word, limits);
  return done ? Result<void>() : invalid(fmt::format("{}: {}", option, done.error().what));
}

Result<void> read_limits(const Words& words, Limits& limits) {
  limits = default_limits();
  TRY(read_limit("--memory", words.memory, read_memory_limit, limits));
  TRY(read_limit("--cpus", words.cpus, read_cpus_limit, limits));
  TRY(read_limit("--disk", words.disk, read_disk_limit, limits));
  return read_pids(words.pids, limits);
}

Result<void> read_mounts(const Words& words, std::vector<Mount>& mounts) {
  for (const std::string& word : words.volumes) {
    TRY_ASSIGN(Mount mount, parse_volume(word));
    mounts.push_back(std::move(mount));
  }
  for (const std::string& word : words.mounts) {
    TRY_ASSIGN(Mount mount, parse_mount(word));
    mounts.push_back(std::move(mount));
  }
  return {};
}

// NAME=PATTERN=BY: the name has no '=', what it becomes has none either.
Result<NormalisationRule> read_rule(const std::string& word) {
  const auto first = word.find('=');
  const auto last = word.rfind('=');
  if (first == std::string::npos || first == 0 || last == first || last == first + 1)
    return invalid(fmt::format("--rule '{}': write NAME=PATTERN=BY, as 'build=build [0-9]+=<build>'", word));
  return NormalisationRule{word.substr(0, first), word.substr(first + 1, last - first - 1), word.substr(last + 1)};
}

Result<void> settle(PlanRequest& request, const Words& words) {
  PlanFlags& flags = request.flags;
  TRY(read_environment(words.env, flags));
  TRY(read_limits(words, flags.limits));
  TRY(read_mounts(words, flags.mounts));
  flags.isolate_cases = words.isolate == "case";
  if (!words.timeout.empty()) {
    const auto time = parse_duration(words.timeout);
    if (!time) return invalid("--timeout: " + time.error().what);
    if (time->count() == 0) return invalid("--timeout: a command needs more than no time");
    flags.timeout = *time;
  }
  if (words.compare == "exact") request.compare = CompareMode::exact;
  if (words.compare == "contains") request.compare = CompareMode::contains;
  if (words.compare == "json") request.compare = CompareMode::json;
  for (const std::string& word : words.rules) {
    TRY_ASSIGN(NormalisationRule rule, read_rule(word));
    request.rules.push_back(std::move(rule));
  }
  if (request.action == Action::record && request.write && !request.output_file.empty())
    return invalid("--write and --output-file: choose one");
  return {};
}

Action chosen(const Commands& commands) {
  if (commands.run->parsed()) return Action::run;
  if (commands.record->parsed()) return Action::record;
  if (commands.verify->parsed()) return Action::verify;
  if (commands.show->parsed()) return Action::show;
  if (commands.list->parsed()) return Action::list;
  return commands.export_run->parsed() ? Action::export_run : Action::init;
}

}  // namespace

std::expected<PlanRequest, int> read_plan_arguments(const std::vector<std::string>& arguments) {
  CLI::App app("Runs test plans of command-line tools, in cells or in containers of Docker.", std::string(kPlanProgram));
  app.require_subcommand(1);
  app.footer(kFooter);
  PlanRequest request;
  Words words;
  const Commands commands = declare_all(app, request, words);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {  // --help
    return std::unexpected(app.exit(asked));
  } catch (const CLI::Error& wrong) {
    return std::unexpected(refuse(fmt::format("{} (see '{} --help')", parse_problem(app, wrong), kPlanProgram), arguments));
  }
  request.action = chosen(commands);
  if (auto settled = settle(request, words); !settled) return std::unexpected(refuse(settled.error().what, arguments));
  return request;
}

}  // namespace casemate
