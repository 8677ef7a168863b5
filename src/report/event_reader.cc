// The way back of event_json: from any bytes at all, since files on disk may be damaged or changed by anybody.
#include <limits>

#include "base/untrusted_json.h"
#include "report/event_json.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

// Of one event. A result's reports, sections and properties are as many as its test made, and a line holds.
constexpr JsonBounds kBounds{.depth = 8, .values = kEventLineLimit};

// Reads the members of an object into fields; one that has the wrong type is remembered, one that is missing keeps the field's value.
class Fields {
 public:
  Fields(const Json& object, std::string& wrong) : object_(object), wrong_(wrong) {
    if (!object.is_object()) wrong_ = "an object is missing";
  }

  void read(const char* key, std::string& into) const {
    if (const Json* value = find(key, &Json::is_string)) into = value->get_ref<const std::string&>();
  }
  void read(const char* key, std::optional<std::string>& into) const {
    if (const Json* value = find(key, &Json::is_string)) into = value->get_ref<const std::string&>();
  }
  void read(const char* key, bool& into) const {
    if (const Json* value = find(key, &Json::is_boolean)) into = value->get<bool>();
  }
  template <std::integral T>
  void read(const char* key, T& into) const {
    const Json* value = find(key, &Json::is_number_integer);
    if (!value) return;
    const bool fits =
        value->is_number_unsigned() ? std::in_range<T>(value->get<std::uint64_t>()) : std::in_range<T>(value->get<std::int64_t>());
    if (fits) {
      into = value->is_number_unsigned() ? static_cast<T>(value->get<std::uint64_t>()) : static_cast<T>(value->get<std::int64_t>());
    } else {
      wrong_ = key;
    }
  }
  void read(const char* key, std::optional<std::uint64_t>& into) const {
    std::uint64_t number = 0;
    if (!object_.contains(key)) return;
    read(key, number);
    into = number;
  }
  // Times are added to each other later: none may come near the end of its type.
  void read(const char* key, std::chrono::microseconds& into) const {
    std::int64_t number = into.count();
    read(key, number);
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 2000;  // fits in nanoseconds too
    if (number < -kMost || number > kMost)
      wrong_ = key;
    else
      into = std::chrono::microseconds(number);
  }
  void read(const char* key, std::vector<std::string>& into) const {
    each(key, [&](const Json& entry) {
      if (entry.is_string())
        into.push_back(entry.get_ref<const std::string&>());
      else
        wrong_ = key;
    });
  }
  void read(const char* key, std::vector<std::pair<std::string, std::string>>& into) const {
    each(key, [&](const Json& entry) {
      if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string())
        into.emplace_back(entry[0].get_ref<const std::string&>(), entry[1].get_ref<const std::string&>());
      else
        wrong_ = key;
    });
  }
  template <class Take>
  void each(const char* key, const Take& take) const {
    const Json* list = find(key, &Json::is_array);
    if (!list) return;
    for (const Json& entry : *list) take(entry);
  }
  template <class Take>
  void inside(const char* key, const Take& take) const {
    if (const Json* object = find(key, &Json::is_object)) take(Fields(*object, wrong_));
  }
  [[nodiscard]] std::string& wrong() const { return wrong_; }

 private:
  const Json* find(const char* key, bool (Json::*is)() const noexcept) const {
    const Json* value = member_if(object_, key, is);
    if (!value && object_.contains(key)) wrong_ = key;
    return value;
  }
  const Json& object_;
  std::string& wrong_;
};

void read_case(const Fields& fields, TestCase& test) {
  fields.read("id", test.id);
  fields.read("file", test.file);
  fields.read("group", test.group);
  fields.read("name", test.name);
  fields.read("line", test.line);
  fields.read("markers", test.markers);
  fields.read("skipped_by_mark", test.skipped_by_mark);
  fields.read("marked_cold", test.cold);
}

void read_outcome(const Fields& fields, Outcome& outcome) {
  std::string kind;
  fields.read("kind", kind);
  if (const auto known = outcome_kind(kind))
    outcome.kind = *known;
  else
    fields.wrong() = "outcome";
  fields.read("code", outcome.code);
  fields.read("step", outcome.step);
  fields.read("detail", outcome.detail);
}

void read_resources(const Fields& fields, Resources& used) {
  fields.read("wall_us", used.wall);
  fields.read("user_cpu_us", used.user_cpu);
  fields.read("system_cpu_us", used.system_cpu);
  fields.read("peak_memory_bytes", used.peak_memory_bytes);
  fields.read("read_bytes", used.read_bytes);
  fields.read("written_bytes", used.written_bytes);
  fields.read("peak_pids", used.peak_pids);
  fields.read("major_faults", used.major_faults);
  fields.read("minor_faults", used.minor_faults);
}

TestReport read_report(const Fields& fields) {
  TestReport report;
  fields.read("when", report.when);
  fields.read("outcome", report.outcome);
  fields.read("began_us", report.began);
  fields.read("duration_us", report.duration);
  fields.read("text", report.text);
  fields.read("message", report.message);
  fields.read("path", report.path);
  fields.read("line", report.line);
  fields.read("sections", report.sections);
  fields.read("xfail", report.xfail);
  fields.read("subtest", report.subtest);
  return report;
}

TestWarning read_warning(const Fields& fields) {
  TestWarning warning;
  fields.read("category", warning.category);
  fields.read("message", warning.message);
  fields.read("path", warning.path);
  fields.read("line", warning.line);
  return warning;
}

void read_output(const Fields& fields, Output& output) {
  fields.read("stdout", output.out);
  fields.read("stderr", output.err);
  output.merged = output.out.empty() ? output.err : output.out;
  fields.read("merged", output.merged);
  output.out_total = output.out.size();
  output.err_total = output.err.size();
  fields.read("stdout_total", output.out_total);
  fields.read("stderr_total", output.err_total);
  fields.read("truncated", output.truncated);
}

TestResult read_result(const Fields& fields) {
  TestResult result;
  read_case(fields, result.test);
  std::string verdict;
  fields.read("verdict", verdict);
  if (const auto known = verdict_of(verdict))
    result.verdict = *known;
  else
    fields.wrong() = "verdict";
  fields.read("reason", result.reason);
  fields.read("began_us", result.began);
  fields.read("duration_us", result.duration);
  fields.read("slot", result.slot);
  fields.read("attempt", result.attempt);
  bool retried = false;
  fields.read("retried", retried);
  result.last = !retried;
  fields.read("flaky", result.flaky);
  fields.read("cold", result.cold);
  fields.read("cached", result.cached);
  fields.read("container", result.container);
  fields.inside("outcome", [&](const Fields& inner) { read_outcome(inner, result.outcome); });
  fields.inside("resources", [&](const Fields& inner) { read_resources(inner, result.resources); });
  bool shared = false;
  fields.read("shared_cell", shared);
  result.cell_is_its_own = !shared;
  fields.each("reports", [&](const Json& entry) { result.reports.push_back(read_report(Fields(entry, fields.wrong()))); });
  fields.each("warnings", [&](const Json& entry) { result.warnings.push_back(read_warning(Fields(entry, fields.wrong()))); });
  fields.read("properties", result.properties);
  fields.inside("output", [&](const Fields& inner) { read_output(inner, result.output); });
  fields.each("leftovers", [&](const Json& entry) {
    const Fields inner(entry, fields.wrong());
    Leftover& process = result.leftovers.emplace_back();
    inner.read("pid", process.pid);
    inner.read("name", process.name);
  });
  fields.read("notes", result.notes);
  return result;
}

RunStart read_run_start(const Fields& fields) {
  RunStart run;
  fields.read("front_end", run.front_end);
  fields.read("name", run.name);
  fields.read("directory", run.directory);
  fields.read("arguments", run.arguments);
  std::chrono::microseconds began{0};
  fields.read("began_unix_us", began);
  run.began = std::chrono::system_clock::time_point(began);
  fields.read("slots", run.slots);
  fields.read("repetition", run.repetition);
  fields.read("repetitions", run.repetitions);
  int format = 0;
  fields.read("format", format);
  if (format != kEventFormat) fields.wrong() = "format";
  return run;
}

Collected read_collected(const Fields& fields) {
  Collected collected;
  fields.read("selected", collected.selected);
  fields.read("deselected", collected.deselected);
  fields.read("ignored", collected.ignored);
  fields.read("took_us", collected.took);
  fields.read("python", collected.python);
  fields.read("pytest", collected.pytest);
  fields.each("problems", [&](const Json& entry) { collected.problems.push_back(read_result(Fields(entry, fields.wrong()))); });
  return collected;
}

RunEnd read_run_end(const Fields& fields) {
  RunEnd end;
  fields.read("took_us", end.took);
  fields.inside("counts", [&](const Fields& inner) {
    for (std::size_t i = 0; i < std::size(end.counts); ++i) inner.read(std::string(word(static_cast<Verdict>(i))).c_str(), end.counts[i]);
  });
  fields.read("flaky", end.flaky);
  fields.read("cached", end.cached);
  fields.read("not_run", end.not_run);
  fields.read("stopped_because", end.stopped_because);
  fields.read("coverage", end.coverage);
  fields.read("problem", end.problem);
  fields.read("exit_status", end.exit_status);
  return end;
}

// Reads with `read`, and tells the sink by `tell` if all was as it should be.
template <class Read, class Tell>
Result<void> hand_over(const Fields& fields, const Read& read, const Tell& tell) {
  const auto event = read(fields);
  if (!fields.wrong().empty()) return fail(ErrorCode::corrupt, "an event of the run has no sense: \"" + fields.wrong() + "\"");
  tell(event);
  return {};
}

std::pair<std::string, bool> read_line(const Fields& fields) {
  std::pair<std::string, bool> line;
  fields.read("line", line.first);
  fields.read("finished", line.second);
  return line;
}

std::pair<TestCase, TestStart> read_test_start(const Fields& fields) {
  std::pair<TestCase, TestStart> both;
  read_case(fields, both.first);
  fields.read("slot", both.second.slot);
  fields.read("attempt", both.second.attempt);
  fields.read("began_us", both.second.began);
  return both;
}

}  // namespace

Result<void> replay(std::string_view line, Sink& sink, std::string* problem) {
  if (line.size() > kEventLineLimit) return fail(ErrorCode::corrupt, "an event of the run is too long");
  const auto json = untrusted_object(line, kBounds);
  if (!json) return fail(ErrorCode::corrupt, "an event of the run can't be read: it was cut short, or changed");
  std::string wrong;
  std::string event;
  const Fields fields(*json, wrong);
  fields.read("event", event);
  if (event.empty()) return fail(ErrorCode::corrupt, "an event of the run does not say what it is");
  if (event == "test_finished") return hand_over(fields, read_result, [&](const TestResult& result) { sink.test_finished(result); });
  if (event == "run_started") return hand_over(fields, read_run_start, [&](const RunStart& run) { sink.run_started(run); });
  if (event == "collected") return hand_over(fields, read_collected, [&](const Collected& collected) { sink.collected(collected); });
  if (event == "progress") return hand_over(fields, read_line, [&](const auto& both) { sink.progress(both.first, both.second); });
  if (event == "note") return hand_over(fields, read_line, [&](const auto& both) { sink.note(both.first); });
  if (event == "test_started") {
    return hand_over(fields, read_test_start, [&](const auto& both) {
      TestStart start = both.second;
      start.test = &both.first;
      sink.test_started(start);
    });
  }
  if (event != "run_finished") return {};
  return hand_over(fields, read_run_end, [&](const RunEnd& end) {
    std::string said = sink.run_finished(end);
    if (problem) *problem = std::move(said);
  });
}

}  // namespace casemate
