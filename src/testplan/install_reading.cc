#include "testplan/install_reading.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/nearest.h"
#include "testplan/installation.h"
#include "testplan/pattern.h"

namespace casemate {
namespace {

// The strategy that people mean by a word; the word itself if it is none of ours; "": it is to be found out.
std::string strategy_of(const std::string& word) {
  if (ascii_lower(word) == "auto") return "";
  const std::string strategy = install_strategy(word);
  return strategy.empty() ? word : strategy;
}

bool is_strategy(const std::string& word) {
  const auto& all = install_strategies();
  return std::find(all.begin(), all.end(), word) != all.end();
}

// A version beside one package, as the strategy's own tool spells it.
std::string with_version(const std::string& strategy, const std::string& package, const std::string& version) {
  if (strategy == "pip") return package + "==" + version;
  if (strategy == "npm" || strategy == "cargo" || strategy == "go") return package + "@" + version;
  if (strategy == "gem") return package + ":" + version;
  return package + "=" + version;
}

bool takes_packages(const std::string& strategy) {
  return is_strategy(strategy) && strategy != "archive" && strategy != "script" && strategy != "none";
}

// A module of go's is no word that a tool's name could be.
void name_package(InstallRequest& install, const std::string& tool) {
  if (takes_packages(install.strategy) && install.strategy != "go" && install.packages.empty() && !tool.empty()) install.packages = {tool};
}

void read_install_table(const PlanTable& table, const std::string& tool, InstallRequest& install) {
  const auto strategy = table.find({"strategy", "method", "type", "installer", "package_manager"});
  if (strategy) {
    install.strategy = strategy_of(table.text({strategy.name}));
    if (!install.strategy.empty() && !is_strategy(install.strategy)) {
      const auto& all = install_strategies();
      table.problem(strategy.name, fmt::format("there is no way of installation '{}'{}", install.strategy,
                                               did_you_mean(install.strategy, {all.begin(), all.end()})));
    }
  }
  install.packages = table.texts({"packages", "package", "package_name"});
  name_package(install, tool);
  const std::string version = table.text({"version", "package_version"});
  if (!version.empty() && install.packages.size() == 1 && install.strategy != "archive" && install.strategy != "script")
    install.packages.front() = with_version(install.strategy, install.packages.front(), version);
  install.source = table.text({"source", "url", "path", "file", "archive", "install_command", "command", "script"});
  if (install.strategy.empty() && install.packages.empty() && table.find({"command", "script"})) install.strategy = "script";
  install.digest = table.text({"digest", "checksum", "sha256"});
  if (!install.digest.empty() && !install.digest.contains(':')) install.digest = "sha256:" + install.digest;
  install.verify = table.text({"verify", "verify_command", "verification_command", "version_command"});
  install.verify_pattern = table.text({"verify_pattern", "expected_pattern", "version_pattern"});
  if (const auto pattern = make_pattern(install.verify_pattern); !pattern) table.problem("verify_pattern", pattern.error().what);
  install.needs = table.texts({"needs", "requires", "dependencies", "system_packages"});
}

// What --install takes, a strategy alone, or a shell's line: "apt-get install -y jq".
void read_install_text(const PlanTable& table, std::string_view name, const std::string& text, const std::string& tool,
                       InstallRequest& install) {
  const std::string strategy = strategy_of(text.substr(0, text.find(':')));
  if (text.find(':') != std::string::npos && is_strategy(strategy)) {
    auto read = parse_install({text}, "");
    if (!read) return table.problem(name, read.error().what);
    install = std::move(*read);
  } else if (strategy.empty() || is_strategy(strategy)) {
    install.strategy = strategy;
    name_package(install, tool);
  } else {
    install = {.strategy = "script", .source = text};
  }
}

}  // namespace

InstallRequest read_install(const PlanTable& table, const std::string& tool) {
  InstallRequest install;
  const auto member = table.find({"install", "installation"});
  if (member && member.value->is_object()) {
    read_install_table(PlanTable(*member.value, below(table.pointer(), member.name), table.log()), tool, install);
  } else if (member && member.value->is_string()) {
    read_install_text(table, member.name, member.value->get<std::string>(), tool, install);
  } else if (member) {
    table.is_no(member.name, *member.value, "way of installation: an object or a command");
  }
  const std::string command = table.text({"install_command", "installation_command"});
  if (!command.empty() && install == InstallRequest{}) install.source = command;
  return install;
}

}  // namespace casemate
