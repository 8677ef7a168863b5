#include "runtime/data_flow.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/terminal.h"
#include "runtime/script_cells.h"
#include "runtime/written_path.h"

namespace casemate::runtime {
namespace {

// The inputs of a step, each path made comparable once.
class Recipient {
 public:
  Recipient(NamedTexts& inputs, std::set<std::string>& claimed) : inputs_(inputs), claimed_(claimed) {
    for (const auto& input : inputs_) places_.push_back(lexical_path(input.second, here_));
  }

  // Gives an output to the input that it is meant for; false: none says so.
  bool take(const std::string& name, const std::string& path, const PipelineEdge& edge) {
    const std::string place = lexical_path(path, here_);
    const auto at = meant_for(name, path, place, edge);
    if (at) give(*at, path, place);
    return at.has_value();
  }

  // Gives it to the first input that nothing has come to, or to a new one.
  void take_anywhere(const std::string& name, const std::string& path) {
    while (next_ < inputs_.size() && claimed_.contains(inputs_[next_].first)) ++next_;
    if (next_ == inputs_.size()) add(free_name(name), path);
    give(next_, path, lexical_path(path, here_));
  }

 private:
  static bool is_same(const std::string& a, const std::string& b) { return is_at_or_below(a, b) || is_at_or_below(b, a); }

  std::optional<std::size_t> meant_for(const std::string& name, const std::string& path, const std::string& place,
                                       const PipelineEdge& edge) {
    if (!edge.to_input.empty() && (edge.from_output.empty() || edge.from_output == name)) {
      if (const auto at = index_of(edge.to_input)) return at;
      add(edge.to_input, path);
      return inputs_.size() - 1;
    }
    for (std::size_t at = 0; at < inputs_.size(); ++at) {
      if (is_same(place, places_[at]) && !claimed_.contains(inputs_[at].first)) return at;
    }
    return claimed_.contains(name) ? std::nullopt : index_of(name);
  }

  std::optional<std::size_t> index_of(const std::string& name) const {
    const auto found = std::ranges::find(inputs_, name, &std::pair<std::string, std::string>::first);
    return found == inputs_.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - inputs_.begin()));
  }

  void add(const std::string& name, const std::string& path) {
    inputs_.emplace_back(name, path);
    places_.push_back(lexical_path(path, here_));
  }

  void give(std::size_t at, const std::string& path, const std::string& place) {
    claimed_.insert(inputs_[at].first);
    if (is_same(place, places_[at])) return;  // below or above it is a place of its own, which the script was told
    inputs_[at].second = path;
    places_[at] = place;
  }

  [[nodiscard]] std::string free_name(const std::string& name) const {
    if (inputs_.empty()) return "data_input";
    std::string found = name;
    for (int number = 2; index_of(found); ++number) found = fmt::format("{}_{}", name, number);
    return found;
  }

  const std::string here_ = working_directory();
  NamedTexts& inputs_;
  std::set<std::string>& claimed_;
  std::vector<std::string> places_;  // of the inputs, lexical
  std::size_t next_ = 0;             // input to look at for what has none
};

void add_formats(const std::vector<DataReport>& data, std::vector<std::string>& formats) {
  for (const DataReport& report : data) {
    if (!report.members.empty()) {
      add_formats(report.members, formats);
      continue;
    }
    if (report.format == "MISSING" || report.format == "EMPTY" || report.format == "DIRECTORY") continue;
    if (std::find(formats.begin(), formats.end(), report.format) == formats.end()) formats.push_back(report.format);
  }
}

// Tables alone can be held against each other; a directory's members count one by one.
void add_tables(const std::vector<DataReport>& data, std::vector<const DataReport*>& tables) {
  for (const DataReport& report : data) {
    if (!report.members.empty()) {
      add_tables(report.members, tables);
    } else if (report.format != "MISSING" && report.format != "DIRECTORY") {
      tables.push_back(&report);
    }
  }
}

// What the next script would have to read, and nobody could.
std::vector<std::string> unread(const std::vector<DataReport>& data) {
  std::vector<std::string> issues;
  for (const DataReport& report : data) {
    if (report.problem.starts_with(kLookEnded))
      issues.push_back(fmt::format("Script A output '{}' {}", printable_name(report.name), printable_line(report.problem)));
  }
  return issues;
}

std::string failure_of(const ScriptTestResult& result) { return result.error_message.value_or("no reason is known"); }

}  // namespace

void hand_over(const MainParameters& from, MainParameters& to, const PipelineEdge& edge, std::set<std::string>& claimed) {
  Recipient recipient(to.input_paths, claimed);
  std::vector<const std::pair<std::string, std::string>*> homeless;
  for (const auto& output : from.output_paths) {
    if (!edge.from_output.empty() && edge.from_output != output.first) continue;
    if (!recipient.take(output.first, output.second, edge)) homeless.push_back(&output);
  }
  for (const auto* output : homeless) recipient.take_anywhere(output->first, output->second);
}

std::optional<std::string> shown_format(const std::vector<DataReport>& data) {
  std::vector<std::string> formats;
  add_formats(data, formats);
  if (formats.empty()) return std::nullopt;
  return fmt::format("{}", fmt::join(formats, ", "));
}

bool any_data(const std::vector<DataReport>& data) {
  return std::any_of(data.begin(), data.end(), [](const DataReport& report) { return report.files > 0; });
}

std::vector<std::string> data_issues(const std::vector<DataReport>& given, const std::vector<DataReport>& wanted) {
  std::vector<const DataReport*> offered;
  std::vector<const DataReport*> expected;
  add_tables(given, offered);
  add_tables(wanted, expected);
  std::vector<std::string> issues;
  for (const DataReport* want : expected) {
    std::optional<std::vector<std::string>> best;
    for (const DataReport* offer : offered) {
      std::vector<std::string> found = differences(*offer, *want);
      if (!best || found.size() < best->size()) best = std::move(found);
    }
    if (!best) continue;
    for (std::string& issue : *best) {
      if (std::find(issues.begin(), issues.end(), issue) == issues.end()) issues.push_back(std::move(issue));
    }
  }
  return issues;
}

DataCompatibilityResult judge(const ScriptTestResult& result_a, const std::optional<ScriptTestResult>& result_b,
                              std::vector<DataReport> data_a, std::vector<DataReport> data_b) {
  DataCompatibilityResult verdict;
  verdict.script_a = result_a.script_name;
  verdict.data_format_a = shown_format(data_a);
  verdict.data_format_b = shown_format(data_b);
  if (!result_a.success) {
    verdict.compatibility_issues.push_back("Script A failed: " + failure_of(result_a));
  } else if (!any_data(data_a)) {
    verdict.compatibility_issues.emplace_back("Script A did not produce output data");
  } else if (result_b && result_b->success) {
    verdict.compatibility_issues = unread(data_a);
    verdict.compatible = verdict.compatibility_issues.empty();
    verdict.data_format_b = verdict.data_format_a;  // what it has just taken
  } else if (result_b) {
    verdict.compatibility_issues.push_back("Script B failed with script A output: " + failure_of(*result_b));
    for (std::string& issue : data_issues(data_a, data_b)) verdict.compatibility_issues.push_back(std::move(issue));
  }
  verdict.data_a = std::move(data_a);
  verdict.data_b = std::move(data_b);
  verdict.result_a = result_a;
  verdict.result_b = result_b;
  return verdict;
}

}  // namespace casemate::runtime
