#include "apps/pytest/pytest.h"

#include <cstdlib>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "apps/pytest/arguments.h"
#include "apps/pytest/init.h"
#include "apps/pytest/session.h"
#include "base/terminal.h"
#include "report/json_lines.h"
#include "report/junit.h"
#include "report/printing.h"
#include "report/test_console.h"

namespace casemate {

int pytest_main(const std::vector<std::string>& arguments, std::string_view program) {
  std::error_code problem;
  const std::string directory = std::filesystem::current_path(problem);
  const auto variable = [](const std::string& name) -> const char* { return std::getenv(name.c_str()); };
  ParsedPytest parsed = parse_pytest(arguments, program, {directory, variable});
  if (parsed.stop && parsed.exit_status != 0) {
    say(parsed.text);
    return parsed.exit_status;
  }
  if (parsed.stop) return put(program, parsed.text, 0);
  PytestRequest& request = parsed.request;
  for (const std::string& note : request.notes) say(fmt::format("{}: note: {}\n", program, printable_line(note)));
  if (request.action == PytestRequest::Action::init) {
    const auto told = write_first_directives(directory, request.as_maelstrom);
    return told ? put(program, *told, 0) : complain(program, told.error().what, 2);
  }
  std::vector<std::unique_ptr<Sink>> sinks;
  sinks.push_back(std::make_unique<TestConsole>(ConsoleOptions{.display = TestConsole::display_for(STDOUT_FILENO)}));
  if (!request.json_lines.empty()) sinks.push_back(std::make_unique<JsonLines>(request.json_lines));
  if (!request.junit_xml.empty()) sinks.push_back(std::make_unique<JunitReport>(request.junit_xml));
  SessionOptions options{.typed = arguments, .sinks = {}};
  for (const auto& sink : sinks) options.sinks.push_back(sink.get());
  return run_tests(request, options);
}

}  // namespace casemate
