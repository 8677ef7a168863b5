#include "testplan/first_plan.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/ascii.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "testplan/help_text.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kMostTime = std::chrono::seconds(20);
constexpr std::string_view kUnknown = "--no-such-option-as-this";
constexpr std::size_t kMostFlags = 30;
constexpr std::size_t kMostWord = 60;

// An answer: what it was asked, and what came.
struct Answer {
  std::string command;
  JobResult result;
  [[nodiscard]] bool ended() const { return result.outcome.kind == Outcome::Kind::exited; }
  [[nodiscard]] bool well() const { return result.outcome.succeeded(); }
  [[nodiscard]] std::string text() const { return result.output.out + "\n" + result.output.err; }
  [[nodiscard]] bool says_something() const { return text().find_first_not_of(" \t\r\n") != std::string::npos; }
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// Letters, digits and single dashes, for ids.
std::string id_part(std::string_view text) {
  std::string id;
  for (const char byte : ascii_lower(text)) {
    const bool fits = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
    if (fits) {
      id += byte;
    } else if (!id.empty() && id.back() != '-') {
      id += '-';
    }
  }
  while (!id.empty() && id.back() == '-') id.pop_back();
  return id.empty() ? "x" : id;
}

// An option of which its name or its description says that it prints something and does nothing else.
bool only_prints(const HelpOption& option) {
  if (option.takes_value) return false;
  static const RE2 name(
      R"(--(list|show|print|display|dump|supported|available|help)-[a-z0-9-]+|--[a-z0-9-]+-(list|info|help|types|formats|version)|)"
      R"(--(licen[sc]e|copyright|copying|about|credits|authors?|info|build-info|build-options|build-configuration|env-info|type-list|list))");
  static const RE2 says(R"((?i)^\s*(print|show|list|display|output|dump)s?\b.*\b(and|then) (exits?|quits?)\b)");
  return RE2::FullMatch(option.name, name) || RE2::PartialMatch(option.description, says);
}

bool is_common(const HelpOption& option) {
  return option.name == "--help" || option.name == "-h" || option.name == "--version" || option.name == "-V" || option.name == "-?";
}

// The first that says anything, for a person.
std::string first_line(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  return printable_line(text.substr(begin, std::min<std::size_t>(text.find_first_of("\r\n", begin), begin + 300) - begin));
}

class Asking {
 public:
  Asking(const FirstPlanRequest& request, const AskTool& ask) : request_(request), ask_(ask), word_(join_shell_words({request.tool})) {}

  Result<FirstPlan> plan() {
    TRY(version());
    TRY(help());
    TRY(commands());
    TRY(flags());
    TRY(unknown_option());
    write_head();
    return std::move(made_);
  }

 private:
  Result<Answer> put(const std::string& command) {
    TRY_ASSIGN(JobResult result, ask_(command));
    if (result.outcome.kind == Outcome::Kind::cancelled) return fail(ErrorCode::cancelled, "cancelled");
    if (result.outcome.kind == Outcome::Kind::setup_failed || result.outcome.kind == Outcome::Kind::lost)
      return fail(ErrorCode::system, fmt::format("asking '{}': {}", printable_line(command), printable_line(words(result.outcome))));
    return Answer{command, std::move(result)};
  }

  // The first spelling to which the tool has an answer.
  Result<std::optional<Answer>> first_good(const std::vector<std::string>& commands) {
    std::optional<Answer> found;
    for (const std::string& command : commands) {
      TRY_ASSIGN(Answer answer, put(command));
      if (answer.well() && answer.says_something()) {
        found = std::move(answer);
        return found;
      }
      if (!refusal_) refusal_ = std::move(answer);
    }
    return found;
  }

  void add(const std::string& id, const std::string& name, const std::string& description, const Answer& answer,
           const std::vector<std::string>& wanted, const std::vector<std::string>& tags) {
    Json one = {{"id", id},
                {"name", name},
                {"description", description},
                {"command_line", answer.command},
                {"expected_exit_code", answer.result.outcome.code}};
    Json out = Json::array();
    Json err = Json::array();
    for (const std::string& text : wanted) {
      if (text.empty() || to_utf8(text) != text) continue;
      if (contains(ascii_lower(answer.result.output.out), ascii_lower(text))) {
        out.push_back(text);
      } else if (contains(ascii_lower(answer.result.output.err), ascii_lower(text))) {
        err.push_back(text);
      }
    }
    one["expected_output_contains"] = out;
    one["expected_error_contains"] = err;
    one["tags"] = tags;
    cases_.push_back(std::move(one));
  }

  Result<void> version() {
    TRY_ASSIGN(const auto answer, first_good({word_ + " --version", word_ + " -V", word_ + " version"}));
    if (!answer) {
      made_.notes.push_back(fmt::format("{} knows none of --version, -V and version: no case for its version", request_.tool));
      return {};
    }
    static const RE2 number(R"((\d+(?:\.\d+)+[A-Za-z0-9.+-]*))");
    const std::string text = answer->text();
    if (RE2::PartialMatch(text, number, &version_)) {
      while (!version_.empty() && (version_.back() == '.' || version_.back() == '-' || version_.back() == '+')) version_.pop_back();
    }
    if (version_.size() > kMostWord) version_.clear();
    add("version", "says its version",
        version_.empty() ? "Complete: what of its words should stay." : "Complete: change the number when another version is to be tested.",
        *answer, {version_}, {"smoke", "version"});
    return {};
  }

  Result<void> help() {
    TRY_ASSIGN(const auto answer, first_good({word_ + " --help", word_ + " -h", word_ + " help"}));
    if (!answer) {
      const std::string said = refusal_ ? first_line(refusal_->text()) : "";
      return fail(
          ErrorCode::refused,
          fmt::format("{} has no help that could be read (--help, -h, help): {}", request_.tool,
                      refusal_ ? fmt::format("'{}' ended with '{}': {}", refusal_->command, words(refusal_->result.outcome), said) : said));
    }
    help_ = read_help(answer->text(), request_.tool);
    std::vector<std::string> wanted = {"usage"};
    for (std::size_t i = 0; i < std::min<std::size_t>(3, help_.commands.size()); ++i) wanted.push_back(help_.commands[i].name);
    for (std::size_t i = 0; help_.commands.empty() && i < std::min<std::size_t>(3, help_.options.size()); ++i)
      wanted.push_back(help_.options[i].name);
    add("help", "says how it is used", "Complete: which of its promises matter to you.", *answer, wanted, {"smoke", "help"});
    return {};
  }

  Result<void> commands() {
    std::size_t asked = 0;
    for (const HelpCommand& command : help_.commands) {
      if (command.name == "help" || command.name == "version") continue;
      if (asked++ >= request_.commands) {
        made_.notes.push_back(
            fmt::format("{} has {} sub-commands: the first {} have a case", request_.tool, help_.commands.size(), request_.commands));
        break;
      }
      const std::string name = join_shell_words({command.name});
      TRY_ASSIGN(const auto answer, first_good({fmt::format("{} {} --help", word_, name), fmt::format("{} help {}", word_, name)}));
      if (!answer) {
        made_.notes.push_back(fmt::format("'{} {}' has no help of its own: no case", request_.tool, command.name));
        continue;
      }
      const std::string says = command.description.empty() ? "" : fmt::format("Its help says: \"{}\". ", command.description);
      add("help-" + id_part(command.name), fmt::format("{}: says how it is used", command.name),
          fmt::format("{}Complete: add cases that run '{} {}' for real.", says, request_.tool, command.name), *answer,
          {"usage", name_in(answer->text(), command.name)}, {"help", "command"});
    }
    return {};
  }

  // A sub-command as its help names it: behind the tool where it does, for a short name is a part of many words.
  [[nodiscard]] std::string name_in(std::string_view text, const std::string& command) const {
    const std::string said = ascii_lower(text);
    for (const char* joint : {" ", "-"}) {
      std::string whole = request_.tool + joint + command;
      if (contains(said, ascii_lower(whole))) return whole;
    }
    return command;
  }

  Result<void> flags() {
    std::size_t found = 0;
    for (const HelpOption& option : help_.options) {
      if (is_common(option) || !only_prints(option)) continue;
      if (found++ >= kMostFlags) break;
      TRY_ASSIGN(const Answer answer, put(word_ + " " + option.name));
      if (!answer.well() || !answer.says_something()) {
        made_.notes.push_back(fmt::format("'{} {}' looked as if it only printed, but ended with '{}': no case", request_.tool, option.name,
                                          printable_line(words(answer.result.outcome))));
        continue;
      }
      const std::string says = option.description.empty() ? "its name" : fmt::format("its help (\"{}\")", option.description);
      add("flag-" + id_part(option.name), fmt::format("{} prints something", option.name),
          fmt::format("By {} it only prints. Complete: what of it should stay.", says), answer, {}, {"flag"});
    }
    return {};
  }

  Result<void> unknown_option() {
    TRY_ASSIGN(const Answer answer, put(fmt::format("{} {}", word_, kUnknown)));
    if (!answer.ended() || answer.well()) {
      made_.notes.push_back(fmt::format("'{} {}' ended with '{}', so that an unknown option is no error: no case", request_.tool, kUnknown,
                                        printable_line(words(answer.result.outcome))));
      return {};
    }
    add("unknown-option", "refuses an option that it does not have", "It must fail, and say which option it was.", answer,
        {std::string(kUnknown.substr(2))}, {"smoke", "error"});
    return {};
  }

  // Two options may have one id ("--no-x", "--no_x").
  void number_ids() {
    std::vector<std::string> seen;
    for (Json& one : cases_) {
      const std::string id = one["id"];
      std::string own = id;
      for (int i = 2; std::find(seen.begin(), seen.end(), own) != seen.end(); ++i) own = fmt::format("{}-{}", id, i);
      one["id"] = own;
      seen.push_back(own);
    }
  }

  void write_head() {
    number_ids();
    Json plan = {{"id", id_part(request_.tool) + "-first-plan"},
                 {"tool_name", request_.tool},
                 {"description",
                  fmt::format("A first plan for {}, from what it says of itself. Every case was run once; what came is what is expected. "
                              "Complete it: cases that do its real work on files of yours, what their output must contain, and what must "
                              "fail. 'casemate plan record' stores whole outputs.",
                              request_.tool)}};
    plan["version"] = "1";
    plan["created_by"] = "casemate plan init";
    Json metadata = Json::object();
    if (!version_.empty()) metadata["tool_version"] = version_;
    if (!metadata.empty()) plan["metadata"] = metadata;
    if (const Json install = install_table(); !install.empty()) plan["install"] = install;
    if (!request_.image.empty()) plan["execution"] = {{"docker_image", request_.image}};
    if (request_.in_docker) plan["execution"]["use_docker"] = true;
    plan["test_cases"] = std::move(cases_);
    made_.document = std::move(plan);
  }

  Json install_table() const {
    const InstallRequest& install = request_.install;
    Json table = Json::object();
    if (install.strategy.empty()) return table;
    table["strategy"] = install.strategy;
    if (!install.packages.empty()) table["packages"] = install.packages;
    if (!install.source.empty()) table["source"] = install.source;
    if (!install.digest.empty()) table["digest"] = install.digest;
    if (!install.needs.empty()) table["needs"] = install.needs;
    return table;
  }

  const FirstPlanRequest& request_;
  const AskTool& ask_;
  const std::string word_;
  FirstPlan made_;
  HelpText help_;
  std::string version_;
  std::optional<Answer> refusal_;
  Json cases_ = Json::array();
};

}  // namespace

AskTool ask_in_cells(Engine& engine, Job base) {
  return [&engine, base = std::move(base)](const std::string& command_line) {
    Job job = base;
    job.argv = {"/bin/sh", "-c", command_line};
    job.limits.wall = kMostTime;
    job.forward_stdin = false;
    job.collect.clear();
    return engine.run(std::move(job));
  };
}

Result<FirstPlan> first_plan(const FirstPlanRequest& request, const AskTool& ask) { return Asking(request, ask).plan(); }

}  // namespace casemate
