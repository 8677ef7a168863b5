#include "apps/script/script.h"

#include <csignal>
#include <exception>
#include <new>

#include <fmt/format.h>
#include <unistd.h>

#include "apps/script/arguments.h"
#include "apps/script/console.h"
#include "apps/script/report.h"
#include "apps/script/run.h"
#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr int kUsageError = 2;  // argparse's

// The document calls its program by its file's name.
std::string display_name(std::string_view program) { return program == "py_test_runner" ? "py_test_runner.py" : std::string(program); }

int print(std::string_view text) {
  const auto written = write_all(STDOUT_FILENO, text);
  return written ? 0 : 1;
}

int print_object(const ScriptReport& report, std::string_view program) {
  const auto written = write_all(STDOUT_FILENO, to_json(report));
  if (written) return report.exit_status;
  (void)write_all(STDERR_FILENO, fmt::format("{}: error: can't write the result to stdout: {}\n", program, written.error().what));
  return report.exit_status == 0 ? 1 : report.exit_status;
}

int wrong_usage(const Error& error, bool json, std::string_view program) {
  (void)write_all(STDERR_FILENO, fmt::format("{}{}: error: {}\n", script_usage(program), program, printable_name(error.what)));
  if (!json) return kUsageError;
  ScriptReport report = failure(ScriptErrorType::runner_internal_error, error);
  report.message = printable_name(error.what);
  report.reason = "usage";
  report.exit_status = kUsageError;
  return print_object(report, program);
}

int run(const ScriptRequest& request, const std::string& program) {
  Console console(request.json, request.quiet, request.color, program);
  int status = 1;
  run_script(request, console, [&](const ScriptReport& report) {
    console.conclude(report);
    status = request.json ? print_object(report, program) : report.exit_status;
  });
  return status;
}

int ended_by_exception(const char* what, bool json, std::string_view program) {
  const ScriptReport report =
      failure(ScriptErrorType::runner_internal_error, Error{ErrorCode::internal, fmt::format("a bug in casemate: {}", what), 0, ""});
  (void)write_all(STDERR_FILENO, fmt::format("{}: error: {}\n", program, report.message));
  return json ? print_object(report, program) : report.exit_status;
}

}  // namespace

int script_main(const std::vector<std::string>& arguments, std::string_view program) {
  const std::string name = display_name(program);
  bool json = false;
  try {
    ::signal(SIGPIPE, SIG_IGN);  // a reader that goes away (`| head`) does not end the run: its files are still wanted
    const Interrupts interrupts;
    json = asks_for_json(arguments);
    const auto parsed = parse_script_arguments(arguments);
    if (!parsed) return wrong_usage(parsed.error(), json, name);
    if (parsed->action == ParsedArguments::Action::help) return print(script_help(name));
    if (parsed->action == ParsedArguments::Action::version) return print("casemate " CASEMATE_VERSION "\n");
    json = parsed->request.json;
    return run(parsed->request, name);
  } catch (const std::bad_alloc&) {
    return ended_by_exception("out of memory", json, name);
  } catch (const std::exception& problem) {
    return ended_by_exception(problem.what(), json, name);
  }
}

}  // namespace casemate
