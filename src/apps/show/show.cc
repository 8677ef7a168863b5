#include "apps/show/show.h"

#include <memory>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/terminal.h"
#include "command/command_line.h"
#include "report/event_json.h"
#include "report/html.h"
#include "report/json_lines.h"
#include "report/junit.h"
#include "report/printing.h"
#include "report/test_console.h"
#include "store/place.h"
#include "store/run_log.h"
#include "store/test_history.h"

namespace casemate {
namespace {

constexpr std::string_view kProgram = "casemate show";
constexpr int kOk = 0, kNoRun = 1;

struct Options {
  std::string directory = ".";
  bool json = false;
  int verbosity = 0;
  std::string html;
  std::string junit_xml;
  Color color = Color::automatic;
};

int complain(const std::string& what, int code = kOwnFailure) { return casemate::complain(kProgram, what, code); }

// Hands one stream of events to all who listen. The first line says whose run it is.
class Replay : public Sink {
 public:
  void listen(std::unique_ptr<Sink> sink) { sinks_.push_back(std::move(sink)); }
  [[nodiscard]] std::string problem() const override { return problem_; }
  [[nodiscard]] bool finished() const { return finished_; }

  void run_started(const RunStart& run) override {
    for (const auto& sink : sinks_) sink->run_started(run);
  }
  void progress(std::string_view line, bool finished) override {
    for (const auto& sink : sinks_) sink->progress(line, finished);
  }
  void collected(const Collected& collected) override {
    for (const auto& sink : sinks_) sink->collected(collected);
  }
  void test_finished(const TestResult& result) override {
    for (const auto& sink : sinks_) sink->test_finished(result);
  }
  void note(std::string_view line) override {
    for (const auto& sink : sinks_) sink->note(line);
  }
  std::string run_finished(const RunEnd& end) override {
    finished_ = true;
    for (const auto& sink : sinks_) {
      const std::string problem = sink->run_finished(end);
      if (problem_.empty()) problem_ = problem;
    }
    return problem_;
  }

 private:
  std::vector<std::unique_ptr<Sink>> sinks_;
  std::string problem_;
  bool finished_ = false;
};

// The project that `directory` lies in: the nearest directory upwards of which a run is kept.
Result<std::string> project_of(const std::string& directory) {
  TRY_ASSIGN(const auto places, upwards_from(directory));
  for (const std::string& place : places) {
    bool kept = false;
    // One line is enough to know.
    const auto read = read_run_log(place, kEventLineLimit, [&](std::string_view) {
      kept = true;
      return Result<void>(fail(ErrorCode::cancelled, ""));
    });
    if (kept) return place;
    if (!read && read.error().code != ErrorCode::not_found) return std::unexpected(read.error());
  }
  return fail(ErrorCode::not_found, fmt::format("no run of tests in {} or above is kept; 'casemate history runs' lists what is known",
                                                printable_name(places.front())));
}

int replay_run(const std::string& project, const Options& options) {
  std::optional<TestHistory> history;
  Replay replaying;
  if (!options.html.empty()) {
    HtmlOptions html;
    html.path = options.html;
    if (auto opened = TestHistory::open()) {
      history.emplace(std::move(*opened));
      html.past = past_in(*history, project);
    } else {
      complain(opened.error().what);
    }
    replaying.listen(std::make_unique<HtmlReport>(std::move(html)));
  }
  if (!options.junit_xml.empty()) replaying.listen(std::make_unique<JunitReport>(options.junit_xml));
  if (options.json) replaying.listen(std::make_unique<JsonLinesReport>("-"));
  if (!options.json && options.html.empty() && options.junit_xml.empty()) {
    ConsoleOptions console;
    console.color = options.color;
    console.verbosity = options.verbosity - 1;
    replaying.listen(std::make_unique<TestConsole>(console));
  }
  const auto read = read_run_log(project, kEventLineLimit, [&](std::string_view line) { return replay(line, replaying); });
  if (!read) return complain(fmt::format("the last run of {} can't be shown: {}", printable_name(project), read.error().what));
  if (!replaying.finished()) return complain(fmt::format("the record of the last run of {} has no end", printable_name(project)));
  return replaying.problem().empty() ? kOk : complain(replaying.problem());
}

}  // namespace

int show_main(const std::vector<std::string>& arguments) {
  CLI::App app("The last run of tests in a project, again: failures and summary.", "casemate show");
  Options options;
  app.add_option("directory", options.directory, "The project, or a directory in it (the current one)")->option_text("DIRECTORY");
  app.add_flag("-v,--verbose", options.verbosity, "A line for each test; -vv: with reasons, -vvv: with resources");
  app.add_option("--html", options.html, "Write an HTML page instead")->option_text("FILE");
  app.add_option("--junit-xml", options.junit_xml, "Write JUnit XML instead")->option_text("FILE");
  app.add_flag("--json", options.json, "Print the events of the run, a line of JSON each");
  declare_color(app, options.color);
  app.footer(
      "Examples:\n"
      "  casemate show\n"
      "  casemate show --html report.html ~/project\n\n"
      "Of the last 32 projects the last run that came to its end is kept.\n"
      "Exit codes: 0 fine (whatever the tests did), 1 no run is kept, 125 failure.");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success& asked) {  // --help
    return app.exit(asked);
  } catch (const CLI::Error& wrong) {
    return complain(fmt::format("{} (see 'casemate show --help')", parse_problem(app, wrong)));
  }
  const auto project = project_of(options.directory);
  if (!project) return complain(project.error().what, project.error().code == ErrorCode::not_found ? kNoRun : kOwnFailure);
  return replay_run(*project, options);
}

}  // namespace casemate
