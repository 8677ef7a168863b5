#include "apps/pytest/arguments.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "apps/pytest/configuration.h"
#include "apps/pytest/settings.h"
#include "base/terminal.h"
#include "command/command_line.h"
#include "command/remote_options.h"
#include "session/bounds.h"
#include "session/filter.h"
#include "session/pytest_words.h"

namespace casemate {
namespace {

constexpr int kUsage = 2;
constexpr const char* kMaelstrom = "maelstrom-pytest";
constexpr std::string_view kLogLevel = "log-level";

constexpr const char* kFilters = R"(TEST: files, directories and node ids, as pytest takes them.

Filters (quote them for the shell): file name node_id package, each with
  .equals(x) .contains(x) .starts_with(x) .ends_with(x) .matches(REGEX) .globs(GLOB); markers.contains(x); all; none;
  joined by && || - ! or and, or, minus, not; A - B - C is (A - B) - C. Parameters stand in () [] {} <> or //.)";

constexpr const char* kOwnFooter = R"(
Letters are pytest's where pytest has them (-x, -s, -k, -m, -v ...), but -c, -l, -r N, -t, -w, which are maelstrom-pytest's.
What a plugin's option is and is not known here goes by --extra-pytest-args=--name=value.

Examples:
  casemate pytest
  casemate pytest tests/test_a.py::test_b -k 'not slow' -x
  casemate pytest --include 'file.globs(tests/unit/**) - markers.contains(slow)' --retries 2 --junit-xml out.xml
  casemate pytest --image docker://python:3.12-slim --requirements requirements.txt --memory 512m --shard 1/4
  casemate pytest --init
)";

constexpr const char* kMaelstromFooter = R"(
Examples:
  maelstrom-pytest --init
  maelstrom-pytest --slots 8 --include 'file.equals(tests/test_a.py)' --exclude 'markers.contains(slow)'
  maelstrom-pytest --list
)";

constexpr const char* kLastFooter = R"(
Settings that have a long name can also be set by the environment (--stop-after: MAELSTROM_PYTEST_STOP_AFTER or
CASEMATE_PYTEST_STOP_AFTER), by [tool.casemate] in pyproject.toml and by files of the user: see --print-config.

Exit status: 0 all passed, 1 failures, 2 usage or configuration, 3 casemate could not run them, 4 nothing matched, 130 interrupted.)";

// What CLI11 collects, before it has meaning.
struct Words {
  std::map<std::string, std::vector<std::string>> settings;
  std::deque<std::vector<std::string>> passed;  // one for each of pytest_words()
  std::vector<std::string> include, exclude, paths;
  std::optional<std::string> config_file, pytest_config;
  RemoteWords remote;
  bool list = false, init = false, watch = false, why = false, print_config = false, version = false, last_failed = false,
       failed_first = false, new_first = false, first_failure = false, no_capture = false;
  int verbose = 0, quiet = 0;
};

std::string flag_names(const PytestSetting& setting, bool as_maelstrom) {
  if (setting.key == kLogLevel && !as_maelstrom) return std::string(setting.own_letters);  // the long one is pytest's
  std::string names;
  const std::string_view letters = as_maelstrom ? setting.letters : setting.own_letters;
  if (!letters.empty()) names += fmt::format("{},", letters);
  names += fmt::format("--{}", setting.key);
  if (!setting.aliases.empty()) names += fmt::format(",{}", setting.aliases);
  return names;
}

// A flag, its opposite, or both: whichever is not how it is anyway.
void declare_flag(CLI::App& app, const PytestSetting& setting, std::vector<std::string>& values) {
  const std::string key(setting.key);
  const std::string group(setting.group);
  const std::string help(setting.help);
  if (setting.otherwise != "true") app.add_flag_callback("--" + key, [&values] { values = {"true"}; }, help)->group(group);
  if (setting.otherwise == "false") return;
  const std::string opposite = setting.otherwise == "true" ? help : fmt::format("not --{}", key);
  app.add_flag_callback("--no-" + key, [&values] { values = {"false"}; }, opposite)->group(group);
}

void declare_settings(CLI::App& app, Words& words, bool as_maelstrom) {
  for (const PytestSetting& setting : pytest_settings()) {
    const std::string key(setting.key);
    std::vector<std::string>& values = words.settings[key];
    if (setting.kind == PytestSetting::Kind::flag) {
      declare_flag(app, setting, values);
      continue;
    }
    auto* option = app.add_option(flag_names(setting, as_maelstrom), values, std::string(setting.help))
                       ->group(std::string(setting.group))
                       ->type_name(std::string(setting.value))
                       ->expected(1)
                       ->allow_extra_args(false);
    if (setting.kind == PytestSetting::Kind::list)
      option->take_all();
    else
      option->take_last();
  }
}

void declare_actions(CLI::App& app, Words& words, bool as_maelstrom) {
  const auto flag = [&](const char* names, bool& value, const char* help, const char* group) {
    app.add_flag(names, value, help)->group(group);
  };
  flag("--version", words.version, "print the version", "What to do");
  flag("-P,--print-config", words.print_config, "print all settings as TOML, and who set them", "What to do");
  flag("--init", words.init, "write a first maelstrom-pytest.toml", "What to do");
  flag("-l,--list,--co,--collect-only", words.list, "print the selected tests, run none", "What to do");
  flag("--why", words.why, "print what has changed since results were last kept (--cache), run none", "What to do");
  flag("-w,--watch", words.watch, "run again whenever a file of the project changes", "What to do");
  const auto many = [&](const std::string& names, std::vector<std::string>& values, const char* type, const char* help) {
    app.add_option(names, values, help)->group("Which tests")->type_name(type)->expected(1)->take_all()->allow_extra_args(false);
  };
  many("-i,--include", words.include, "FILTER", "only tests that a filter takes; may be repeated [all]");
  many(as_maelstrom ? "-x,--exclude" : "--exclude", words.exclude, "FILTER", "none that a filter takes; may be repeated");
  flag("--lf,--last-failed", words.last_failed, "only what failed the last time; all if nothing did", "Which tests");
  flag("--ff,--failed-first", words.failed_first, "what failed the last time first", "Which tests");
  flag("--nf,--new-first", words.new_first, "accepted: new tests always run first, then lately failed and long ones", "Which tests");
  app.add_option("-c,--config-file", words.config_file, "settings from this file of TOML, not the user's; -: from none")
      ->group("What to do")
      ->type_name("FILE");
}

void declare_pytest_words(CLI::App& app, Words& words, bool as_maelstrom) {
  const char* const group = "pytest's own";
  app.add_flag(as_maelstrom ? "--exitfirst" : "-x,--exitfirst", words.first_failure, "stop after the first failure")->group(group);
  if (!as_maelstrom) app.add_flag("-s", words.no_capture, "--capture=no")->group(group);
  app.add_flag("-v,--verbose", words.verbose, "more; may be repeated")->group(group);
  app.add_flag("-q,--quiet", words.quiet, "less; may be repeated")->group(group);
  app.add_option("--pytest-config", words.pytest_config, "pytest's ini file (pytest's -c)")->group(group)->type_name("FILE");
  for (const PytestWord& word : pytest_words()) {
    std::vector<std::string>& values = words.passed.emplace_back();
    if (as_maelstrom && word.names == "--log-level") continue;
    const std::string names(word.names);
    const std::string shown = word.help.empty() ? "" : group;
    if (word.value == PytestWord::Value::none) {
      app.add_flag_callback(names, [&values] { values.emplace_back(); }, std::string(word.help))->group(shown);
      continue;
    }
    auto* option = app.add_option(names, values, std::string(word.help))
                       ->group(shown)
                       ->type_name(std::string(word.type))
                       ->take_all()
                       ->allow_extra_args(false);
    if (word.value == PytestWord::Value::needed)
      option->expected(1);
    else
      option->expected(0, 1);
  }
}

// "-r=2" is "-r2", as maelstrom-pytest and pytest read it.
void drop_equals_signs(const CLI::App& app, std::vector<std::string>& arguments) {
  for (std::string& word : arguments) {
    if (word.size() < 4 || word[0] != '-' || word[1] == '-' || word[2] != '=') continue;
    const CLI::Option* option = app.get_option_no_throw(word.substr(0, 2));
    if (option && option->get_items_expected_max() > 0) word.erase(2, 1);
  }
}

// The words of pytest as it will read them.
std::vector<std::string> passed_on(const Words& words, bool as_maelstrom) {
  std::vector<std::string> all;
  std::size_t at = 0;
  for (const PytestWord& word : pytest_words()) {
    const std::string name(word.names.substr(word.names.rfind(',') + 1));
    for (const std::string& value : words.passed[at]) {
      if (word.value == PytestWord::Value::none || (word.value == PytestWord::Value::optional && value.empty())) {
        all.push_back(name);
      } else if (name.starts_with("--")) {
        all.push_back(fmt::format("{}={}", name, value));
      } else {
        all.push_back(name);
        all.push_back(value);
      }
    }
    ++at;
  }
  if (words.no_capture) all.emplace_back("--capture=no");
  if (words.pytest_config) all.insert(all.end(), {"-c", *words.pytest_config});
  const int verbose = words.verbose - words.quiet + (as_maelstrom ? 1 : 0);  // maelstrom-pytest calls pytest with --verbose
  if (verbose > 0) all.push_back("-" + std::string(static_cast<std::size_t>(verbose), 'v'));
  return all;
}

PytestConfiguration said_on_the_command_line(const Words& words, const std::vector<std::string>& after) {
  PytestConfiguration said;
  for (const auto& [key, values] : words.settings) {
    if (!values.empty()) said[key] = {values, "--" + key};
  }
  if (words.first_failure) said["stop-after"] = {{"1"}, "--exitfirst"};
  if (after.empty()) return said;
  SaidValue& last = said["extra-pytest-test-args"];
  last.origin = "--";
  last.values.insert(last.values.end(), after.begin(), after.end());
  return said;
}

Result<void> take_filters(const std::vector<std::string>& texts, const char* flag, std::vector<std::string>& into) {
  for (const std::string& text : texts) {
    const auto parsed = TestFilter::parse(text);
    if (!parsed) return fail(ErrorCode::invalid_input, fmt::format("{} '{}': {}", flag, printable_line(text), parsed.error().what));
    into.push_back(text);
  }
  return {};
}

PytestRequest::Action action_of(const Words& words) {
  using Action = PytestRequest::Action;
  if (words.print_config) return Action::print_config;
  if (words.init) return Action::init;
  if (words.list) return Action::list;
  if (words.why) return Action::why;
  return words.watch ? Action::watch : Action::run;
}

std::string version(bool as_maelstrom) {
  return as_maelstrom ? "maelstrom-pytest 0.14.0 (casemate " CASEMATE_VERSION ")\n" : "casemate " CASEMATE_VERSION "\n";
}

// One parse of one command line.
class Parse {
 public:
  Parse(std::string_view program, const PytestSurroundings& surroundings)
      : program_(program), surroundings_(surroundings), as_maelstrom_(program == kMaelstrom) {}

  ParsedPytest run(const std::vector<std::string>& arguments) {
    const auto mark = std::find(arguments.begin(), arguments.end(), "--");
    const std::vector<std::string> after(mark == arguments.end() ? mark : mark + 1, arguments.end());
    if (auto stopped = read_words({arguments.begin(), mark})) return std::move(*stopped);
    if (words_.version) return {.stop = true, .text = version(as_maelstrom_)};
    ParsedPytest parsed;
    const auto made = meaning(after, parsed);
    return made ? std::move(parsed) : wrong(made.error().what);
  }

 private:
  [[nodiscard]] ParsedPytest wrong(std::string_view what) const {
    return {.stop = true, .exit_status = kUsage, .text = fmt::format("{}: {}\n", program_, what)};
  }

  // The command line by CLI11; what ends the matter (help, a mistake) is given back.
  std::optional<ParsedPytest> read_words(std::vector<std::string> arguments) {
    CLI::App app("Run the tests of a project, each in a fresh micro-container of its own.", std::string(program_));
    app.name(fmt::format("{} [TEST...]", program_));  // "Usage: casemate pytest [TEST...] [OPTIONS]"
    app.allow_extras();                               // a positional option would take "[a]" for a list
    app.footer(fmt::format("{}\n{}{}", kFilters, as_maelstrom_ ? kMaelstromFooter : kOwnFooter, kLastFooter));
    app.get_formatter()->column_width(40);
    app.set_help_flag("-h,--help", "print this")->group("What to do");
    declare_actions(app, words_, as_maelstrom_);
    declare_settings(app, words_, as_maelstrom_);
    declare_pytest_words(app, words_, as_maelstrom_);
    declare_remote_options(app, words_.remote);
    try {
      drop_equals_signs(app, arguments);
      std::reverse(arguments.begin(), arguments.end());
      app.parse(arguments);
      words_.paths = app.remaining();
      for (const std::string& word : words_.paths) {
        if (const std::string why = why_not(word); !why.empty()) return wrong(why);
      }
      const auto is_option = [](const std::string& word) { return word.size() > 1 && word.starts_with('-'); };
      if (std::any_of(words_.paths.begin(), words_.paths.end(), is_option)) throw CLI::ExtrasError(words_.paths);
    } catch (const CLI::CallForHelp&) {
      return ParsedPytest{.stop = true, .text = app.help()};
    } catch (const CLI::ArgumentMismatch& error) {
      const std::string_view what = error.what();
      return wrong(fmt::format("{} needs a value (see '{} --help')", what.substr(0, what.find(':')), program_));
    } catch (const CLI::ParseError& error) {
      const std::string problem = parse_problem(app, error);
      const bool is_unknown = problem.starts_with("there is no option '--") && !problem.ends_with('?');
      return wrong(fmt::format("{}{} (see '{} --help')", problem,
                               is_unknown ? "; what is a plugin's is written --extra-pytest-args=--NAME, or after -- for tests alone" : "",
                               program_));
    }
    return std::nullopt;
  }

  Result<void> meaning(const std::vector<std::string>& after, ParsedPytest& parsed) {
    PytestRequest& request = parsed.request;
    request.as_maelstrom = as_maelstrom_;
    request.directory = surroundings_.directory;
    request.action = action_of(words_);
    TRY(leave_root(request));
    request.verbosity = words_.verbose - words_.quiet;
    request.last_failed = words_.last_failed;
    request.failed_first = words_.failed_first;
    TRY(take_filters(words_.include, "--include", request.include));
    TRY(take_filters(words_.exclude, "--exclude", request.exclude));
    PytestConfiguration said = said_on_the_command_line(words_, after);
    // What writes the first configuration needs none.
    if (request.action != PytestRequest::Action::init)
      TRY(complete_configuration(said, {request.directory, words_.config_file, surroundings_.environment}, request.notes));
    // A setting's words come before the command line's, which may take them back.
    TRY(store_configuration(said, request));
    if (request.action == PytestRequest::Action::print_config) {
      parsed.stop = true;
      TRY_ASSIGN(const std::string engine, print_remote_options(words_.remote, request.directory));
      parsed.text = print_configuration(said) + engine;
      return {};
    }
    TRY(choose_engine(said, request));
    if (request.cache && request.executor == "docker")
      return fail(ErrorCode::not_supported, "--cache can't be had with --executor docker; leave one of them out");
    const std::vector<std::string> typed = passed_on(words_, as_maelstrom_);
    request.pytest_arguments.insert(request.pytest_arguments.end(), typed.begin(), typed.end());
    request.pytest_arguments.insert(request.pytest_arguments.end(), words_.paths.begin(), words_.paths.end());
    make_absolute(request);
    return {};
  }

  // An engine that nobody asked for by --executor is one that --remote, a variable or a file names.
  Result<void> choose_engine(const PytestConfiguration& said, PytestRequest& request) {
    const bool chosen = said.contains("executor");
    if (chosen && request.executor != "remote") {
      if (words_.remote.address.empty()) return {};
      return fail(ErrorCode::invalid_input,
                  fmt::format("--executor {} runs nothing on a remote engine: leave it or --remote out", request.executor));
    }
    TRY_ASSIGN(request.remote, remote_choice(words_.remote, request.directory));
    if (!request.remote && chosen) return fail(ErrorCode::invalid_input, "--executor remote needs an engine: --remote ADDRESS");
    if (request.remote && request.remote->image_as_property)
      return fail(ErrorCode::not_supported, "tests run on images that are sent: leave --remote-image property out");
    request.executor = request.remote ? "remote" : request.executor;
    if (request.remote) {
      if (const std::string note = project_engine_note(*request.remote); !note.empty()) request.notes.push_back(note);
    }
    return {};
  }

  // "/" is no project, and can't be shown in a cell: that of the named tests is meant, as if started there.
  Result<void> leave_root(PytestRequest& request) {
    using Action = PytestRequest::Action;
    if (request.directory != "/" || request.action == Action::init || request.action == Action::print_config) return {};
    std::vector<std::string> paths = words_.paths;
    for (std::string& path : paths) {
      if (!path.starts_with('/')) path.insert(0, "/");
    }
    const std::string project = project_of(paths);
    if (project.empty())
      return fail(ErrorCode::invalid_input, "/ is no project: cd into the one whose tests are to run, or name them by their paths");
    words_.paths = std::move(paths);
    request.directory = project;
    return {};
  }

  // Reports are written where the command was typed.
  void make_absolute(PytestRequest& request) const {
    for (std::string* path : {&request.junit_xml, &request.json_lines, &request.html}) {
      if (path == &request.json_lines && *path == kStandardOutput) continue;
      if (!path->empty() && !path->starts_with('/')) *path = fmt::format("{}/{}", surroundings_.directory, *path);
    }
  }

  std::string_view program_;
  const PytestSurroundings& surroundings_;
  bool as_maelstrom_;
  Words words_;
};

}  // namespace

ParsedPytest parse_pytest(const std::vector<std::string>& arguments, std::string_view program, const PytestSurroundings& surroundings) {
  return Parse(program, surroundings).run(arguments);
}

}  // namespace casemate
