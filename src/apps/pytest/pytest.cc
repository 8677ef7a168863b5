#include "apps/pytest/pytest.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "apps/pytest/arguments.h"
#include "apps/pytest/init.h"
#include "apps/pytest/rerun.h"
#include "apps/pytest/slowest.h"
#include "base/terminal.h"
#include "command/executors.h"
#include "command/input_changes.h"
#include "report/failure_text.h"
#include "report/github.h"
#include "report/history_sink.h"
#include "report/html.h"
#include "report/json_lines.h"
#include "report/junit.h"
#include "report/printing.h"
#include "report/test_console.h"
#include "session/bounds.h"
#include "session/session.h"
#include "session/suite_cache.h"
#include "store/code_digest.h"
#include "store/test_history.h"

namespace casemate {
namespace {

namespace fs = std::filesystem;

constexpr int kUsage = 2;
constexpr int kEngine = 3;

// Where people read: stdout, unless that is a program's.
int console_of(const PytestRequest& request) { return request.json_lines == kStandardOutput ? STDERR_FILENO : STDOUT_FILENO; }

ConsoleOptions::Display display_of(const PytestRequest& request) {
  switch (request.ui) {
    case PytestRequest::Ui::fancy:
      return ConsoleOptions::Display::fancy;
    case PytestRequest::Ui::simple:
      return ConsoleOptions::Display::simple;
    case PytestRequest::Ui::quiet:
      return ConsoleOptions::Display::quiet;
    case PytestRequest::Ui::automatic:
      break;
  }
  return TestConsole::display_for(console_of(request));
}

Color color_of(const std::string& when) { return when == "always" ? Color::always : when == "never" ? Color::never : Color::automatic; }

std::unique_ptr<Sink> console_for(const PytestRequest& request, bool on_github) {
  ConsoleOptions options;
  options.fd = console_of(request);
  options.display = display_of(request);
  options.as_maelstrom = request.as_maelstrom;
  options.on_github = on_github;
  options.color = color_of(request.color);
  options.verbosity = request.verbosity;
  options.inline_limit = request.inline_limit;
  options.slow_after = request.slow_after.value_or(options.slow_after);
  options.tries = request.retries ? *request.retries + 1 : 0;
  return std::make_unique<TestConsole>(options);
}

std::unique_ptr<Sink> github_report(const PytestRequest& request) {
  GithubOptions options = GithubOptions::from_environment();
  options.fd = console_of(request);  // a runner reads both
  return std::make_unique<GithubReport>(options);
}

// The project's code, but for what this run writes itself; and the packages that an activated environment has, as far as names tell them.
std::shared_ptr<CodeSurvey> code_of(const PytestRequest& request) {
  CodePlace place;
  place.directory = project_directory(request.directory, request.pytest_arguments);
  std::error_code problem;
  for (const std::string* report : {&request.junit_xml, &request.json_lines, &request.html}) {
    if (!report->empty() && *report != kStandardOutput) place.without.push_back(fs::absolute(*report, problem).lexically_normal());
  }
  const char* environment = std::getenv("VIRTUAL_ENV");
  if (environment && *environment) {
    for (auto entry = fs::directory_iterator(fs::path(environment) / "lib", problem); !problem && entry != fs::directory_iterator();
         entry.increment(problem))
      place.installed.push_back(entry->path() / "site-packages");
  }
  return std::make_shared<CodeSurvey>(std::move(place));
}

/// Everybody who hears of a run, and what they write to.
class Audience {
 public:
  Audience(const PytestRequest& request, std::optional<TestHistory>& history) {
    const bool github = request.github.value_or(GithubOptions::on_a_runner());
    add(console_for(request, github));
    if (request.durations) add(std::make_unique<SlowestPhases>(*request.durations, request.verbosity, console_of(request)));
    if (github) add(github_report(request));
    if (!request.json_lines.empty()) add(std::make_unique<JsonLinesReport>(request.json_lines));
    if (!request.junit_xml.empty()) add(std::make_unique<JunitReport>(request.junit_xml));
    if (!request.html.empty()) {
      HtmlOptions html;
      html.path = request.html;
      if (history) html.past = past_in(*history, request.directory);
      add(std::make_unique<HtmlReport>(std::move(html)));
    }
    if (!history) return;
    auto sink = std::make_unique<HistorySink>(*history, HistorySinkOptions{.code = code_of(request), .remote = request.remote.has_value()});
    history_ = sink.get();
    add(std::move(sink));
  }

  [[nodiscard]] std::vector<Sink*> sinks() const {
    std::vector<Sink*> all;
    for (const auto& sink : sinks_) all.push_back(sink.get());
    return all;
  }
  [[nodiscard]] std::string trouble() const { return history_ ? history_->trouble() : ""; }

 private:
  void add(std::unique_ptr<Sink> sink) { sinks_.push_back(std::move(sink)); }
  std::vector<std::unique_ptr<Sink>> sinks_;
  HistorySink* history_ = nullptr;
};

// nullopt: there can't be one, as was said; `without` is what follows from that.
std::optional<TestHistory> open_history(std::string_view program, std::string_view without) {
  auto opened = TestHistory::open();
  if (!opened) {
    complain(program, fmt::format("{}; {}", opened.error().what, without));
    return std::nullopt;
  }
  if (!opened->note().empty()) complain(program, opened->note());
  return std::move(*opened);
}

int run(const PytestRequest& request, const std::vector<std::string>& typed, std::string_view program) {
  std::optional<TestHistory> history = open_history(program, "this run is not recorded");
  const Audience audience(request, history);
  SessionOptions options{.typed = typed, .sinks = audience.sinks(), .history = history ? &*history : nullptr};
  const int status = run_tests(request, options);
  if (const std::string trouble = audience.trouble(); !trouble.empty()) complain(program, trouble);
  return status;
}

/// What a list says on stderr: notes, files that could not be collected, why there is none.
class ListTroubles : public Sink {
 public:
  ListTroubles(const PytestRequest& request, std::string_view program) : request_(request), program_(program) {}
  void note(std::string_view line) override { say(fmt::format("note: {}\n", printable_line(line))); }
  void collected(const Collected& collected) override {
    for (const TestResult& problem : collected.problems)
      say(failure_text(problem, request_.inline_limit, kColumns, colored(color_of(request_.color), STDERR_FILENO)));
    if (collected.selected == 0 && collected.problems.empty()) complain(program_, "no tests");
  }
  std::string run_finished(const RunEnd& end) override {
    if (!end.problem.empty()) say(fmt::format("{}: {}", program_, printable(with_newlines(end.problem))));
    return "";
  }

 private:
  static constexpr std::size_t kColumns = 80;
  const PytestRequest& request_;
  std::string_view program_;
};

// Node ids on stdout, everything else on stderr.
int list(const PytestRequest& request, const std::vector<std::string>& typed, std::string_view program) {
  ListTroubles troubles(request, program);
  std::optional<TestHistory> history;
  if (request.last_failed) history = open_history(program, "what failed is not known");
  std::string ids;
  SessionOptions options{.typed = typed, .sinks = {&troubles}, .history = history ? &*history : nullptr, .list = [&](const TestCase& test) {
                           ids += test.id + "\n";
                         }};
  const int status = run_tests(request, options);
  return put(program, ids, status);
}

// What has changed on stdout, everything else on stderr.
int tell_why(const PytestRequest& request, std::string_view program) {
  ListTroubles troubles(request, program);
  std::string text;
  const auto why = [&](const JobInputs& inputs, const std::string& container, std::size_t kept, const Store& store) {
    const InputChanges changes = input_changes(InputHistory(store.directory()), request.directory, suite_command(container), inputs);
    if (!request.json_lines.empty()) {
      nlohmann::ordered_json object;
      put_changes(object, changes);
      object["results_kept"] = kept;
      text = object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
      return;
    }
    text = text_of(changes, "No results of these tests were kept in this directory.") +
           (kept > 0 ? fmt::format("Results of {} {} are kept for these inputs: 'casemate pytest --cache' does not run {}.\n", kept,
                                   kept == 1 ? "test" : "tests", kept == 1 ? "it" : "them")
                     : "No results are kept for these inputs: 'casemate pytest --cache' runs all tests.\n");
  };
  const int status = run_tests(request, {.typed = {}, .sinks = {&troubles}, .why = why});
  return put(program, text, status);
}

}  // namespace

namespace {

// For reports and history: what a header says may be a secret.
std::vector<std::string> without_secrets(std::vector<std::string> typed) {
  bool next = false;
  for (std::string& word : typed) {
    if (next) word = "...";
    next = word == "--remote-header" || word == "--remote_header";
    for (const std::string_view flag : {"--remote-header=", "--remote_header="}) {
      if (word.starts_with(flag)) word = std::string(flag) + "...";
    }
  }
  return typed;
}

}  // namespace

int pytest_main(const std::vector<std::string>& arguments, std::string_view program) {
  std::error_code problem;
  const PytestSurroundings surroundings{.directory = std::filesystem::current_path(problem),
                                        .environment = [](const std::string& name) { return std::getenv(name.c_str()); }};
  if (problem) return complain(program, "the working directory is gone: " + problem.message(), kUsage);
  const ParsedPytest parsed = parse_pytest(arguments, program, surroundings);
  if (parsed.stop) {
    if (parsed.exit_status == 0) return put(program, parsed.text, 0);
    say(parsed.text);
    return parsed.exit_status;
  }
  const PytestRequest& request = parsed.request;
  if (request.action != PytestRequest::Action::init) {
    if (const auto there = need_executor(request.executor); !there) return complain(program, there.error().what, kEngine);
  }
  switch (request.action) {
    case PytestRequest::Action::init: {
      const auto written = write_first_directives(request.directory, request.as_maelstrom);
      if (!written && request.as_maelstrom && written.error().code == ErrorCode::refused)
        return put(program, written.error().what + "\n", kUsage);
      return written ? put(program, *written, 0) : complain(program, written.error().what, kUsage);
    }
    case PytestRequest::Action::list:
      return list(request, without_secrets(arguments), program);
    case PytestRequest::Action::why:
      return tell_why(request, program);
    case PytestRequest::Action::watch:
      return rerun_on_changes(request, program, [&] { return run(request, without_secrets(arguments), program); });
    default:
      return run(request, without_secrets(arguments), program);
  }
}

}  // namespace casemate
