// registries: where packages come from, as the caller of casemate has it configured on this host, for installers in a cell.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"

namespace casemate {

/// What an installing job gets beside its script. Values may hold secrets: they are no part of a key, a log or what is kept.
struct Registries {
  std::map<std::string, std::string> environment;
  std::vector<Mount> mounts;         ///< certificates, directories of wheels; read-only, below kInstallationPlace
  std::vector<std::string> secrets;  ///< values to be taken out of logs
};

/// From the environment (proxies, certificates, PIP_*, npm_config_*, CARGO_*, GOPROXY and its like) and from the configuration files of
/// pip, npm, cargo, go, gem and apt: of each only what says where registries are and how they are reached. invalid_input: a file of these
/// that can't be read or parsed, with its name.
Result<Registries> read_registries();

/// The lines of an .npmrc that say where registries are and who one is there; "${NAME}" is expanded as npm does.
[[nodiscard]] std::string registry_lines_of_npm(std::string_view text);
/// The tables of cargo's config.toml about sources, registries and the network, as TOML. invalid_input: "NAME:LINE: ...".
Result<std::string> registry_tables_of_cargo(std::string_view text, const std::string& name);
/// The lines of apt.conf about proxies, certificates and the age of indexes ("Acquire::http::Proxy "..."; each on a line of its own).
[[nodiscard]] std::string registry_lines_of_apt(std::string_view text);
/// ":sources:" of a .gemrc, with its list.
[[nodiscard]] std::string registry_lines_of_gem(std::string_view text);

}  // namespace casemate
