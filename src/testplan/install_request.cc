#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/ascii.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "sys/fd.h"
#include "testplan/installation.h"

namespace casemate {
namespace {

constexpr std::size_t kMostScriptBytes = 64 << 10;

std::string listed() { return fmt::format("{}", fmt::join(install_strategies(), ", ")); }

Result<void> add_source(InstallRequest& request, const std::string& value, const std::string& place) {
  if (!request.source.empty() || !request.file.empty())
    return fail(ErrorCode::invalid_input, fmt::format("{}: one {} is all that can be installed", place, request.strategy));
  if (request.strategy == "script") {
    request.file = value;
    return {};
  }
  const std::size_t hash = value.rfind("#sha256=");
  request.source = value.substr(0, hash);
  if (hash != std::string::npos) request.digest = "sha256:" + value.substr(hash + 8);
  return {};
}

using Words = std::vector<std::string>;

// Whether the words begin with those of `start`.
bool begins(const Words& words, std::initializer_list<std::string_view> start) {
  return words.size() >= start.size() && std::equal(start.begin(), start.end(), words.begin());
}

// How an installing command of a package manager is spelled: its first words, and the options that take a value (of them, `version` is the
// one that says which).
struct Spelling {
  std::initializer_list<std::string_view> start;
  std::string_view strategy;
  std::string_view version_option;
  std::string_view joint;  // between a name and its version
  bool global = false;     // needs -g
};
const std::array kSpellings = {
    Spelling{{"apt-get", "install"}, "apt", "", "="},
    Spelling{{"apt", "install"}, "apt", "", "="},
    Spelling{{"pip", "install"}, "pip", "", "=="},
    Spelling{{"pip3", "install"}, "pip", "", "=="},
    Spelling{{"pipx", "install"}, "pip", "", "=="},
    Spelling{{"uv", "tool", "install"}, "pip", "", "=="},
    Spelling{{"python", "-m", "pip", "install"}, "pip", "", "=="},
    Spelling{{"python3", "-m", "pip", "install"}, "pip", "", "=="},
    Spelling{{"npm", "install"}, "npm", "", "@", true},
    Spelling{{"npm", "i"}, "npm", "", "@", true},
    Spelling{{"cargo", "install"}, "cargo", "--version", "@"},
    Spelling{{"go", "install"}, "go", "", "@"},
    Spelling{{"gem", "install"}, "gem", "-v", ":"},
};
// Options without a value that change nothing here: the script has its own.
constexpr std::array<std::string_view, 19> kHarmless = {"-y",
                                                        "-q",
                                                        "-qq",
                                                        "-g",
                                                        "-U",
                                                        "--yes",
                                                        "--assume-yes",
                                                        "--quiet",
                                                        "--global",
                                                        "--upgrade",
                                                        "--user",
                                                        "--locked",
                                                        "--no-cache-dir",
                                                        "--no-install-recommends",
                                                        "--break-system-packages",
                                                        "--no-document",
                                                        "--no-fund",
                                                        "--no-audit",
                                                        "--force"};

// One simple command as a request; nullopt if it says more than that.
std::optional<InstallRequest> read_command(Words words) {
  if (begins(words, {"sudo"})) words.erase(words.begin());
  while (!words.empty() && words.front().find('=') != std::string::npos && words.front().starts_with("DEBIAN_FRONTEND="))
    words.erase(words.begin());
  // apt-get takes its options before the verb as well.
  if (words.size() > 2 && words[0].starts_with("apt")) {
    const auto verb = std::find(words.begin() + 1, words.end(), "install");
    if (verb != words.end()) std::rotate(words.begin() + 1, verb, verb + 1);
  }
  for (const Spelling& spelling : kSpellings) {
    if (!begins(words, spelling.start)) continue;
    InstallRequest request{.strategy = std::string(spelling.strategy)};
    bool global = !spelling.global;
    for (std::size_t i = spelling.start.size(); i < words.size(); ++i) {
      const std::string& word = words[i];
      global = global || word == "-g" || word == "--global";
      if (!word.starts_with('-')) {
        request.packages.push_back(word);
      } else if (!spelling.version_option.empty() && (word == spelling.version_option || word == "--version") && i + 1 < words.size() &&
                 request.packages.size() == 1) {
        request.packages.back() += std::string(spelling.joint) + words[++i];
      } else if (std::find(kHarmless.begin(), kHarmless.end(), word) == kHarmless.end()) {
        return std::nullopt;
      }
    }
    if (request.packages.empty() || !global || !install_script(request, "tool")) return std::nullopt;
    return request;
  }
  return std::nullopt;
}

bool only_updates(const Words& words) {
  return begins(words, {"apt-get", "update"}) || begins(words, {"apt", "update"}) || begins(words, {"sudo", "apt-get", "update"}) ||
         begins(words, {"sudo", "apt", "update"});
}

}  // namespace

const std::vector<std::string>& install_strategies() {
  static const std::vector<std::string> all = {"apt", "pip", "npm", "cargo", "go", "gem", "archive", "script", "none"};
  return all;
}

std::string install_strategy(std::string_view word) {
  static constexpr std::pair<std::string_view, std::string_view> kOther[] = {
      {"apt-get", "apt"},      {"aptitude", "apt"},    {"dpkg", "apt"},       {"deb", "apt"},         {"debian", "apt"},
      {"ubuntu", "apt"},       {"pip3", "pip"},        {"pipx", "pip"},       {"pypi", "pip"},        {"python", "pip"},
      {"node", "npm"},         {"npx", "npm"},         {"yarn", "npm"},       {"pnpm", "npm"},        {"crates.io", "cargo"},
      {"crates", "cargo"},     {"rust", "cargo"},      {"golang", "go"},      {"rubygems", "gem"},    {"ruby", "gem"},
      {"tar", "archive"},      {"tarball", "archive"}, {"zip", "archive"},    {"release", "archive"}, {"binary", "archive"},
      {"download", "archive"}, {"shell", "script"},    {"command", "script"}, {"custom", "script"},   {"preinstalled", "none"}};
  const std::string small = ascii_lower(word);
  const auto& all = install_strategies();
  if (std::find(all.begin(), all.end(), small) != all.end()) return small;
  const auto* const found = std::find_if(std::begin(kOther), std::end(kOther), [&](const auto& each) { return each.first == small; });
  return found == std::end(kOther) ? "" : std::string(found->second);
}

Result<InstallRequest> parse_install(const std::vector<std::string>& words, std::string_view option) {
  InstallRequest request;
  for (const std::string& word : words) {
    const std::size_t colon = word.find(':');
    const std::string strategy = install_strategy(word.substr(0, colon));
    const std::string value = colon == std::string::npos ? "" : word.substr(colon + 1);
    const std::string place = fmt::format("{}'{}'", option, printable_line(word));
    if (strategy.empty() || (value.empty() != (strategy == "none")))
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: give STRATEGY:PACKAGE, the strategy one of {}, or 'none' alone", place, listed()));
    if (!request.strategy.empty() && request.strategy != strategy)
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: one strategy is all a tool can have, and '{}' was given before", place, request.strategy));
    request.strategy = strategy;
    if (strategy == "archive" || strategy == "script") {
      TRY(add_source(request, value, place));
    } else if (strategy != "none") {
      request.packages.push_back(value);
    }
  }
  return request;
}

Result<InstallRequest> with_files(InstallRequest request, const std::string& directory) {
  const auto below = [&](const std::string& path) { return (std::filesystem::path(directory) / path).string(); };
  if (!request.file.empty()) {
    TRY_ASSIGN(request.source, read_file(below(std::exchange(request.file, "")), kMostScriptBytes));
  } else if (request.strategy == "archive" && !request.source.empty() && request.source.find("://") == std::string::npos) {
    request.source = below(request.source);
  }
  return request;
}

InstallRequest parse_install_command(std::string_view text) {
  const InstallRequest script{.strategy = "script", .source = std::string(text)};
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  if (last == std::string_view::npos) return {};
  text = text.substr(0, last + 1);
  // Words of simple commands, parted by "&&"; anything else of a shell's makes it a script.
  if (text.find_first_of(";|<>$`*?(){}\\\n") != std::string_view::npos) return script;
  const auto words = split_shell_words(text);
  if (!words) return script;
  std::vector<Words> commands(1);
  for (const std::string& word : *words) {
    if (word == "&&") {
      commands.emplace_back();
    } else {
      commands.back().push_back(word);
    }
  }
  std::optional<InstallRequest> found;
  for (const Words& command : commands) {
    if (only_updates(command) && command.size() <= 4) continue;
    if (found) return script;
    found = read_command(command);
    if (!found) return script;
  }
  return found.value_or(script);
}

}  // namespace casemate
