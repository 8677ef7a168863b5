#include "apps/pytest/pytest.h"

#include <cstdlib>
#include <filesystem>
#include <memory>

#include <unistd.h>

#include "apps/pytest/request.h"
#include "apps/pytest/session.h"
#include "report/json_lines.h"
#include "report/junit.h"
#include "report/test_console.h"

namespace casemate {

int pytest_main(const std::vector<std::string>& arguments, std::string_view program) {
  PytestRequest request;
  request.as_maelstrom = program == "maelstrom-pytest";
  std::error_code problem;
  request.directory = std::filesystem::current_path(problem);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].starts_with("--json-lines="))
      request.json_lines = arguments[i].substr(13);
    else if (arguments[i].starts_with("--junit-xml="))
      request.junit_xml = arguments[i].substr(12);
    else if (arguments[i].starts_with("--slots="))
      request.slots = static_cast<std::uint32_t>(std::atoi(arguments[i].c_str() + 8));
    else if (arguments[i].starts_with("--image="))
      request.image = arguments[i].substr(8);
    else if (arguments[i].starts_with("--isolation="))
      request.isolation = isolation_of(arguments[i].substr(12));
    else
      request.pytest_arguments.push_back(arguments[i]);
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
