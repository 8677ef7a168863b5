#include "apps/runtime/runtime.h"

#include <csignal>
#include <mutex>

#include <fmt/format.h>
#include <unistd.h>

#include "apps/runtime/details.h"
#include "apps/runtime/report_events.h"
#include "apps/runtime/request.h"
#include "base/terminal.h"
#include "report/printing.h"
#include "report/table.h"
#include "runtime/known_keys.h"
#include "runtime/sample_data.h"
#include "runtime/script_path.h"
#include "runtime/spec_builder.h"
#include "runtime/spec_file.h"
#include "runtime/tester.h"
#include "sys/signals.h"

namespace casemate {
namespace {

using runtime::Json;
using runtime::RuntimeTester;

constexpr int kPassed = 0, kFailed = 1, kInterrupted = 130;

// What a command came to.
struct Answer {
  bool passed = false;
  std::string text;
  Json json;
  std::vector<TestResult> tests;
};

// The signals that end a program, from here on for whoever asks.
class Signals {
 public:
  static Result<Signals> take() {
    const sigset_t ending = ending_signals();
    ::sigprocmask(SIG_BLOCK, &ending, nullptr);
    TRY_ASSIGN(UniqueFd fd, open_signals(ending));
    return Signals(std::move(fd));
  }
  bool come() {
    if (!came_) came_ = take_signal(fd_.get()) != 0;
    return came_;
  }

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  bool came_ = false;
};

class Command {
 public:
  Command(const RuntimeRequest& request, RuntimeTester& tester, runtime::Log tell)
      : request_(request), tester_(tester), tell_(std::move(tell)), colors_(colored(request.color, STDOUT_FILENO)) {}

  Result<Answer> run() {
    switch (request_.kind) {
      case RuntimeRequest::Kind::script:
        return script();
      case RuntimeRequest::Kind::compatibility:
        return compatibility();
      default:
        return pipeline();
    }
  }

 private:
  void warn(const std::vector<std::string>& lines) const {
    if (runtime::log_level_rank("WARNING") < runtime::log_level_rank(request_.configuration.log_level)) return;
    for (const std::string& line : lines) tell_("WARNING", printable_line(line));
  }

  Result<Json> sample() {
    if (!request_.sample) return runtime::default_sample();
    TRY_ASSIGN(Json document, runtime::read_document(*request_.sample));
    auto table = table_of(std::move(document));
    if (!table) return std::unexpected(runtime::in_file(*request_.sample, std::move(table).error()));
    return table;
  }

  static Result<Json> table_of(Json document) {
    if (document.is_object() && document.contains("columns") && !document["columns"].is_array())
      return runtime::sample_from_schema(document);
    TRY(runtime::check_sample(document));
    return document;
  }

  Result<Answer> script() {
    if (request_.spec) {
      runtime::UnknownKeys unknown;
      TRY_ASSIGN(const runtime::ScriptExecutionSpec spec, runtime::read_script_spec(*request_.spec, &unknown));
      warn(unknown);
      const std::string& name = request_.names[0];
      if (spec.script_name != runtime::bare_script_name(name))
        return fail(ErrorCode::invalid_input, fmt::format("{} is a spec of '{}', not of '{}'", printable_name(*request_.spec),
                                                          printable_name(spec.script_name), printable_name(name)));
      TRY_ASSIGN(const auto result, tester_.test_script_with_spec(spec, runtime::main_parameters(spec)));
      return answer(result);
    }
    TRY_ASSIGN(const Json data, sample());
    TRY_ASSIGN(const auto result, tester_.test_script(request_.names[0], data));
    return answer(result);
  }

  Answer answer(const runtime::ScriptTestResult& result) {
    const std::string text = runtime::script_text(result, colors_) + "\n" + script_details(result, request_.verbose);
    return {result.success, text, runtime::to_json(result), tests_of(result)};
  }

  Result<Answer> compatibility() {
    TRY_ASSIGN(const auto result, compare());
    Answer answer{result.compatible, runtime::compatibility_text(result, colors_) + "\n", runtime::to_json(result), tests_of(result)};
    if (request_.explain) answer.text += "\n" + runtime::explanation(result) + "\n";
    for (const auto* one : {&result.result_a, &result.result_b}) {
      if (*one) answer.text += script_section((*one)->script_name, **one, request_.verbose);
    }
    return answer;
  }

  Result<runtime::DataCompatibilityResult> compare() {
    if (!request_.specs_directory) {
      TRY_ASSIGN(const Json data, sample());
      return tester_.test_data_compatibility(request_.names[0], request_.names[1], data);
    }
    runtime::UnknownKeys unknown;
    TRY_ASSIGN(const auto a, runtime::load_script_spec(request_.names[0], *request_.specs_directory, &unknown));
    TRY_ASSIGN(const auto b, runtime::load_script_spec(request_.names[1], *request_.specs_directory, &unknown));
    warn(unknown);
    return tester_.test_data_compatibility_with_specs(a, b, runtime::main_parameters(a), runtime::main_parameters(b));
  }

  Result<Answer> pipeline() {
    TRY_ASSIGN(const Json document, runtime::read_document(request_.names[0]));
    TRY_ASSIGN(const auto result, flow(document));
    Answer answer{result.pipeline_success, runtime::pipeline_text(result, colors_) + "\n", runtime::to_json(result), tests_of(result)};
    for (const auto& [name, one] : result.data_flow_results) {
      if (request_.explain && !one.compatible) answer.text += fmt::format("\n{}\n{}\n", printable_name(name), runtime::explanation(one));
    }
    for (const auto& [name, one] : result.script_results) answer.text += script_section(name, one, request_.verbose);
    return answer;
  }

  Result<runtime::PipelineResult> flow(const Json& document) {
    if (!document.is_object() || !document.contains("script_specs")) return tester_.test_pipeline_flow(document);
    auto spec = runtime::pipeline_spec_from(document);
    if (!spec) return std::unexpected(runtime::in_file(request_.names[0], std::move(spec).error()));
    for (const std::string& line : runtime::misspelled_pipeline_keys(document)) warn({request_.names[0] + ": " + line});
    return tester_.test_pipeline_flow_with_spec(*spec);
  }

  const RuntimeRequest& request_;
  RuntimeTester& tester_;
  const runtime::Log tell_;
  const bool colors_;
};

int refused(const RuntimeRequest& request, std::string_view program, const Error& error) {
  return refuse(program, error.what, request.json, error.code == ErrorCode::cancelled ? kInterrupted : kRuntimeUsage);
}

}  // namespace

int runtime_main(const std::vector<std::string>& arguments, std::string_view program) {
  const auto began = std::chrono::system_clock::now();
  const auto read = read_runtime_arguments(arguments, program);
  if (!read) return read.error();
  const RuntimeRequest& request = *read;
  if (auto writable = check_reports(request); !writable) return refused(request, program, writable.error());
  auto signals = Signals::take();
  if (!signals) return refused(request, program, signals.error());
  std::mutex telling;
  const auto tell = [&](const char* level, const std::string& line) {
    const std::lock_guard lock(telling);
    say(fmt::format("{:<7} {}\n", level, line));
  };
  auto tester = RuntimeTester::create(request.configuration, tell, [&] { return signals->come(); });
  if (!tester) return refused(request, program, tester.error());
  const auto answer = Command(request, **tester, tell).run();
  if (!answer) return refused(request, program, answer.error());
  const int status = answer->passed ? kPassed : kFailed;
  const int put_status = put(program, request.json ? json_text(answer->json) : answer->text, status);
  if (auto written = write_reports(request, arguments, answer->tests, began, status); !written)
    return complain(program, written.error().what, kRuntimeUsage);  // an object has been printed
  return put_status == status ? status : kRuntimeUsage;             // nobody has read it
}

}  // namespace casemate
