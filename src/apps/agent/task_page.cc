#include "apps/agent/task_page.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/agent/git_cell.h"
#include "apps/agent/log.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "base/units.h"
#include "report/html.h"
#include "report/report_file.h"

namespace casemate {
namespace {

#include "task_page.inc"

using Verdict = CaseGrade::Verdict;

constexpr std::size_t kMostRows = 10'000;
constexpr std::size_t kMostText = 64u << 10;   // of one case
constexpr std::size_t kMostTexts = 16u << 20;  // of all; past it a case has its summary alone
constexpr std::size_t kMostSummary = 300;
constexpr std::size_t kMostOutput = 256u << 10;

// As an element's content or an attribute's value in quotes (HTML, 13.1.2).
std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  for (const char byte : text) {
    if (byte == '&')
      out += "&amp;";
    else if (byte == '<')
      out += "&lt;";
    else if (byte == '>')
      out += "&gt;";
    else if (byte == '"')
      out += "&quot;";
    else if (byte == '\'')
      out += "&#39;";
    else
      out += byte;
  }
  return out;
}

// Hostile text on one line, and on several.
std::string line(std::string_view text) { return escaped(printable_name(text)); }
std::string lines(std::string_view text) { return escaped(page_text(text)); }

std::string memory_of(std::uint64_t kib) { return kib == 0 ? "" : format_bytes(kib << 10); }

// What a person looks for first: pytest's first line of an assertion, else what was said last.
std::string_view summary_of(std::string_view text) {
  std::string_view last;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (one.starts_with("E  ")) {
      one.remove_prefix(std::min(one.find_first_not_of(" \t", 1), one.size()));
      if (!one.empty()) return one.substr(0, kMostSummary);
    }
    if (one.find_first_not_of(" \t\r") != std::string_view::npos) last = one;
  }
  return last.substr(0, kMostSummary);
}

class Writer {
 public:
  explicit Writer(const TaskPage& page) : page_(page) {}

  std::string whole() {
    begin();
    facts();
    if (page_.grade.is_error) add("<section class=\"problem\"><h2>Error</h2>\n{}\n</section>\n", lines(page_.grade.error_details));
    cases();
    steps();
    output();
    add("<footer>casemate {}</footer>\n</body>\n</html>\n", CASEMATE_VERSION);
    return std::move(text_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> form, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), form, std::forward<Args>(args)...);
  }

  // `value` is HTML already.
  void fact(std::string_view name, const std::string& value) {
    if (!value.empty()) add("<dt>{}</dt><dd>{}</dd>\n", name, value);
  }

  static std::string code(std::string_view text) { return text.empty() ? "" : fmt::format("<code>{}</code>", line(text)); }

  void begin() {
    const Task& task = page_.order.task;
    const std::string title = line(fmt::format("{}: {}", task.key(), repository_name(shown_url(task.repository_url))));
    const std::string_view result = result_word(page_.grade);
    add("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; img-src data:; base-uri 'none'; "
        "form-action 'none'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n"
        "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{} <span class=\"{}\">{}</span></h1>\n",
        policy_digest(kTaskStyle), title, kTaskStyle, title, result, result);
  }

  void facts() {
    const WorkOrder& order = page_.order;
    const auto tests = std::find_if(page_.steps.begin(), page_.steps.end(), [](const StepReport& step) { return step.name == "tests"; });
    const auto began = std::chrono::duration_cast<std::chrono::seconds>(page_.began.time_since_epoch());
    add("<section><dl>\n");
    fact("Repository", line(shown_url(order.task.repository_url)));
    fact("Branch", line(order.task.branch));
    fact("Commit", code(page_.grade.commit));
    fact("Tests", line(shown_url(order.tests_repo)));
    fact("Their commit", code(tests == page_.steps.end() ? "" : tests->commit));
    fact("Command", code(join_shell_words(order.tests_command)));
    fact("Laboratories", fmt::format("{}", fmt::join(order.task.laboratories, ", ")));
    fact("Asked for", line(fmt::format("{}", fmt::join(order.task.connected_tests, ", "))));
    fact("Began", format_moment(began.count()));
    fact("Took", format_duration(page_.took));
    add("</dl></section>\n");
  }

  void cases() {
    const std::vector<CaseGrade>& all = page_.grade.cases;
    if (all.empty()) return;
    const std::string whose = page_.own_memory ? "of each " + page_.order.isolation : "peak of all together";
    add("<section><h2>Tests <span>{}</span></h2>\n<table>\n<thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Name</th>"
        "<th scope=\"col\" class=\"number\">Time</th><th scope=\"col\" class=\"number\">Memory ({})</th></tr></thead>\n<tbody>\n",
        counts_of(page_.grade), line(whose));
    for (std::size_t i = 0; i < std::min(all.size(), kMostRows); ++i) row(all[i]);
    add("</tbody>\n</table>\n");
    if (all.size() > kMostRows) add("<p class=\"dim\">{} more are in grade.json.</p>\n", all.size() - kMostRows);
    add("</section>\n");
  }

  void row(const CaseGrade& one) {
    add("<tr><td class=\"{0}\">{0}</td><td>{1}{2}</td><td class=\"number\">{3}</td><td class=\"number\">{4}</td></tr>\n", word(one.verdict),
        line(one.name), description(one), format_duration(one.duration), memory_of(one.memory_kib));
  }

  std::string description(const CaseGrade& one) {
    if (one.description.empty() || one.verdict == Verdict::passed) return "";
    const std::string summary = line(summary_of(one.description));
    const std::string text = texts_ < kMostTexts ? lines(std::string_view(one.description).substr(0, kMostText)) : "";
    texts_ += text.size();
    if (text.empty() || text == summary) return fmt::format("<p class=\"why\">{}</p>", summary);
    return fmt::format("<details><summary>{}</summary><pre>{}</pre></details>", summary, text);
  }

  void steps() {
    if (page_.steps.empty()) return;
    add("<section><h2>Steps</h2>\n<table>\n<thead><tr><th scope=\"col\">Step</th><th scope=\"col\" class=\"number\">Time</th>"
        "<th scope=\"col\"></th></tr></thead>\n<tbody>\n");
    for (const StepReport& step : page_.steps) {
      add("<tr><td>{}</td><td class=\"number\">{}</td><td>", line(step.name), format_duration(step.took));
      if (step.cached) add("<div class=\"dim\">from the cache</div>");
      if (!step.problem.empty()) add("<div class=\"error\">{}</div>", line(step.problem));
      for (const std::string& note : step.notes) add("<div>{}</div>", line(note));
      add("</td></tr>\n");
    }
    add("</tbody>\n</table>\n</section>\n");
  }

  void output() {
    std::string_view said = page_.output;
    if (said.empty()) return;
    std::string_view all_of_it;
    if (said.size() > kMostOutput) {
      said.remove_prefix(said.size() - kMostOutput);
      if (const auto line_end = said.find('\n'); line_end != std::string_view::npos) said.remove_prefix(line_end + 1);
      all_of_it = " <span>its end; more is in output.txt</span>";
    }
    add("<section><h2>Output of the tests{}</h2>\n<pre>{}</pre>\n</section>\n", all_of_it, lines(said));
  }

  const TaskPage& page_;
  std::string text_;
  std::size_t texts_ = 0;  // bytes of descriptions
};

}  // namespace

std::string task_page(const TaskPage& page) { return Writer(page).whole(); }

Result<void> write_task_page(const std::string& path, const TaskPage& page) {
  TRY_ASSIGN(ReportFile file, ReportFile::begin(path));
  TRY(file.add(task_page(page)));
  return file.publish();
}

}  // namespace casemate
