// Own parser, no CLI11: a drop-in must read a command line as Python's argparse does.
#include "apps/agent/settings.h"

#include <algorithm>
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
constexpr std::size_t kHelpWidth = 78;
constexpr std::size_t kHelpColumn = 24;

// What one argument is, before anything is consumed: argparse decides this for all of them first.
struct Token {
  enum class Kind { value, option, unknown_option, separator };
  Kind kind = Kind::value;
  const AgentOption* option = nullptr;
  std::optional<std::string> attached;  // --option=attached
  std::string text;
};

std::vector<const AgentOption*> beginning_with(std::string_view prefix) {
  std::vector<const AgentOption*> theirs;
  std::vector<const AgentOption*> all;
  for (const AgentOption& option : agent_options()) {
    if (option.name == prefix) return {&option};
    if (!option.name.starts_with(prefix)) continue;
    all.push_back(&option);
    if (!option.ours) theirs.push_back(&option);
  }
  return theirs.empty() ? all : theirs;  // what was unambiguous before we added options still is
}

// argparse takes what looks like a negative number as a value.
bool is_negative_number(std::string_view text) {
  text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos && text != ".";
}

Result<Token> classify(const std::string& text) {
  if (text == "--") return Token{Token::Kind::separator, nullptr, std::nullopt, text};
  if (text.size() < 2 || text[0] != '-') return Token{Token::Kind::value, nullptr, std::nullopt, text};
  const std::string spelled = text == "-h" ? "--help" : text == "-auth" ? "--auth" : text;
  const std::size_t equals = spelled.find('=');
  const std::string name = spelled.substr(0, equals);
  Token token{Token::Kind::option, nullptr, std::nullopt, text};
  if (equals != std::string::npos) token.attached = spelled.substr(equals + 1);
  const auto candidates = name.starts_with("--") ? beginning_with(name) : std::vector<const AgentOption*>();
  if (candidates.size() > 1) {
    std::vector<std::string_view> names;
    for (const AgentOption* option : candidates) names.push_back(option->name);
    return fail(ErrorCode::invalid_input, fmt::format("ambiguous option: {} could match {}", name, fmt::join(names, ", ")));
  }
  if (candidates.size() == 1) {
    token.option = candidates[0];
    return token;
  }
  const bool value = text.find(' ') != std::string::npos || (text[1] != '-' && is_negative_number(text));
  token.kind = value ? Token::Kind::value : Token::Kind::unknown_option;
  token.text = value ? text : name;
  return token;
}

class Parser {
 public:
  Result<ParsedAgentArguments::Action> parse(const std::vector<std::string>& arguments) {
    bool only_values = false;
    for (const std::string& text : arguments) {
      if (only_values) {
        tokens_.push_back({Token::Kind::value, nullptr, std::nullopt, text});
        continue;
      }
      TRY_ASSIGN(Token token, classify(text));
      only_values = token.kind == Token::Kind::separator;
      tokens_.push_back(std::move(token));
    }
    while (next_ < tokens_.size() && action_ == Action::run) TRY(consume());
    if (action_ == Action::run) TRY(check_unrecognized());
    return action_;
  }
  [[nodiscard]] AgentRequest& request() { return request_; }

 private:
  using Action = ParsedAgentArguments::Action;

  Result<void> consume() {
    const Token token = tokens_[next_++];
    if (token.kind == Token::Kind::separator) return {};
    if (token.kind != Token::Kind::option) {
      (token.kind == Token::Kind::value ? values_ : unknown_).push_back(token.text);
      return {};
    }
    const AgentOption& option = *token.option;
    if (option.metavar.empty()) {
      if (token.attached) return wrong_argument(option, "ignored explicit argument");
      if (option.name == "--help") action_ = Action::help;
      if (option.name == "--version") action_ = Action::version;
      return option.store ? option.store(request_, "") : Result<void>();
    }
    if (token.attached) return store(option, *token.attached);
    if (next_ == tokens_.size() || tokens_[next_].kind != Token::Kind::value) return wrong_argument(option, "expected one argument");
    return store(option, tokens_[next_++].text);
  }

  static std::unexpected<Error> wrong_argument(const AgentOption& option, std::string_view what) {
    return fail(ErrorCode::invalid_input, fmt::format("argument {}: {}", option.name, what));
  }

  Result<void> store(const AgentOption& option, const std::string& value) {
    const auto stored = option.store(request_, value);
    if (!stored) return wrong_argument(option, stored.error().what);
    return {};
  }

  // What follows an option that nobody knows may be a secret: it is not repeated.
  [[nodiscard]] Result<void> check_unrecognized() const {
    if (unknown_.empty() && values_.empty()) return {};
    std::vector<std::string_view> known;
    for (const AgentOption& option : agent_options()) known.push_back(option.name);
    const std::string meant = unknown_.empty() ? "" : nearest(unknown_[0], known);
    return fail(ErrorCode::invalid_input, fmt::format("unrecognized arguments: {}{}", fmt::join(unknown_.empty() ? values_ : unknown_, " "),
                                                      meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant)));
  }

  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  Action action_ = Action::run;
  AgentRequest request_;
  std::vector<std::string> values_;
  std::vector<std::string> unknown_;
};

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

std::string wrapped(std::string_view text, std::size_t indent) {
  std::string lines;
  const std::size_t room = kHelpWidth - indent;
  while (text.size() > room) {
    std::size_t cut = text.rfind(' ', room);
    if (cut == std::string_view::npos) cut = room;
    lines += fmt::format("{}\n{:{}}", text.substr(0, cut), "", indent);
    text.remove_prefix(cut + 1);
  }
  return lines.append(text) + "\n";
}

std::string described(const AgentOption& option) {
  const std::string head = fmt::format("  {}{}{}", option.name, option.metavar.empty() ? "" : " ", option.metavar);
  const std::string help = wrapped(option.help, kHelpColumn);
  return head.size() + 2 <= kHelpColumn ? fmt::format("{:<{}}{}", head, kHelpColumn, help)
                                        : fmt::format("{}\n{:{}}{}", head, "", kHelpColumn, help);
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
  Parser parser;
  parser.request().settings.limits = default_agent_limits();
  ParsedAgentArguments parsed;
  TRY_ASSIGN(parsed.action, parser.parse(arguments));
  if (parsed.action != ParsedAgentArguments::Action::run) return parsed;
  TRY(find_password(parser.request()));
  parsed.settings = std::move(parser.request().settings);
  if (parsed.settings.tests_repo.empty() && !parsed.settings.mock)
    return fail(ErrorCode::invalid_input, "the tests' repository is missing: give --tests-repo URL[@REV] (or try --mock --once)");
  return parsed;
}

std::string agent_help(std::string_view program) {
  std::string text = fmt::format("usage: {} [OPTION...] --tests-repo URL[@REV]\n", program);
  text +=
      "\nTakes tasks from a backend, runs a repository of tests against each student's\n"
      "repository in a fresh, isolated cell, and posts the results.\n"
      "\noptions of ostest-runner:\n";
  for (const AgentOption& option : agent_options()) {
    if (!option.ours) text += described(option);
  }
  text += "\ncasemate's additions:\n";
  for (const AgentOption& option : agent_options()) {
    if (option.ours) text += described(option);
  }
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
  for (int i = 1; i < argc; ++i) {
    const auto token = classify(argv[i]);
    if (!token || !token->option || token->option->name != "--password") continue;
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
