#include "report/test_console.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <unistd.h>

#include "base/terminal.h"
#include "base/units.h"
#include "report/failure_text.h"
#include "report/printing.h"
#include "report/workflow_command.h"

namespace casemate {
namespace {

using Display = ConsoleOptions::Display;

constexpr std::size_t kMostWaiting = 16u << 20;
constexpr std::size_t kMostKept = 16u << 20;  // bytes of failures that are printed again at the end
constexpr std::string_view kLeakColor = "35";
constexpr std::chrono::microseconds kBetweenDraws{100'000};
constexpr std::chrono::seconds kBetweenProgress{5};

// Every line of `text` behind four blanks; `text` is printable and ends with a newline or has none.
std::string indented(const std::string& text) { return "    " + text + "\n"; }

std::string seconds(std::chrono::microseconds took) {
  const double value = static_cast<double>(took.count()) / 1e6;
  const auto whole = static_cast<long>(value);
  std::string text = fmt::format("{:.2f}s", value);
  if (whole >= 60) text += fmt::format(" ({}:{:02}:{:02})", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

}  // namespace

Display TestConsole::display_for(int fd) { return can_move_cursor(fd) ? Display::fancy : Display::simple; }

TestConsole::TestConsole(const ConsoleOptions& options)
    : options_(options), out_(options.fd), colors_(colored(options.color, options.fd)), running_(options.slow_after) {
  const bool can = can_move_cursor(options.fd);
  if (fancy() && !can) options_.display = Display::simple;
  live_ = can && !simple();
}

TestConsole::~TestConsole() {
  if (area_.shown()) out_.add_own(area_.clear());
}

// What a plan's commands leave running is there for the next.
bool TestConsole::leaks(const TestResult& result) const { return !options_.of_plan && !result.leftovers.empty(); }

std::size_t TestConsole::columns() const { return out_.terminal() ? std::max<std::size_t>(screen_of(options_.fd).columns, 20) : 80; }

void TestConsole::print(const std::string& text) {
  if (text.empty()) return;
  std::string bytes = options_.on_github ? without_workflow_commands(text) : text;
  if (out_.terminal()) {
    // One write, so that nothing flickers. A terminal in raw mode does not make a carriage return of a newline.
    std::string all = area_.clear();
    for (const char byte : bytes) all += byte == '\n' ? std::string_view("\r\n") : std::string_view(&byte, 1);
    bytes = live_ ? all + live_bytes() : all;
  }
  for (std::size_t at = 0; at < bytes.size(); at += kMostWaiting / 2) {
    out_.add_own(std::string_view(bytes).substr(at, kMostWaiting / 2));
    if (out_.backlog() > kMostWaiting) out_.finish();
  }
}

// Nothing between two draws that follow each other closely, nor for a terminal that has not taken the last one: it would show the past.
void TestConsole::draw() {
  if (!live_ || state_.now - drawn_ < kBetweenDraws || out_.backlog() > 0) return;
  const std::string bytes = live_bytes();
  if (!bytes.empty()) out_.add_own(bytes);
}

std::string TestConsole::live_bytes() {
  drawn_ = state_.now;
  const Screen screen = screen_of(options_.fd);
  state_.running = fancy() ? &running_ : nullptr;
  std::vector<std::string> lines = live_lines(state_, screen, std::max<std::size_t>(slots_, 1), colors_);
  height_ = std::min(std::max(height_, lines.size()), std::max<std::size_t>(screen.rows, 2) - 1);
  lines.resize(std::max(height_, lines.size()));
  return area_.show(std::move(lines), screen);
}

void TestConsole::run_started(const RunStart& run) {
  state_ = {};
  running_.clear();
  warnings_ = {};
  repetitions_left_ = run.repetitions - run.repetition;
  if (run.repetition == 1) {
    maelstrom_ = {};
    uncollected_.clear();
    collected_ = false;
  }
  kept_.clear();
  kept_bytes_ = height_ = deselected_ = 0;
  drawn_ = std::chrono::microseconds(-1'000'000);
  slots_ = run.slots;
  if (run.repetitions > 1 && !quiet() && !plain_maelstrom() && options_.verbosity >= 0)
    print(rule(fmt::format("repetition {} of {}", run.repetition, run.repetitions), '=', columns()) + "\n");
  draw();
}

void TestConsole::progress(std::string_view line, bool finished) {
  const std::string shown = printable_line(line);
  if (live_) {
    state_.progress = finished ? "" : shown;
    if (finished && fancy() && options_.verbosity >= 0)
      print(shown + "\n");
    else
      draw();
    return;
  }
  if (!simple() || options_.verbosity < 0 || shown.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  if (!finished && now - progress_told_ < kBetweenProgress) return;
  progress_told_ = now;
  print(shown + "\n");
}

void TestConsole::collected(const Collected& collected) {
  collected_ = true;
  repeated_ = collected.selected - std::min(collected.ignored, collected.selected);
  state_.selected = collected.selected;
  state_.now = std::max(state_.now, collected.took);
  state_.progress.clear();
  deselected_ = collected.deselected;
  if (!quiet() && options_.of_plan) {
    print(fmt::format("{} {}{}{}\n", collected.selected, collected.selected == 1 ? "case" : "cases",
                      collected.deselected > 0 ? fmt::format(", {} deselected", collected.deselected) : "",
                      slots_ > 1 ? fmt::format(", up to {} at a time", slots_) : ""));
  } else if (!quiet() && options_.verbosity >= 0 && !plain_maelstrom()) {
    std::string line = fmt::format("collected {} {}", collected.selected, collected.selected == 1 ? "test" : "tests");
    if (collected.deselected > 0) line += fmt::format(", {} deselected", collected.deselected);
    if (collected.ignored > 0) line += fmt::format(", {} ignored", collected.ignored);
    line += " in " + seconds(collected.took);
    std::string with;
    if (!collected.python.empty()) with = "Python " + printable_name(collected.python);
    if (!collected.pytest.empty()) with += (with.empty() ? "" : ", ") + std::string("pytest ") + printable_name(collected.pytest);
    with += fmt::format("{}{} {}", with.empty() ? "" : ", ", slots_, slots_ == 1 ? "slot" : "slots");
    print(fmt::format("{} ({})\n", line, with));
  }
  for (const TestResult& problem : collected.problems) show_result(problem);
  draw();
}

void TestConsole::test_started(const TestStart& start) {
  running_.started(start);
  state_.now = std::max(state_.now, start.began);
  draw();
}

void TestConsole::test_finished(const TestResult& result) {
  running_.finished(result);
  state_.now = std::max(state_.now, result.began + (result.cached ? std::chrono::microseconds(0) : result.duration));
  warnings_.add(result);
  if (result.last) count(result);
  show_result(result);
  draw();
}

void TestConsole::count(const TestResult& result) {
  ++state_.finished;
  ++state_.counts.counts[static_cast<std::size_t>(result.verdict)];
  if (result.flaky) ++state_.counts.flaky;
  if (result.cached) ++state_.counts.cached;
}

void TestConsole::keep(const TestResult& result, std::string text) {
  Kept kept{label_of(result, options_.tries), printable_name(result.test.id), why(result), ""};
  if (!is_bad(result.verdict) && leaks(result)) {
    kept.label = {"LEAK", kLeakColor};
    kept.why = leftovers_line(result);
  }
  if (kept_bytes_ + text.size() <= kMostKept) {
    kept_bytes_ += text.size();
    kept.text = std::move(text);
  }
  kept_.push_back(std::move(kept));
}

void TestConsole::show_result(const TestResult& result) {
  if (plain_maelstrom()) return show_maelstrom_result(result);
  const bool bad = is_bad(result.verdict);
  const bool skipped = options_.of_plan && result.verdict == Verdict::skipped;
  const bool noteworthy = bad || !result.last || result.flaky || leaks(result) || skipped;
  const bool line = simple() ? options_.verbosity >= 0 || (noteworthy && !bad) : fancy() && noteworthy && !bad;
  const bool with_text = bad && (result.last || options_.verbosity >= 0);
  std::string text = with_text ? failure_text(result, options_.inline_limit, columns(), colors_, options_.of_plan) : "";
  const bool again = simple() && options_.verbosity >= 0 && !options_.of_plan;
  if (result.last && (bad || result.flaky || leaks(result) || skipped)) keep(result, again ? text : "");
  if (quiet()) return;
  print((line ? result_line(result) + more_lines(result) : "") + text);
}

void TestConsole::show_maelstrom_result(const TestResult& result) {
  if (!result.last || !maelstrom_.add(result)) return;
  if (quiet()) {
    const bool is_file = is_bad(result.verdict) && !result.reports.empty() && result.reports[0].when == "collect";
    if (is_file && uncollected_.size() < kMostKept) uncollected_ += maelstrom_details(result, options_.inline_limit);
    return;
  }
  std::string text = maelstrom_line(result, columns(), colors_) + "\n";
  if (is_bad(result.verdict)) text += maelstrom_details(result, options_.inline_limit);
  print(text);
}

std::string TestConsole::result_line(const TestResult& result) const {
  constexpr std::size_t kWordWidth = 7;  // TIMEOUT
  const Label label = label_of(result, options_.tries);
  const std::string pad(kWordWidth - std::min(kWordWidth, label.word.size()), ' ');
  std::string line =
      fmt::format("{}{} {} {}", pad, painted(label.word, label.sgr, colors_), clock_of(result.duration), printable_name(result.test.id));
  const std::string reason = why(result);
  const bool tell = !result.last || options_.verbosity > 0 || process_failed(result);
  if (!result.last) line += "  " + attempt_label(result).word;
  if (tell && !reason.empty()) line += fmt::format("  ({})", reason);
  return line + "\n";
}

std::string TestConsole::more_lines(const TestResult& result) const {
  std::string lines;
  if (leaks(result))
    lines += fmt::format("   {} {} {}: {}\n", painted("LEAK", kLeakColor, colors_), clock_of(result.duration),
                         printable_name(result.test.id), leftovers_line(result));
  if (options_.verbosity < 1) return lines;
  for (const auto& [name, value] : result.properties)
    lines +=
        indented(options_.of_plan ? printable_name(value) : fmt::format("property: {} = {}", printable_name(name), printable_name(value)));
  if (!is_bad(result.verdict)) {
    for (const std::string& note : result.notes) lines += indented("note: " + printable_line(note));
  }
  if (options_.verbosity < 2 || result.cached) return lines;
  std::string used = fmt::format("cpu {}", format_duration(result.resources.user_cpu + result.resources.system_cpu));
  if (result.resources.peak_memory_bytes) used += ", memory " + format_bytes(*result.resources.peak_memory_bytes);
  used += fmt::format(", slot {}", result.slot);
  if (!result.container.empty()) used += ", on " + printable_name(result.container);
  if (!result.cell_is_its_own) used += " (of its whole cell)";
  return lines + indented(used);
}

void TestConsole::note(std::string_view line) {
  if (quiet()) return;
  print(painted("note:", "33", colors_) + " " + printable_line(line) + "\n");
}

void TestConsole::tick(std::chrono::microseconds since_began) {
  state_.now = std::max(state_.now, since_began);
  if (simple() && options_.verbosity >= 0 && !plain_maelstrom()) {
    std::string lines;
    for (const RunningTest& test : running_.newly_slow(state_.now))
      lines += fmt::format("   {} [>{:7.3f}s] {}\n", painted("SLOW", "33", colors_),
                           static_cast<double>(test.periods_told) * static_cast<double>(options_.slow_after.count()) / 1e3, test.id);
    print(lines);
  }
  (void)out_.backlog();  // what a slow reader has not taken goes on
  draw();
}

void TestConsole::show_running() {
  std::string lines = fmt::format("{} of {} finished after {}, {} running\n", state_.finished, state_.selected, short_time(state_.now),
                                  running_.tests().size());
  for (const RunningTest& test : running_.tests())
    lines += fmt::format("{:>8}  {}{}\n", short_time(std::max(state_.now - test.began, std::chrono::microseconds(0))), test.id,
                         test.attempt > 1 ? fmt::format("  (try {})", test.attempt) : "");
  print(lines);
}

std::string TestConsole::short_summary() const {
  std::string lines;
  for (const Kept& kept : kept_)
    lines += fmt::format("{} {}{}\n", painted(kept.label.word, kept.label.sgr, colors_), kept.id, kept.why.empty() ? "" : " - " + kept.why);
  return lines;
}

std::string TestConsole::ending(const RunEnd& end) const {
  const std::size_t width = columns();
  std::string all;
  const auto heading = [&](std::string_view text) { return rule(text, '=', width) + "\n"; };
  const bool again = std::any_of(kept_.begin(), kept_.end(), [](const Kept& kept) { return !kept.text.empty(); });
  if (again) all += heading("FAILURES");
  for (const Kept& kept : kept_) all += kept.text;
  if (warnings_.count() > 0 && !quiet() && options_.verbosity >= 0) all += heading("warnings summary") + warnings_.text();
  all += printable(end.coverage);
  if (!kept_.empty()) all += heading(options_.of_plan ? "did not pass" : "short test summary") + short_summary();
  if (!end.stopped_because.empty() && end.stopped_because != end.problem)
    all += painted(rule(printable_line(end.stopped_because), '!', width), "33", colors_) + "\n";
  const bool bad = end.exit_status != 0;
  const std::string counts = fmt::format(" {} in {} ", counts_line(end, deselected_, warnings_.count(), colors_), seconds(end.took));
  const std::string plain = fmt::format(" {} in {} ", counts_line(end, deselected_, warnings_.count(), false), seconds(end.took));
  if (options_.verbosity < 0 || quiet()) return all + counts.substr(1, counts.size() - 2) + "\n";
  const std::size_t fill = width > plain.size() + 6 ? width - plain.size() : 6;
  const std::string_view sgr = bad ? "31" : "32";
  return all + painted(std::string(fill / 2, '='), sgr, colors_) + counts + painted(std::string(fill - fill / 2, '='), sgr, colors_) + "\n";
}

// One summary for all repetitions; none where nothing was collected.
void TestConsole::end_as_maelstrom(const RunEnd& end) {
  print(printable(end.coverage));
  maelstrom_.not_run += end.not_run;
  const bool stopped = !end.stopped_because.empty();
  if (repetitions_left_ > 0 && !stopped) return;
  maelstrom_.not_run += repetitions_left_ * repeated_;
  if (stopped) print("\n" + printable_line(end.stopped_because) + "\n");
  if (!collected_ && !end.problem.empty()) return;
  print(maelstrom_summary(maelstrom_, columns(), colors_) + (quiet() ? uncollected_ : "\n"));
}

std::string TestConsole::run_finished(const RunEnd& end) {
  const std::string off = area_.clear();
  live_ = false;
  if (!off.empty()) out_.add_own(off);
  if (plain_maelstrom())
    end_as_maelstrom(end);
  else
    print(ending(end));
  const std::string problem = end.problem.empty() ? "" : painted("error:", "1;31", colors_) + " " + printable(with_newlines(end.problem));
  if (!plain_maelstrom()) print(problem);
  out_.finish();
  if (plain_maelstrom()) say(options_.on_github ? without_workflow_commands(problem) : problem);
  live_ = !simple() && can_move_cursor(options_.fd);
  return out_.problem() == 0 ? "" : fmt::format("can't write the results: {}", std::strerror(out_.problem()));
}

}  // namespace casemate
