#include "apps/history/history.h"

#include <chrono>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/history/test_views.h"
#include "base/terminal.h"
#include "base/units.h"
#include "casemate/outcome.h"
#include "command/command_line.h"
#include "report/printing.h"
#include "report/table.h"
#include "store/history.h"
#include "store/test_history.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kProgram = "casemate history";
constexpr int kOk = 0, kNoSuchId = 1;

struct Options {
  bool json = false;
  Color color = Color::automatic;
  HistoryQuery query;
  std::int64_t id = 0;
  std::string older_than;
  TestViewOptions tests;
};

int complain(const std::string& what, int code = kOwnFailure) { return casemate::complain(kProgram, what, code); }

// A task of the agent is many processes, whose time nobody adds up.
bool knows_cpu(const RunRecord& record) { return record.cpu_us != 0 || record.front_end != "agent"; }

Json to_json(const RunRecord& record) {
  Json json = {{"id", record.id},
               {"started_ms", record.started_ms},
               {"front_end", record.front_end},
               {"name", record.name},
               {"key", record.key},
               {"outcome", record.outcome},
               {"code", record.code},
               {"wall_us", record.wall_us},
               {"cpu_us", nullptr},
               {"peak_memory_bytes", nullptr},
               {"details", Json::parse(record.details, nullptr, false)}};
  if (knows_cpu(record)) json["cpu_us"] = record.cpu_us;
  if (record.peak_memory_bytes) json["peak_memory_bytes"] = *record.peak_memory_bytes;
  return json;
}

// Of a set-up that failed: the step is not kept, but what a front end says of it is.
std::string_view what_failed(const RunRecord& record) {
  const Json details = Json::parse(record.details, nullptr, false);
  if (!details.is_object()) return "";
  if (details.value("error_type", Json()) == "environment_setup_failed") return " (environment)";
  const Json status = details.value("exit_status", Json());
  return status == 127 ? " (command not found)" : status == 126 ? " (command can't be executed)" : "";
}

// Who ran it, and whether a remote engine did: `details` has its times then.
std::string front_end(const RunRecord& record) {
  const Json details = Json::parse(record.details, nullptr, false);
  return record.front_end + (details.is_object() && details.contains("remote") ? " (remote)" : "");
}

// Of the student's repository, where a task of the agent got one.
std::string commit_of_task(const RunRecord& record) {
  const Json details = Json::parse(record.details, nullptr, false);
  const Json commit = record.front_end == "agent" && details.is_object() ? details.value("commit", Json()) : Json();
  return commit.is_string() ? printable_name(commit.get<std::string>()) : "";
}

// What people ask of a task of the agent is its grade, not how its cells ended; "" for other jobs.
std::string_view result_of_task(const RunRecord& record) {
  if (record.front_end != "agent") return "";
  const Json details = Json::parse(record.details, nullptr, false);
  const Json result = details.is_object() ? details.value("result", Json()) : Json();
  for (const std::string_view word : {"passed", "failed", "error"}) {
    if (result == word) return word;
  }
  return "";
}

std::string ending(const RunRecord& record) {
  const auto kind = outcome_kind(record.outcome);
  if (kind == Outcome::Kind::exited || kind == Outcome::Kind::setup_failed) {
    if (const std::string_view result = result_of_task(record); !result.empty()) return std::string(result);
  }
  if (!kind) return record.outcome;
  if (*kind == Outcome::Kind::setup_failed) return fmt::format("{}{}", record.outcome, what_failed(record));
  return words(Outcome{*kind, record.code, "", ""});
}

std::string color_of(const RunRecord& record) { return record.outcome == "exited" && record.code == 0 ? "" : "31"; }

std::string duration(std::int64_t us) { return format_duration(std::chrono::microseconds(us)); }

int list(const History& history, const Options& options) {
  const auto records = history.find(options.query);
  if (!records) return complain(records.error().what);
  if (options.json) {
    Json all = Json::array();
    for (const RunRecord& record : *records) all.push_back(to_json(record));
    print_json(all);
    return kOk;
  }
  Table table({{"ID", Table::Align::right},
               {"STARTED"},
               {"FRONT END"},
               {"OUTCOME"},
               {"WALL", Table::Align::right},
               {"MEMORY", Table::Align::right},
               {"NAME"}});
  for (const RunRecord& record : *records) {
    table.add({std::to_string(record.id), format_moment(record.started_ms / 1000), front_end(record), ending(record),
               duration(record.wall_us), record.peak_memory_bytes ? format_bytes(*record.peak_memory_bytes) : "", record.name},
              color_of(record));
  }
  fmt::print("{}", table.text(colored(options.color, STDOUT_FILENO)));
  return kOk;
}

int show(const History& history, const Options& options) {
  const auto found = history.get(options.id);
  if (!found) return complain(found.error().what);
  if (!*found) return complain(fmt::format("there is no run {}; 'casemate history' lists them", options.id), kNoSuchId);
  const RunRecord& record = **found;
  if (options.json) {
    print_json(to_json(record));
    return kOk;
  }
  const auto line = [](std::string_view name, const std::string& value) { fmt::print("{:<10} {}\n", name, value); };
  line("id", std::to_string(record.id));
  line("started", format_moment(record.started_ms / 1000));
  line("front end", front_end(record));
  line("name", record.name);
  line("outcome", ending(record));
  if (const std::string commit = commit_of_task(record); !commit.empty()) line("commit", commit);
  line("wall", duration(record.wall_us));
  if (knows_cpu(record)) line("cpu", duration(record.cpu_us));
  if (record.peak_memory_bytes) line("memory", format_bytes(*record.peak_memory_bytes));
  if (!record.key.empty()) line("key", record.key);
  if (const Json details = Json::parse(record.details, nullptr, false); !details.empty())
    line("details", printable(details.dump(2, ' ', false, Json::error_handler_t::replace)));
  return kOk;
}

int prune(History& history, const Options& options) {
  // Days are what people mean here; parse_duration() ends at hours.
  std::string text = options.older_than;
  std::int64_t factor = 1;
  if (text.ends_with('d') || text.ends_with('w')) {
    factor = text.ends_with('d') ? 24 : 7 * 24;
    text.back() = 'h';
  }
  const auto age = parse_duration(text);
  if (!age) return complain(fmt::format("--older-than: '{}' is no age: write 30d, 2w, 12h or 90m", options.older_than));
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const std::int64_t before_ms = now.count() - age->count() * factor;
  const auto removed = history.prune(before_ms);
  if (!removed) return complain(removed.error().what);
  auto tests = TestHistory::open();
  if (!tests) return complain(tests.error().what);
  const auto of_tests = tests->prune(before_ms);
  if (!of_tests) return complain(of_tests.error().what);
  if (options.json)
    print_json({{"removed", *removed}, {"removed_test_runs", *of_tests}});
  else
    fmt::print("removed {} {}{}\n", *removed, *removed == 1 ? "run" : "runs",
               *of_tests == 0 ? "" : fmt::format(", and the tests of {}", *of_tests));
  return kOk;
}

}  // namespace

int history_main(const std::vector<std::string>& arguments) {
  CLI::App app("What casemate ran: newest first.", "casemate history");
  app.require_subcommand(0, 1);
  app.fallthrough();
  Options options;
  app.add_flag("--json", options.json, "Print JSON");
  declare_color(app, options.color);
  app.add_option("--limit", options.query.limit, "At most this many (20)")->option_text("N")->check(CLI::Range(0, 1'000'000));
  app.add_option("--front-end", options.query.front_end, "Only of this front end: run, script, ...")->option_text("F");
  app.add_option("--outcome", options.query.outcome, "Only with this outcome: exited, 'timed out', 'out of memory', ...")->option_text("O");
  app.add_option("--name", options.query.name_contains, "Only with this text in the name")->option_text("TEXT");
  app.footer(
      "Examples:\n"
      "  casemate history --limit 5\n"
      "  casemate history --outcome 'timed out' --json\n"
      "  casemate history show 42\n"
      "  casemate history tests --flaky\n"
      "  casemate history prune --older-than 30d\n\n"
      "The database lies in $CASEMATE_STATE_DIR, else $XDG_STATE_HOME/casemate, else ~/.local/state/casemate.\n"
      "Exit codes: 0 fine, 1 no such id, project or test, 125 failure.");
  auto* show_command = app.add_subcommand("show", "All about one run");
  show_command->add_option("id", options.id, "Its id in the list")->required()->option_text("ID");
  auto* prune_command = app.add_subcommand("prune", "Forget old runs");
  prune_command->add_option("--older-than", options.older_than, "30d, 2w, 12h, ...")->required()->option_text("AGE");
  const TestCommands test_commands = declare_test_views(app, options.tests);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {  // --help
    return app.exit(asked);
  } catch (const CLI::Error& wrong) {
    return complain(fmt::format("{} (see 'casemate history --help')", parse_problem(app, wrong)));
  }
  if (const std::string& wanted = options.query.outcome; !wanted.empty() && !outcome_kind(wanted))
    return complain(fmt::format("--outcome: there is no outcome '{}'; try exited, signaled, 'timed out' or 'out of memory'", wanted));
  if (test_commands.asked()) {
    options.tests.json = options.json;
    options.tests.color = options.color;
    options.tests.limit = options.query.limit;
    return printed(kProgram, [&] { return test_commands.runs->parsed() ? list_test_runs(options.tests) : list_tests(options.tests); });
  }
  const auto run = [&]() -> int {
    auto history = History::open();
    if (!history) return complain(history.error().what);
    if (!history->note().empty()) complain(history->note());
    if (show_command->parsed()) return show(*history, options);
    return prune_command->parsed() ? prune(*history, options) : list(*history, options);
  };
  return printed(kProgram, run);
}

}  // namespace casemate
