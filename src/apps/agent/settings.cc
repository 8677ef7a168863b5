#include "apps/agent/settings.h"

#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/agent/options.h"
#include "base/nearest.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostPassword = 4096;

// What follows an option that nobody knows may be a secret: it is not repeated.
std::unexpected<Error> unrecognized(const std::vector<CommandToken>& tokens) {
  std::vector<std::string_view> options;
  std::vector<std::string_view> values;
  for (const CommandToken& token : tokens) {
    const std::string_view text = token.text;
    if (token.kind == CommandToken::Kind::unknown_option)
      options.push_back(text.substr(0, text.find('=')));
    else
      values.push_back(text);
  }
  std::string meant;
  if (!options.empty()) {
    std::vector<std::string_view> known;
    for (const AgentOption& option : agent_options()) known.push_back(option.words.name);
    meant = nearest(options[0], known);
  }
  return fail(ErrorCode::invalid_input, fmt::format("unrecognized arguments: {}{}", fmt::join(options.empty() ? values : options, " "),
                                                    meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant)));
}

// The first line of the file; else the environment; else what is there.
Result<void> find_password(AgentRequest& request) {
  std::string& password = request.settings.password;
  if (!request.password_file.empty()) {
    if (request.password_given) return fail(ErrorCode::invalid_input, "argument --password-file: not allowed with argument --password");
    auto text = read_file(request.password_file, kMostPassword);
    if (!text) return fail(text.error().code, fmt::format("argument --password-file: {}", text.error().what));
    password = text->substr(0, text->find_first_of("\r\n"));
    if (password.empty())
      return fail(ErrorCode::invalid_input,
                  fmt::format("argument --password-file: there is no password on the first line of {}", request.password_file));
  } else if (const char* variable = std::getenv(kPasswordVariable); variable && *variable && !request.password_given) {
    password = variable;
  }
  return {};
}

}  // namespace

Limits default_agent_limits() {
  Limits limits = default_limits();
  limits.memory_bytes = 2ull << 30;
  limits.pids = 512;
  limits.disk_bytes = 1ull << 30;
  limits.disk_inodes = 131'072;
  limits.output_bytes = 64ull << 20;
  return limits;
}

Result<ParsedAgentArguments> parse_agent_arguments(const std::vector<std::string>& arguments) {
  ParsedAgentArguments parsed;
  AgentRequest request;
  request.settings.limits = default_agent_limits();
  TRY_ASSIGN(ReadCommandLine read, read_command_line(agent_options(), arguments, QuoteValues::no, request));
  if (!read.ended_by.empty()) {
    parsed.action = read.ended_by == "--help" ? ParsedAgentArguments::Action::help : ParsedAgentArguments::Action::version;
    return parsed;
  }
  std::erase_if(read.unrecognized, [](const CommandToken& token) { return token.kind == CommandToken::Kind::separator; });
  if (!read.unrecognized.empty()) return unrecognized(read.unrecognized);
  TRY(find_password(request));
  parsed.settings = std::move(request.settings);
  if (parsed.settings.tests_repo.empty() && !parsed.settings.mock)
    return fail(ErrorCode::invalid_input, "the tests' repository is missing: give --tests-repo URL[@REV] (or try --mock --once)");
  return parsed;
}

std::string agent_help(std::string_view program) {
  const OptionTable table = table_of(agent_options());
  std::string text = fmt::format("usage: {} [OPTION...] --tests-repo URL[@REV]\n", program);
  text +=
      "\nTakes tasks from a backend, runs a repository of tests against each student's\n"
      "repository in a fresh, isolated cell, and posts the results.\n"
      "\noptions of ostest-runner:\n";
  text += options_help(table, false);
  text += "\ncasemate's additions:\n";
  text += options_help(table, true);
  text += fmt::format(
      "\nTimes are seconds (5, 0.1) or have a unit (500ms, 10m). Options may be shortened\n"
      "where that is unambiguous.\n"
      "\nSignals: SIGINT or SIGTERM: take no more tasks, interrupt the tests that run,\n"
      "post, exit; a second one: exit at once. SIGUSR1: log a line on what is going on.\n"
      "SIGHUP: open the log's file again.\n"
      "\nexamples:\n"
      "  {0} --mock --once\n"
      "  {0} --backend-url https://labs.example.edu \\\n"
      "      --tests-repo https://git.example.edu/os/tests.git@2026 \\\n"
      "      --auth --login grader --password-file /etc/casemate/agent.password\n"
      "  {0} --backend-url http://localhost:8080 -auth \\\n"
      "      --tests-repo git@git.example.edu:os/tests.git --metrics 9464\n"
      "\nexit status: 0 stopped by a signal, or --once has posted a result; 1 --once has\n"
      "not; 2 wrong usage, or a backend or an account that can't be used; 3 trouble of\n"
      "its own, a full disk for example; 130 stopped by a second signal.\n",
      program);
  return text;
}

void hide_passwords(int argc, char** argv) {
  const auto hide = [](char* text) { std::memset(text, 'x', std::strlen(text)); };
  const OptionTable table = table_of(agent_options());
  for (int i = 1; i < argc; ++i) {
    const auto token = classify_argument(table, argv[i]);
    if (!token || token->kind != CommandToken::Kind::option || table[token->option].name != "--password") continue;
    if (token->attached)
      hide(std::strchr(argv[i], '=') + 1);
    else if (i + 1 < argc)
      hide(argv[++i]);
  }
}

void hide_password_variable() {
  if (char* const value = std::getenv(kPasswordVariable)) {
    std::memset(value, 'x', std::strlen(value));
    ::unsetenv(kPasswordVariable);
  }
}

}  // namespace casemate
