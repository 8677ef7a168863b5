#include "image/package_index.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "sys/fd.h"

extern char** environ;

namespace casemate {
namespace {

constexpr std::string_view kDefaultIndex = "https://pypi.org/simple";

// What of pip's options we follow; all others are about where to install, what to print, and caches.
constexpr std::array kPipOptions = {"index-url",
                                    "extra-index-url",
                                    "find-links",
                                    "no-index",
                                    "trusted-host",
                                    "constraint",
                                    "pre",
                                    "only-binary",
                                    "no-binary",
                                    "prefer-binary",
                                    "require-hashes",
                                    "no-deps",
                                    "cert",
                                    "client-cert",
                                    "proxy",
                                    "timeout",
                                    "retries",
                                    "no-build-isolation",
                                    "use-feature",
                                    "use-deprecated",
                                    "use-pep517",
                                    "ignore-requires-python",
                                    "build-constraint",
                                    "uploaded-prior-to"};
// Those of them that say how to reach an index and not which packages come out.
constexpr std::array kPipTransport = {"trusted-host", "cert", "client-cert", "proxy", "timeout", "retries"};
// UV_* that would move the installation elsewhere.
constexpr std::array kUvIgnored = {"UV_CACHE_DIR",       "UV_NO_CACHE",
                                   "UV_LINK_MODE",       "UV_PYTHON",
                                   "UV_SYSTEM_PYTHON",   "UV_BREAK_SYSTEM_PACKAGES",
                                   "UV_PROJECT",         "UV_PROJECT_ENVIRONMENT",
                                   "UV_WORKING_DIR",     "UV_WORKING_DIRECTORY",
                                   "UV_ENV_FILE",        "UV_COMPILE_BYTECODE",
                                   "UV_NO_PROGRESS",     "UV_CONFIG_FILE",
                                   "UV_NO_BUILD",        "UV_NO_BUILD_PACKAGE",
                                   "UV_DRY_RUN",         "UV_TARGET",
                                   "UV_PREFIX",          "UV_LOG_CONTEXT",
                                   "UV_SHOW_RESOLUTION", "UV"};
constexpr std::array kUvTransport = {"UV_HTTP_TIMEOUT", "UV_REQUEST_TIMEOUT",      "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_RETRIES",
                                     "UV_NATIVE_TLS",   "UV_SYSTEM_CERTS",         "UV_INSECURE_HOST",        "UV_KEYRING_PROVIDER",
                                     "UV_STACK_SIZE",   "UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_BUILDS",    "UV_CONCURRENT_INSTALLS"};
// UV_* that name files whose content decides which packages come out.
constexpr std::array kUvFiles = {"UV_CONSTRAINT", "UV_BUILD_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE"};
constexpr std::array kHandedOn = {"http_proxy",   "https_proxy",     "all_proxy",          "no_proxy",       "ftp_proxy",
                                  "HTTP_PROXY",   "HTTPS_PROXY",     "ALL_PROXY",          "NO_PROXY",       "SSL_CERT_FILE",
                                  "SSL_CERT_DIR", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"};

template <class List>
bool contains(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::vector<std::string> words(std::string_view text, std::string_view separators = " \t\r\n\f\v") {
  std::vector<std::string> found;
  while (true) {
    const std::size_t start = text.find_first_not_of(separators);
    if (start == std::string_view::npos) return found;
    const std::size_t end = std::min(text.find_first_of(separators, start), text.size());
    found.emplace_back(text.substr(start, end - start));
    text.remove_prefix(end);
  }
}

std::string stripped(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\f\v\n");
  if (start == std::string_view::npos) return "";
  return std::string(text.substr(start, text.find_last_not_of(" \t\r\f\v\n") - start + 1));
}

// pip takes 1, true, yes, on, t, y for true.
bool is_true(std::string_view value) {
  std::string lower = stripped(value);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  return lower == "1" || lower == "true" || lower == "yes" || lower == "on" || lower == "t" || lower == "y";
}

std::string option_name(std::string_view text) {
  std::string name = stripped(text);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(c == '_' ? '-' : c >= 'A' && c <= 'Z' ? c + 32 : c);
  });
  if (name.starts_with("--")) name.erase(0, 2);
  if (name == "default-timeout") return "timeout";
  if (name == "pypi-url") return "index-url";
  return name;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// A path as the caller means it: "~" is the home, relative is to the current directory.
std::string absolute(const std::string& path) {
  if (path.starts_with("~/")) return variable("HOME") + path.substr(1);
  if (path.empty() || path.starts_with('/')) return path;
  std::error_code gone;
  return std::filesystem::current_path(gone).string() + "/" + path;
}

// The host path that an index option names: a directory or a file: URL; "" for anything else.
std::string path_of_location(const std::string& location) {
  if (location.starts_with("file://")) {
    const std::string path = location.substr(location.starts_with("file://localhost/") ? 16 : 7);
    return path.substr(0, path.find_first_of("#?"));
  }
  return location.find("://") == std::string::npos ? absolute(location) : "";
}

std::vector<std::string> pip_configuration_files(const Interpreter& interpreter) {
  const std::string own = variable("PIP_CONFIG_FILE");
  if (own == "/dev/null") return {};
  std::vector<std::string> files;
  const std::string shared = variable("XDG_CONFIG_DIRS");
  for (const std::string& directory : words(shared.empty() ? "/etc/xdg" : shared, ":")) files.push_back(directory + "/pip/pip.conf");
  files.emplace_back("/etc/pip.conf");
  const std::string home = variable("HOME");
  if (own.empty() || !exists(own)) {
    const std::string config = variable("XDG_CONFIG_HOME");
    if (!home.empty()) files.push_back(home + "/.pip/pip.conf");
    if (!config.empty() || !home.empty()) files.push_back((config.empty() ? home + "/.config" : config) + "/pip/pip.conf");
  }
  if (!interpreter.in_image()) files.push_back(interpreter.prefix + "/pip.conf");
  if (!own.empty()) files.push_back(own);
  return files;
}

std::string location(const std::string& text) { return text.find("://") == std::string::npos ? absolute(text) : text; }

// The index settings while a requirements file's options are applied to them, as pip's `handle_option_line` does.
struct Sources {
  std::vector<std::string> indexes;
  std::vector<std::string> links;
  std::vector<std::string> lines;  // other options for requirements.txt
  bool own_index = false;          // something differs from the default
};

Sources sources_of(const Requirements& requirements, const PackageIndex& index) {
  Sources all;
  const auto set = [&](const char* name) -> std::string {
    const auto found = index.pip.find(name);
    return found == index.pip.end() ? "" : found->second;
  };
  all.own_index = !set("index-url").empty() || !set("extra-index-url").empty() || is_true(set("no-index"));
  all.indexes.push_back(set("index-url").empty() ? std::string(kDefaultIndex) : set("index-url"));
  for (const std::string& extra : words(set("extra-index-url"))) all.indexes.push_back(extra);
  if (is_true(set("no-index"))) all.indexes.clear();
  for (const std::string& link : words(set("find-links"))) all.links.push_back(location(link));
  for (const char* name : {"only-binary", "no-binary"}) {
    if (!set(name).empty()) all.lines.push_back(fmt::format("--{} {}", name, fmt::join(words(set(name)), ",")));
  }
  for (const auto& [name, value] : requirements.options) {
    if (name == "index-url") all.indexes = {value};
    if (name == "no-index") all.indexes.clear();
    if (name == "extra-index-url") all.indexes.push_back(value);
    all.own_index = all.own_index || name == "index-url" || name == "no-index" || name == "extra-index-url";
    if (name == "find-links") all.links.push_back(location(value));
    if (name == "only-binary" || name == "no-binary") all.lines.push_back(fmt::format("--{} {}", name, value));
    if (name == "requirement" || name == "constraint") all.lines.push_back(fmt::format("--{} {}", name, value));
  }
  return all;
}

std::string text_of(const Sources& sources, const std::vector<std::string>& packages) {
  std::string text;
  // Without settings of pip's, the installer's own (UV_INDEX_URL, uv.toml) decide.
  if (sources.own_index) {
    if (sources.indexes.empty()) text += "--no-index\n";
    for (std::size_t i = 0; i < sources.indexes.size(); ++i)
      text += fmt::format("--{} {}\n", i == 0 ? "index-url" : "extra-index-url", sources.indexes[i]);
  }
  for (const std::string& link : sources.links) text += fmt::format("--find-links {}\n", link);
  for (const std::string& line : sources.lines) text += line + "\n";
  for (const std::string& package : packages) text += package + "\n";
  return text;
}

// Where each line of `text` comes from; "" where nobody knows.
std::vector<std::string> origins_of(std::string_view text, const std::map<std::string, std::string>& known) {
  std::vector<std::string> origins;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto found = known.find(std::string(text.substr(0, end)));
    origins.push_back(found == known.end() ? "" : found->second);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return origins;
}

// Hashes parts so that no two lists of parts run together.
class Key {
 public:
  void add(std::string_view name, std::string_view value) {
    hash_.update(fmt::format("{} {}\n", name, value.size()));
    hash_.update(value);
  }
  std::string hex() { return hash_.hex(); }

 private:
  Sha256 hash_;
};

class Planner {
 public:
  Planner(const Requirements& requirements, const PackageIndex& index, const std::vector<std::string>& visible)
      : requirements_(requirements), index_(index), visible_(visible) {}
  Result<Installation> plan();

 private:
  std::string pip(const char* name) const {
    const auto found = index_.pip.find(name);
    return found == index_.pip.end() ? "" : found->second;
  }
  // Shows a host file or directory at its own path, unless the cell sees it or it isn't there (then the installer says so).
  void show(const std::string& path) {
    if (path.empty() || path[0] != '/' || !exists(path) || lies_below(path, visible_)) return;
    if (std::none_of(plan_.mounts.begin(), plan_.mounts.end(), [&](const Mount& mount) { return mount.target == path; })) show(path, path);
  }
  void show(const std::string& path, std::string target) {
    plan_.mounts.push_back({.kind = Mount::Kind::bind, .source = path, .target = std::move(target), .owned = true});
  }
  Result<void> constraints();
  Result<void> archives();
  Result<void> uv_files();
  void uv_settings(const Sources& sources);
  void pip_settings();
  void transport();

  const Requirements& requirements_;
  const PackageIndex& index_;
  const std::vector<std::string>& visible_;
  Installation plan_;
  Key key_;
};

Result<void> Planner::constraints() {
  std::vector<std::string> lines = requirements_.constraints;
  std::map<std::string, std::string> origins = requirements_.origins;
  for (const std::string& path : words(pip("constraint"))) {
    if (path.starts_with("http://") || path.starts_with("https://")) {
      lines.push_back("-c " + path);
      continue;
    }
    auto more = read_constraints(absolute(path));
    if (!more) {
      more.error().what = "PIP_CONSTRAINT: " + more.error().what;
      return std::unexpected(more.error());
    }
    if (!more->archives.empty())
      return fail(ErrorCode::not_supported,
                  fmt::format("PIP_CONSTRAINT: {}: local archives in it are not supported", more->archives[0].where));
    lines.insert(lines.end(), more->constraints.begin(), more->constraints.end());
    origins.merge(more->origins);
  }
  std::sort(lines.begin(), lines.end());
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  for (const std::string& line : lines) plan_.constraints += line + "\n";
  plan_.constraint_origins = origins_of(plan_.constraints, origins);
  return {};
}

Result<void> Planner::archives() {
  for (std::size_t i = 0; i < requirements_.archives.size(); ++i) {
    const LocalArchive& archive = requirements_.archives[i];
    const std::string path = absolute(archive.path);
    auto file = open_file(path, O_RDONLY | O_NONBLOCK);
    if (!file) return fail(file.error().code, fmt::format("{}: {}", archive.where, file.error().what), file.error().errno_value);
    auto digest = sha256_hex_of_fd(file->get());
    if (!digest) return fail(ErrorCode::invalid_input, fmt::format("{}: {} can't be read as a file", archive.where, printable_name(path)));
    key_.add("archive", *digest);
    const std::string name = path.substr(path.rfind('/') + 1);
    plan_.builds = plan_.builds || !name.ends_with(".whl");
    show(path, fmt::format("{}{}/{}", kLocalPrefix, i, name));
  }
  return {};
}

Result<void> Planner::uv_files() {
  for (const auto& [name, value] : index_.uv) {
    if (!contains(kUvFiles, name)) continue;
    for (const std::string& path : words(value)) {
      if (path.find("://") != std::string::npos) continue;
      auto text = read_file(absolute(path), 4 << 20);
      if (!text) return fail(text.error().code, fmt::format("{}: {}", name, text.error().what), text.error().errno_value);
      key_.add(name, *text);
      show(absolute(path));
    }
  }
  if (index_.uv_configuration.empty()) {
    if (auto shared = read_file("/etc/uv/uv.toml", 1 << 20)) key_.add("/etc/uv/uv.toml", *shared);
    return {};
  }
  auto text = read_file(index_.uv_configuration, 1 << 20);
  if (!text) return fail(text.error().code, fmt::format("uv's configuration: {}", text.error().what), text.error().errno_value);
  key_.add("uv.toml", *text);
  const std::string target = std::string(kRequirementsDirectory) + "/uv.toml";
  show(index_.uv_configuration, target);
  plan_.uv_env["UV_CONFIG_FILE"] = target;
  return {};
}

void Planner::uv_settings(const Sources& sources) {
  auto& env = plan_.uv_env;
  for (const auto& [name, value] : index_.uv) env[name] = value;
  const auto set_default = [&](const char* name, const std::string& value) {
    if (!value.empty() && !env.contains(name)) env[name] = value;
  };
  std::vector<std::string> insecure = words(pip("trusted-host"));
  bool pre = is_true(pip("pre"));
  for (const auto& [name, value] : requirements_.options) {
    if (name == "trusted-host") insecure.push_back(value);
    pre = pre || name == "pre";
  }
  set_default("UV_INSECURE_HOST", fmt::format("{}", fmt::join(insecure, " ")));
  if (pre) set_default("UV_PRERELEASE", "allow");
  // A requirements file is pip's: all its indexes count alike, the best version wins.
  if (sources.indexes.size() > 1) set_default("UV_INDEX_STRATEGY", "unsafe-best-match");
  set_default("SSL_CERT_FILE", pip("cert"));
  set_default("SSL_CLIENT_CERT", pip("client-cert"));
  set_default("ALL_PROXY", pip("proxy"));
  set_default("UV_HTTP_TIMEOUT", pip("timeout"));
  // uv waits longer before each try: two more tell a dead index from a hiccup within seconds.
  set_default("UV_HTTP_RETRIES", pip("retries").empty() ? "2" : pip("retries"));
  if (is_true(pip("no-build-isolation"))) set_default("UV_NO_BUILD_ISOLATION", "1");
  if (requirements_.hashes || is_true(pip("require-hashes"))) plan_.uv_flags.emplace_back("--require-hashes");
  if (is_true(pip("no-deps"))) plan_.uv_flags.emplace_back("--no-deps");
  for (const char* name :
       {"prefer-binary", "use-feature", "use-deprecated", "ignore-requires-python", "build-constraint", "uploaded-prior-to"}) {
    if (!pip(name).empty() && plan_.pip_only.empty()) plan_.pip_only = fmt::format("pip's option {} is set", name);
  }
}

void Planner::pip_settings() {
  auto& env = plan_.pip_env;
  // Sources are in requirements.txt, for both installers alike.
  for (const auto& [name, value] : index_.pip) {
    if (name == "index-url" || name == "extra-index-url" || name == "find-links" || name == "no-index" || name == "constraint" ||
        name == "only-binary" || name == "no-binary")
      continue;
    std::string upper = "PIP_" + name;
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) {
      return static_cast<char>(c == '-' ? '_' : c >= 'a' && c <= 'z' ? c - 32 : c);
    });
    env[upper] = value;
  }
  std::vector<std::string> trusted = words(pip("trusted-host"));
  for (const auto& [name, value] : requirements_.options) {
    if (name == "trusted-host") trusted.push_back(value);
    if (name == "pre") env["PIP_PRE"] = "1";
    if (name == "prefer-binary") env["PIP_PREFER_BINARY"] = "1";
    if (name == "use-feature") env["PIP_USE_FEATURE"] += (env["PIP_USE_FEATURE"].empty() ? "" : " ") + value;
  }
  if (!trusted.empty()) env["PIP_TRUSTED_HOST"] = fmt::format("{}", fmt::join(trusted, " "));
  if (requirements_.hashes) env["PIP_REQUIRE_HASHES"] = "1";
  if (!env.contains("PIP_RETRIES")) env["PIP_RETRIES"] = "2";
  env["PIP_CONFIG_FILE"] = "/dev/null";
  env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1";
  env["PIP_NO_INPUT"] = "1";
}

void Planner::transport() {
  for (auto* env : {&plan_.uv_env, &plan_.pip_env}) {
    for (const auto& [name, value] : index_.environment) (*env)[name] = value;
  }
  for (const char* name : {"SSL_CERT_FILE", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"})
    show(plan_.uv_env.contains(name) ? plan_.uv_env[name] : "");
  for (const std::string& directory : words(plan_.uv_env.contains("SSL_CERT_DIR") ? plan_.uv_env["SSL_CERT_DIR"] : "", ":"))
    show(directory);
  show(pip("cert"));
  show(pip("client-cert"));
  if (index_.netrc.empty()) return;
  const std::string target = std::string(kRequirementsDirectory) + "/netrc";
  show(index_.netrc, target);
  plan_.uv_env["NETRC"] = plan_.pip_env["NETRC"] = target;
}

Result<Installation> Planner::plan() {
  key_.add("casemate installation", "1");
  const Sources sources = sources_of(requirements_, index_);
  plan_.pip_only = requirements_.pip_only;
  plan_.requirements = text_of(sources, requirements_.packages);
  plan_.requirement_origins = origins_of(plan_.requirements, requirements_.origins);
  TRY(constraints());
  TRY(archives());
  // uv's settings may overwrite the certificate of the environment only where that has none, so the environment comes first.
  plan_.uv_env = index_.environment;
  TRY(uv_files());
  uv_settings(sources);
  pip_settings();
  transport();
  for (const std::string& link : sources.links) show(path_of_location(link));
  for (const std::string& url : sources.indexes) show(path_of_location(url));
  for (const std::string& line : sources.lines)
    plan_.builds = plan_.builds || (line.starts_with("--no-binary") && line != "--no-binary :none:");
  for (const std::string& package : requirements_.packages) {
    const std::size_t url = package.find("://");
    const std::string target = package.substr(0, package.find_first_of("# ", url == std::string::npos ? 0 : url));
    plan_.builds = plan_.builds || (url != std::string::npos && !target.ends_with(".whl"));
  }
  key_.add("requirements", plan_.requirements);
  key_.add("constraints", plan_.constraints);
  key_.add("flags", fmt::format("{} {}", requirements_.hashes, fmt::join(plan_.uv_flags, " ")));
  for (const auto& [name, value] : plan_.pip_env) {
    std::string option = option_name(std::string_view(name).substr(name.starts_with("PIP_") ? 4 : 0));
    if (name.starts_with("PIP_") && !contains(kPipTransport, option)) key_.add(name, value);
  }
  for (const auto& [name, value] : plan_.uv_env) {
    const bool credentials = name.starts_with("UV_INDEX_") && (name.ends_with("_USERNAME") || name.ends_with("_PASSWORD"));
    if (name.starts_with("UV_") && !contains(kUvTransport, name) && !credentials) key_.add(name, value);
  }
  plan_.key = key_.hex();
  return std::move(plan_);
}

// On an image uv would read the image's /etc/uv/uv.toml and not the host's. And a directory of certificates is mostly the host's own: full
// of links to what a cell on an image does not show.
void keep_image_out(PackageIndex& index) {
  if (index.uv_configuration.empty()) {
    if (exists("/etc/uv/uv.toml") && !is_true(variable("UV_NO_CONFIG")))
      index.uv_configuration = "/etc/uv/uv.toml";
    else
      index.uv["UV_NO_CONFIG"] = "1";
  }
  if (lies_below(index.environment["SSL_CERT_DIR"], default_host_paths())) index.environment.erase("SSL_CERT_DIR");
}

}  // namespace

Result<std::map<std::string, std::map<std::string, std::string>>> parse_pip_configuration(std::string_view text, std::string_view name) {
  std::map<std::string, std::map<std::string, std::string>> sections;
  std::map<std::string, std::string>* section = nullptr;
  std::string* value = nullptr;
  int number = 0;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.find('\0') != std::string_view::npos)
    return fail(ErrorCode::invalid_input, fmt::format("{}:1: has a NUL byte: not a pip configuration file", printable_name(name)));
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    const std::string content = stripped(line);
    if (content.empty() || content[0] == '#' || content[0] == ';') continue;
    if ((line[0] == ' ' || line[0] == '\t') && value) {
      *value += "\n" + content;
      continue;
    }
    if (content[0] == '[' && content.ends_with(']')) {
      section = &sections[content.substr(1, content.size() - 2)];
      value = nullptr;
      continue;
    }
    const std::size_t separator = content.find_first_of("=:");
    if (!section || separator == std::string::npos || separator == 0)
      return fail(ErrorCode::invalid_input, fmt::format("{}:{}: is neither [section] nor 'option = value'", printable_name(name), number));
    value = &(*section)[option_name(content.substr(0, separator))];
    *value = stripped(content.substr(separator + 1));
  }
  return sections;
}

Result<PackageIndex> read_package_index(const Interpreter& interpreter) {
  PackageIndex index;
  // Options of [install] stand over those of [global], whichever file they are in.
  std::map<std::string, std::string> global;
  std::map<std::string, std::string> install;
  for (const std::string& path : pip_configuration_files(interpreter)) {
    if (!exists(path)) continue;
    TRY_ASSIGN(const std::string text, read_file(path, 1 << 20));
    TRY_ASSIGN(const auto sections, parse_pip_configuration(text, path));
    for (const auto& [section, options] : sections) {
      if (section != "global" && section != "install") continue;
      for (const auto& [name, value] : options) (section == "global" ? global : install)[name] = value;
    }
  }
  install.merge(global);
  for (const auto& [name, value] : install) {
    if (contains(kPipOptions, name) && !value.empty()) index.pip[name] = fmt::format("{}", fmt::join(words(value), " "));
  }
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals + 1 == text.size()) continue;
    const std::string name(text.substr(0, equals));
    const std::string value(text.substr(equals + 1));
    if (name.starts_with("PIP_") && contains(kPipOptions, option_name(name.substr(4))))
      index.pip[option_name(name.substr(4))] = fmt::format("{}", fmt::join(words(value), " "));
    const bool elsewhere = contains(kUvIgnored, name) || name.starts_with("UV_PYTHON_") || name.starts_with("UV_VENV_") ||
                           name.starts_with("UV_TOOL_") || name.starts_with("UV_INSTALL") || name.starts_with("UV_PUBLISH_") ||
                           name.starts_with("UV_INTERNAL_");
    if (name.starts_with("UV_") && !elsewhere) index.uv[name] = value;
    if (contains(kHandedOn, name)) index.environment[name] = value;
  }
  // A value that is a file of this directory or home must mean the same in the cell.
  for (const char* name : {"cert", "client-cert"}) {
    if (index.pip.contains(name)) index.pip[name] = absolute(index.pip[name]);
  }
  const std::string home = variable("HOME");
  const std::string netrc = variable("NETRC").empty() ? home + "/.netrc" : absolute(variable("NETRC"));
  if (::access(netrc.c_str(), R_OK) == 0) index.netrc = netrc;
  const std::string config = variable("XDG_CONFIG_HOME");
  std::string toml = variable("UV_CONFIG_FILE").empty() ? (config.empty() ? home + "/.config" : config) + "/uv/uv.toml"
                                                        : absolute(variable("UV_CONFIG_FILE"));
  if (exists(toml) && !is_true(variable("UV_NO_CONFIG"))) index.uv_configuration = toml;
  if (interpreter.in_image()) keep_image_out(index);
  return index;
}

Result<Installation> plan_installation(const Requirements& requirements, const PackageIndex& index,
                                       const std::vector<std::string>& visible) {
  return Planner(requirements, index, visible).plan();
}

}  // namespace casemate
