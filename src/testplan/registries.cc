#include "testplan/registries.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>
#include <re2/re2.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/terminal.h"
#include "image/package_index.h"
#include "image/toml.h"
#include "sys/fd.h"
#include "testplan/installation.h"

extern char** environ;

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;
// A variable's value, with its name, may have 128 KiB.
constexpr std::size_t kMostSettings = 100 << 10;

constexpr std::array<std::string_view, 8> kGo = {"GOPROXY",   "GOSUMDB",   "GONOSUMDB",  "GONOSUMCHECK",
                                                 "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOVCS"};
constexpr std::array<std::string_view, 5> kCargoPrefixes = {"CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_",
                                                            "CARGO_SOURCE_"};
// Files of certificates by the variables that name them.
constexpr std::array<std::string_view, 8> kCertificates = {
    "SSL_CERT_FILE",       "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO",  "npm_config_cafile", "PIP_CERT"};

template <class List>
bool contains(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

// Whether one of npm's settings says where a registry is or how it is reached: "registry", "@scope:registry", "//host/:_authToken".
bool is_npm_setting(const std::string& name) {
  static constexpr std::array<std::string_view, 10> kNames = {"registry", "proxy",      "https-proxy", "http-proxy", "noproxy",
                                                              "cafile",   "strict-ssl", "ca",          "cert",       "key"};
  return contains(kNames, name) || name.ends_with(":registry") || name.starts_with("//");
}

// "${NAME}" as npm expands it, once.
std::string with_variables(std::string_view value) {
  std::string text;
  for (;;) {
    const std::size_t start = value.find("${");
    const std::size_t end = start == std::string_view::npos ? start : value.find('}', start);
    if (end == std::string_view::npos) return text.append(value);
    text.append(value.substr(0, start)).append(variable(std::string(value.substr(start + 2, end - start - 2)).c_str()));
    value.remove_prefix(end + 1);
  }
}

// The text of a file, "" if there is none that the caller may read.
Result<std::string> text_of(const std::string& path) {
  if (path.empty() || ::access(path.c_str(), R_OK) != 0) return "";
  return read_file(path, kMostBytes);
}

class Reading {
 public:
  Result<Registries> read() {
    for (char** entry = environ; *entry; ++entry) take_variable(*entry);
    TRY(pip());
    TRY(npm());
    TRY(cargo());
    TRY(go());
    TRY(gem());
    TRY(apt());
    certificates();
    return std::move(found_);
  }

 private:
  void take_variable(std::string_view entry) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos || equals + 1 == entry.size()) return;
    const std::string name(entry.substr(0, equals));
    const std::string value(entry.substr(equals + 1));
    if (contains(kGo, name)) found_.environment[name] = value;
    if (std::any_of(kCargoPrefixes.begin(), kCargoPrefixes.end(), [&](std::string_view prefix) { return name.starts_with(prefix); })) {
      found_.environment[name] = value;
      if (name.ends_with("_TOKEN")) found_.secrets.push_back(value);
    }
    if (const std::string small = ascii_lower(name); small.starts_with("npm_config_")) {
      std::string setting = small.substr(11);
      std::replace(setting.begin(), setting.end(), '_', '-');
      if (is_npm_setting(setting)) found_.environment[small] = value;
      if (setting.starts_with("//")) found_.secrets.push_back(value);
    }
    if (name == "NODE_EXTRA_CA_CERTS") found_.environment[name] = value;
  }

  // A setting's text for the script, which writes it to a file; `pointer`: what tells the tool of it.
  Result<void> hand_on(const char* name, std::string text, const char* pointer, const std::string& file) {
    if (text.empty()) return {};
    if (text.size() > kMostSettings)
      return fail(ErrorCode::invalid_input,
                  fmt::format("what the configuration files say of registries for {} is more than {} KiB: shorten them", file,
                              kMostSettings >> 10));
    found_.environment[name] = std::move(text);
    if (*pointer) found_.environment[pointer] = fmt::format("{}/{}", kInstallationPlace, file);
    return {};
  }

  std::string show(const std::string& path, const std::string& name) {
    std::string target = fmt::format("{}/{}", kInstallationPlace, name);
    found_.mounts.push_back({.source = path, .target = target, .owned = true});
    return target;
  }

  Result<void> pip() {
    Interpreter of_image;  // pip's files of the host's Pythons are not asked
    of_image.site_directory = "/";
    TRY_ASSIGN(const PackageIndex index, read_package_index(of_image));
    for (const auto& [name, value] : index.environment) {
      if (name != "SSL_CERT_DIR") found_.environment[name] = value;
    }
    for (const auto& [name, value] : index.pip) {
      // What restricts or pins is a matter of the package; what remains says where they are.
      static constexpr std::array<std::string_view, 9> kPlaces = {"index-url",   "extra-index-url", "no-index", "trusted-host", "cert",
                                                                  "client-cert", "proxy",           "timeout",  "retries"};
      if (!contains(kPlaces, name)) continue;
      std::string upper = "PIP_" + name;
      std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
        return static_cast<char>(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 32 : c);
      });
      found_.environment[upper] = value;
    }
    if (const auto links = index.pip.find("find-links"); links != index.pip.end()) find_links(links->second);
    found_.environment["PIP_CONFIG_FILE"] = "/dev/null";
    found_.environment.emplace("PIP_RETRIES", "2");
    if (!index.netrc.empty()) found_.environment["NETRC"] = show(index.netrc, "netrc");
    return {};
  }

  void find_links(const std::string& list) {
    std::istringstream words(list);
    std::string shown;
    int number = 0;
    for (std::string word; words >> word;) {
      const bool url = word.find("://") != std::string::npos;
      std::error_code ignored;
      if (!url && !std::filesystem::is_directory(word, ignored)) continue;
      shown += (shown.empty() ? "" : " ") + (url ? word : show(std::filesystem::absolute(word, ignored), fmt::format("links{}", number++)));
    }
    if (!shown.empty()) found_.environment["PIP_FIND_LINKS"] = shown;
  }

  Result<void> npm() {
    std::string text;
    const std::string user = variable("NPM_CONFIG_USERCONFIG");
    for (const std::string& path :
         {std::string("/etc/npmrc"), variable("NPM_CONFIG_GLOBALCONFIG"), user.empty() ? home_ + "/.npmrc" : user}) {
      TRY_ASSIGN(const std::string file, text_of(path));
      text += registry_lines_of_npm(file);
    }
    // Certificates come as a file of ours.
    std::string rest;
    for (const std::string& line : lines_of(text)) {
      if (line.starts_with("cafile=")) {
        found_.environment.emplace("npm_config_cafile", line.substr(7));
        continue;
      }
      if (line.starts_with("//")) found_.secrets.push_back(line.substr(line.find('=') + 1));
      rest += line + "\n";
    }
    return hand_on("CASEMATE_NPMRC", rest, "npm_config_userconfig", "npmrc");
  }

  Result<void> cargo() {
    const std::string cargo_home = variable("CARGO_HOME").empty() ? home_ + "/.cargo" : variable("CARGO_HOME");
    for (const std::string& path : {cargo_home + "/config.toml", cargo_home + "/config"}) {
      TRY_ASSIGN(const std::string text, text_of(path));
      if (text.empty()) continue;
      TRY_ASSIGN(std::string tables, registry_tables_of_cargo(text, path));
      return hand_on("CASEMATE_CARGO_CONFIG", std::move(tables), "", "cargo/config.toml");
    }
    return {};
  }

  Result<void> go() {
    const std::string config = variable("XDG_CONFIG_HOME");
    const std::string own = variable("GOENV");
    if (own == "off") return {};
    TRY_ASSIGN(const std::string text, text_of(own.empty() ? (config.empty() ? home_ + "/.config" : config) + "/go/env" : own));
    for (const std::string& line : lines_of(text)) {
      const std::size_t equals = line.find('=');
      if (equals != std::string::npos && contains(kGo, line.substr(0, equals)))
        found_.environment.emplace(line.substr(0, equals), line.substr(equals + 1));
    }
    return {};
  }

  Result<void> gem() {
    const std::string own = variable("GEMRC");
    for (const std::string& path : {own, home_ + "/.gemrc", std::string("/etc/gemrc")}) {
      TRY_ASSIGN(const std::string text, text_of(path));
      std::string lines = registry_lines_of_gem(text);
      if (lines.empty()) continue;
      return hand_on("CASEMATE_GEMRC", std::move(lines), "GEMRC", "gemrc");
    }
    return {};
  }

  Result<void> apt() {
    std::vector<std::string> files;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/etc/apt/apt.conf.d", ignored)) {
      if (entry.is_regular_file(ignored)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    files.emplace_back("/etc/apt/apt.conf");
    std::string text;
    for (const std::string& path : files) {
      TRY_ASSIGN(const std::string file, text_of(path));
      text += registry_lines_of_apt(file);
    }
    return hand_on("CASEMATE_APT_CONF", std::move(text), "APT_CONFIG", "apt.conf");
  }

  // Each file once, at a place of ours: what a package brings at its own place must be free to be written.
  void certificates() {
    const auto first = found_.environment.find("SSL_CERT_FILE");
    if (first != found_.environment.end()) {
      const std::string file = first->second;
      for (const char* name : {"CURL_CA_BUNDLE", "CARGO_HTTP_CAINFO", "NODE_EXTRA_CA_CERTS"}) found_.environment.emplace(name, file);
    }
    std::map<std::string, std::string> shown;
    for (const std::string_view name : kCertificates) {
      const auto found = found_.environment.find(std::string(name));
      if (found == found_.environment.end()) continue;
      std::error_code ignored;
      const std::string path = std::filesystem::absolute(found->second, ignored);
      if (!std::filesystem::is_regular_file(path, ignored)) {
        found_.environment.erase(found);
        continue;
      }
      if (!shown.contains(path)) shown[path] = show(path, fmt::format("certificates{}.pem", shown.size()));
      found->second = shown[path];
    }
  }

  const std::string home_ = variable("HOME");
  Registries found_;
};

}  // namespace

Result<Registries> read_registries() { return Reading().read(); }

std::string registry_lines_of_npm(std::string_view text) {
  std::string kept;
  for (std::string line : lines_of(text)) {
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos || line.starts_with('#') || line.starts_with(';')) continue;
    std::string name = line.substr(0, equals);
    name.erase(0, std::min(name.find_first_not_of(" \t"), name.size()));
    name.erase(name.find_last_not_of(" \t") + 1);
    if (!is_npm_setting(name)) continue;
    std::string value = line.substr(equals + 1);
    value.erase(0, std::min(value.find_first_not_of(" \t"), value.size()));
    kept += fmt::format("{}={}\n", name, with_variables(value));
  }
  return kept;
}

Result<std::string> registry_tables_of_cargo(std::string_view text, const std::string& name) {
  auto parsed = parse_toml(text);
  if (!parsed)
    return fail(ErrorCode::invalid_input,
                fmt::format("{}:{}: {}", printable_line(name), parsed.error().line, printable_line(parsed.error().what)));
  toml::table kept;
  for (const char* table : {"source", "registries", "registry", "http", "net"}) {
    if (const toml::node* node = parsed->get(table)) kept.insert(table, *node);
  }
  // Files of the host would not be there.
  if (toml::table* http = kept["http"].as_table()) http->erase("cainfo");
  if (kept.empty()) return "";
  std::ostringstream out;
  out << toml::toml_formatter(kept) << "\n";
  return out.str();
}

std::string registry_lines_of_apt(std::string_view text) {
  static const RE2 wanted(
      R"((?i)\s*Acquire::(https?::(Proxy|Verify-Peer|Verify-Host|Timeout)(::[^\s"]+)?|Check-Valid-Until|Check-Date)\s+"[^"]*"\s*;)");
  std::string kept;
  for (const std::string& line : lines_of(text)) {
    if (RE2::FullMatch(line, wanted)) kept += line + "\n";
  }
  return kept;
}

std::string registry_lines_of_gem(std::string_view text) {
  std::string kept;
  bool inside = false;
  for (const std::string& line : lines_of(text)) {
    if (inside && (line.starts_with('-') || line.starts_with(" ") || line.starts_with("\t"))) {
      kept += line + "\n";
      continue;
    }
    inside = line == ":sources:" || line == "sources:";
    if (inside) kept += line + "\n";
  }
  return kept;
}

}  // namespace casemate
