#include "apps/script/arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/script/options.h"

namespace casemate {
namespace {

// As for `casemate run`; a script's environment is made here, so it needs to be known what it runs on.
Result<void> choose_engine(ScriptRequest& request) {
  if (request.cache && request.executor == "docker")
    return fail(ErrorCode::not_supported, "--cache can't be had with --executor docker; leave one of them out");
  if (request.executor_chosen && request.executor != "remote") {
    if (request.remote_words.address.empty()) return {};
    return fail(ErrorCode::invalid_input,
                fmt::format("--executor {} runs nothing on a remote engine: leave it or --remote out", request.executor));
  }
  TRY_ASSIGN(request.remote, remote_choice(request.remote_words, "."));
  if (!request.remote && request.executor_chosen)
    return fail(ErrorCode::invalid_input, "--executor remote needs an engine: --remote ADDRESS");
  if (request.remote && request.remote->image_as_property)
    return fail(ErrorCode::not_supported, "a script's image is sent with its packages: leave --remote-image property out");
  if (request.remote) request.executor = "remote";
  return {};
}

}  // namespace

ScriptRequest::ScriptRequest() : limits(default_script_limits()) {}

Limits default_script_limits() {
  Limits limits = default_limits();
  limits.memory_bytes = 2ull << 30;
  limits.pids = 512;
  limits.disk_bytes = 1ull << 30;
  limits.disk_inodes = 131'072;
  return limits;
}

Result<ParsedArguments> parse_script_arguments(const std::vector<std::string>& arguments) {
  ParsedArguments parsed;
  TRY_ASSIGN(const ReadCommandLine read, read_command_line(script_options(), arguments, QuoteValues::yes, parsed.request));
  if (!read.ended_by.empty()) {
    parsed.action = read.ended_by == "--help" ? ParsedArguments::Action::help : ParsedArguments::Action::version;
    return parsed;
  }
  if (read.unrecognized.empty()) {
    TRY(choose_engine(parsed.request));
    return parsed;
  }
  std::vector<std::string_view> words;
  for (const CommandToken& token : read.unrecognized) words.push_back(token.text);
  return fail(ErrorCode::invalid_input, fmt::format("unrecognized arguments: {}", fmt::join(words, " ")));
}

bool asks_for_json(const std::vector<std::string>& arguments) {
  const OptionTable table = table_of(script_options());
  for (const std::string& text : arguments) {
    if (text == "--") return false;
    const auto token = classify_argument(table, text);
    if (token && token->kind == CommandToken::Kind::option && table[token->option].name == "--json-output") return true;
  }
  return false;
}

}  // namespace casemate
