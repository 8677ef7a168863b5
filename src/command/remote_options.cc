#include "command/remote_options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "base/directories.h"
#include "base/terminal.h"
#include "base/units.h"
#include "image/toml_fields.h"
#include "store/place.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kLongestFile = 1u << 20;
constexpr std::size_t kLongestHeader = 64u << 10;

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

/// One setting: its key in casemate.toml, from which the variable's name comes, and its word.
struct TextSetting {
  std::string_view key;
  std::string RemoteWords::* word;
};
constexpr TextSetting kTexts[] = {
    {"address", &RemoteWords::address},       {"cache", &RemoteWords::cache},
    {"instance", &RemoteWords::instance},     {"ca", &RemoteWords::ca},
    {"cert", &RemoteWords::certificate},      {"key", &RemoteWords::key},
    {"token-file", &RemoteWords::token_file}, {"priority", &RemoteWords::priority},
    {"timeout", &RemoteWords::timeout},       {"patience", &RemoteWords::patience},
    {"image", &RemoteWords::image},
};
/// Tables of names and values.
struct PairsSetting {
  std::string_view key;
  std::vector<std::string> RemoteWords::* words;
  const char* variable;
};
constexpr PairsSetting kPairs[] = {
    {"headers", &RemoteWords::headers, "CASEMATE_REMOTE_HEADER"},
    {"properties", &RemoteWords::properties, "CASEMATE_REMOTE_PROPERTY"},
};

// "CASEMATE_REMOTE" for the address, "CASEMATE_REMOTE_TOKEN_FILE".
std::string variable_name(std::string_view key) {
  std::string name = "CASEMATE_REMOTE";
  if (key == "address") return name;
  name += '_';
  for (const char byte : key) name += byte == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(byte)));
  return name;
}

// Where each word came from, for messages: --remote-priority, CASEMATE_REMOTE_PRIORITY, FILE:LINE.
using Origins = std::map<std::string, std::string, std::less<>>;

Result<void> add_variables(RemoteWords& words, Origins& origins) {
  const auto value = [](const std::string& name) {
    const char* text = std::getenv(name.c_str());
    return std::string(text ? text : "");
  };
  for (const TextSetting& setting : kTexts) {
    const std::string name = variable_name(setting.key);
    if (!(words.*setting.word).empty() || value(name).empty()) continue;
    words.*setting.word = value(name);
    origins[std::string(setting.key)] = name;
  }
  // One a line.
  for (const PairsSetting& setting : kPairs) {
    std::vector<std::string>& pairs = words.*setting.words;
    if (!pairs.empty()) continue;
    const std::string text = value(setting.variable);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      if (end > at) pairs.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    if (!pairs.empty()) origins[std::string(setting.key)] = setting.variable;
  }
  const std::string fallback = value("CASEMATE_REMOTE_FALLBACK");
  if (!fallback.empty() && fallback != "true" && fallback != "false")
    return invalid(fmt::format("CASEMATE_REMOTE_FALLBACK '{}': must be true or false", printable_name(fallback)));
  if (fallback == "true" && !std::exchange(words.fallback, true)) origins["fallback"] = "CASEMATE_REMOTE_FALLBACK";
  return {};
}

// Whose file of settings: the user's own stands behind a project that has named the engine, or does not.
enum class Whose : std::uint8_t { project, user, user_for_project };

// A file's path is of the file's directory.
std::string from_directory(const std::string& path, const std::string& file) {
  return path.starts_with('/') ? path : file.substr(0, file.rfind('/') + 1) + path;
}

Result<void> add_table(RemoteWords& words, Origins& origins, const toml::table& table, const TomlFields& fields, const std::string& file) {
  TomlFields::Names known = {"fallback"};
  for (const TextSetting& setting : kTexts) known.push_back(setting.key);
  for (const PairsSetting& setting : kPairs) known.push_back(setting.key);
  TRY(fields.known_fields(table, known, "[remote]"));
  for (const TextSetting& setting : kTexts) {
    const toml::node* node = table.get(setting.key);
    if (!node || !(words.*setting.word).empty()) continue;
    std::string text;
    const bool may_be_number = setting.key == "priority" || setting.key == "timeout" || setting.key == "patience";
    if (const auto* number = node->as_integer(); number && may_be_number) {
      text = fmt::format("{}", number->get());
    } else {
      TRY_ASSIGN(text, fields.string_of(*node, setting.key));
    }
    const bool path = setting.key == "ca" || setting.key == "cert" || setting.key == "key" || setting.key == "token-file";
    words.*setting.word = path && !text.empty() ? from_directory(text, file) : text;
    origins[std::string(setting.key)] = fmt::format("{}:{}", printable_name(file), node->source().begin.line);
  }
  for (const PairsSetting& setting : kPairs) {
    const toml::node* node = table.get(setting.key);
    if (!node || !(words.*setting.words).empty()) continue;
    const toml::table* pairs = node->as_table();
    if (!pairs) return fields.problem(*node, fmt::format("{} must be a table of names and texts", setting.key));
    for (const auto& [name, value] : *pairs) {
      TRY_ASSIGN(const std::string text, fields.string_of(value, name.str()));
      (words.*setting.words).push_back(std::string(name.str()) + "=" + text);
    }
    origins[std::string(setting.key)] = fmt::format("{}:{}", printable_name(file), node->source().begin.line);
  }
  TRY_ASSIGN(const std::optional<bool> fallback, fields.flag(table, "fallback"));
  if (fallback.value_or(false) && !std::exchange(words.fallback, true))
    origins["fallback"] = fmt::format("{}:{}", printable_name(file), table.get("fallback")->source().begin.line);
  return {};
}

// What proves who the user is goes to no engine that a project alone names: its file may be somebody else's.
void keep_secrets(RemoteWords& words, const toml::table& table, const std::string& address, const RemoteWords& before) {
  const toml::node* node = table.get("address");
  if (node && node->as_string() && node->as_string()->get() == address) return;
  words.headers = before.headers;
  words.token_file = before.token_file;
  words.certificate = before.certificate;
  words.key = before.key;
}

// A project may be somebody else's: its file names no secret but its own, lest any file of the user's be sent to any engine.
Result<void> check_own_secrets(const RemoteWords& words, const RemoteWords& before, const std::string& file) {
  std::error_code unknown;
  const std::string own = std::filesystem::canonical(file, unknown).parent_path() / "";
  for (const auto& [key, word] :
       {std::pair("token-file", &RemoteWords::token_file), {"cert", &RemoteWords::certificate}, {"key", &RemoteWords::key}}) {
    if (words.*word == before.*word) continue;
    const auto path = std::filesystem::weakly_canonical(words.*word, unknown);
    if (unknown || !path.native().starts_with(own))
      return invalid(fmt::format("{}: {} '{}' is not below the file's directory: name it in ~/.config/casemate/casemate.toml, or by {}",
                                 printable_name(file), key, printable_name(words.*word), variable_name(key)));
  }
  return {};
}

// False: there is no such file.
Result<bool> add_file(RemoteWords& words, Origins& origins, const std::string& file, Whose whose) {
  if (::access(file.c_str(), F_OK) < 0) return false;
  TRY_ASSIGN(const std::string text, read_file(file, kLongestFile));
  const TomlFields fields(file, true);
  TRY_ASSIGN(const toml::table document, fields.parse(text));
  const toml::node* node = document.get("remote");
  if (!node) return true;
  const toml::table* table = node->as_table();
  if (!table) return fields.problem(*node, "remote must be a table");
  const RemoteWords before = words;
  TRY(add_table(words, origins, *table, fields, file));
  if (whose == Whose::project) TRY(check_own_secrets(words, before, file));
  if (whose == Whose::user_for_project) keep_secrets(words, *table, before.address, before);
  return true;
}

// Whether the address is the project's word alone.
Result<bool> add_files(RemoteWords& words, Origins& origins, const std::string& directory) {
  TRY_ASSIGN(const std::vector<std::string> above, upwards_from(directory));
  const bool named = !words.address.empty();
  for (const std::string& each : above) {
    TRY_ASSIGN(const bool found, add_file(words, origins, (each == "/" ? "" : each) + "/casemate.toml", Whose::project));
    if (found) break;
  }
  const bool by_project = !named && !words.address.empty();
  const Whose own = by_project ? Whose::user_for_project : Whose::user;
  const char* configuration = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (configuration && *configuration == '/') {
    TRY(add_file(words, origins, std::string(configuration) + "/casemate/casemate.toml", own));
  } else if (home && *home == '/') {
    TRY(add_file(words, origins, std::string(home) + "/.config/casemate/casemate.toml", own));
  }
  return by_project;
}

std::string quoted(const std::string& text) {
  std::string made = "\"";
  for (const char byte : text) made += byte == '"' || byte == '\\' ? std::string("\\") + byte : std::string(1, byte);
  return made + "\"";
}

// An address without what may be a password in it.
std::string shown_address(const std::string& address) {
  const auto at = address.rfind('@');
  return printable_name(at == std::string::npos ? address : "..." + address.substr(at));
}

// "NAME=VALUE"; a value that may be secret is in no message.
Result<std::pair<std::string, std::string>> pair_of(const std::string& text, const std::string& origin) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return invalid(fmt::format("{}: write NAME=VALUE", origin));
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

Result<std::pair<std::string, std::string>> header_of(const std::string& text, const std::string& origin) {
  TRY_ASSIGN(auto header, pair_of(text, origin));
  for (char& byte : header.first) byte = static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
  constexpr std::string_view kNameBytes = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
  if (header.first.find_first_not_of(kNameBytes) != std::string::npos)
    return invalid(fmt::format("{}: a header's name is of letters, digits, '-', '_' and '.'", origin));
  const auto unseen = [](char byte) { return byte < ' ' || byte > '~'; };
  if (header.second.size() > kLongestHeader || std::any_of(header.second.begin(), header.second.end(), unseen))
    return invalid(fmt::format("{}: the value of header {} is not of printable ASCII", origin, header.first));
  return header;
}

Result<RemoteChoice> meaning(const RemoteWords& words, const Origins& origins) {
  const auto origin = [&](std::string_view key, const char* flag) {
    const auto found = origins.find(key);
    return found == origins.end() ? std::string(flag) : found->second;
  };
  RemoteChoice choice{.address = words.address,
                      .cache = words.cache,
                      .instance = words.instance,
                      .ca = words.ca,
                      .certificate = words.certificate,
                      .key = words.key,
                      .token_file = words.token_file,
                      .fallback = words.fallback};
  for (const std::string& text : words.headers) {
    TRY_ASSIGN(auto header, header_of(text, origin("headers", "--remote-header")));
    choice.headers.push_back(std::move(header));
  }
  for (const std::string& text : words.properties) {
    TRY_ASSIGN(auto property, pair_of(text, origin("properties", "--remote-property")));
    choice.properties.push_back(std::move(property));
  }
  if (words.certificate.empty() != words.key.empty())
    return invalid("--remote-cert and --remote-key belong together: name both, or neither");
  if (!words.priority.empty()) {
    const std::string& text = words.priority;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), choice.priority);
    if (problem != std::errc{} || end != text.data() + text.size())
      return invalid(fmt::format("{} '{}' is not a whole number", origin("priority", "--remote-priority"), printable_name(text)));
  }
  const auto set_time = [&](const std::string& text, std::string_view key, const char* flag, auto& into) -> Result<void> {
    if (text.empty()) return {};
    const auto time = parse_duration(text);
    if (!time || time->count() <= 0)
      return invalid(fmt::format("{}: {}", origin(key, flag), time ? "must be more than 0" : time.error().what));
    into = *time;
    return {};
  };
  TRY(set_time(words.timeout, "timeout", "--remote-timeout", choice.timeout));
  TRY(set_time(words.patience, "patience", "--remote-patience", choice.patience));
  if (words.image == "property") {
    choice.image_as_property = true;
  } else if (!words.image.empty() && words.image != "root") {
    return invalid(fmt::format("{} '{}': choose root (the image is sent) or property (the engine's workers have it)",
                               origin("image", "--remote-image"), printable_name(words.image)));
  }
  return choice;
}

}  // namespace

void declare_remote_options(CLI::App& app, RemoteWords& words) {
  const auto each = [&](const char* names, std::vector<std::string>& into, const char* says) {
    app.add_option(names, into, says)->type_name("NAME=VALUE")->expected(1)->take_all()->allow_extra_args(false)->group("Remote execution");
  };
  const auto one = [&](const char* names, std::string& into, const char* type, const char* says) {
    app.add_option(names, into, says)->type_name(type)->group("Remote execution");
  };
  const auto set_address = [&words](const std::string& text) {
    words.address = text;
    words.off = text.empty();
  };
  app.add_option_function<std::string>("--remote,--remote_executor", set_address,
                                       "run it on this engine (REAPI v2): grpc://HOST:PORT, grpcs://HOST:PORT, unix:/PATH; "
                                       "\"\": on none")
      ->type_name("ADDRESS")
      ->group("Remote execution");
  one("--remote-cache,--remote_cache", words.cache, "ADDRESS", "the engine's storage, if that has another address");
  one("--remote-instance,--remote_instance_name", words.instance, "NAME", "instance name of the engine");
  each("--remote-header,--remote_header", words.headers, "a header of each call");
  each("--remote-property,--remote_default_exec_properties", words.properties, "a platform property of the worker");
  one("--remote-priority,--remote_execution_priority", words.priority, "N", "less is sooner [0]");
  one("--remote-timeout,--remote_timeout", words.timeout, "TIME", "of one execution, the wait in the engine's queue included");
  one("--remote-patience", words.patience, "TIME", "how long an engine that does not answer is tried again [60s]");
  one("--remote-ca,--tls_certificate", words.ca, "FILE", "PEM of who may sign for the engine [the system's]");
  one("--remote-cert,--tls_client_certificate", words.certificate, "FILE", "PEM of our own certificate");
  one("--remote-key,--tls_client_key", words.key, "FILE", "PEM of its key");
  one("--remote-token-file", words.token_file, "FILE", "bearer token: its first line");
  one("--remote-image", words.image, "HOW",
      "root: an image is sent as the input root; property: the workers have it (container-image) [root]");
  app.add_flag("--remote-fallback", words.fallback, "what the engine can't run is run here")->group("Remote execution");
}

std::string typed_remote_flag(const RemoteWords& typed) {
  for (const TextSetting& setting : kTexts) {
    if (setting.key != "address" && !(typed.*setting.word).empty()) return fmt::format("--remote-{}", setting.key);
  }
  if (!typed.headers.empty()) return "--remote-header";
  if (!typed.properties.empty()) return "--remote-property";
  return typed.fallback ? "--remote-fallback" : "";
}

Result<std::optional<RemoteChoice>> remote_choice(const RemoteWords& typed, const std::string& directory) {
  if (typed.off) return std::nullopt;
  RemoteWords words = typed;
  Origins origins;
  TRY(add_variables(words, origins));
  TRY_ASSIGN(const bool by_project, add_files(words, origins, directory));
  if (words.address.empty()) {
    const std::string flag = typed_remote_flag(typed);
    if (flag.empty()) return std::nullopt;
    return invalid(
        fmt::format("{} is of a remote engine, and none is named: --remote ADDRESS, CASEMATE_REMOTE, or address in [remote] of "
                    "casemate.toml",
                    flag));
  }
  TRY_ASSIGN(RemoteChoice choice, meaning(words, origins));
  if (by_project) choice.named_by = origins["address"];
  return choice;
}

std::string project_engine_note(const RemoteChoice& choice) {
  if (choice.named_by.empty()) return "";
  return fmt::format("on the remote engine {}, which {} names; --remote \"\" runs it here", shown_address(choice.address), choice.named_by);
}

Result<std::string> print_remote_options(const RemoteWords& typed, const std::string& directory) {
  if (typed.off) return "\n[remote]\naddress = \"\"  # --remote\n";
  RemoteWords words = typed;
  Origins origins;
  TRY(add_variables(words, origins));
  TRY(add_files(words, origins, directory));
  const auto origin = [&](std::string_view key, std::string flag) {
    const auto found = origins.find(key);
    return found == origins.end() ? std::move(flag) : found->second;
  };
  std::string text;
  for (const TextSetting& setting : kTexts) {
    const std::string& word = words.*setting.word;
    if (word.empty()) continue;
    const bool address = setting.key == "address" || setting.key == "cache";
    text += fmt::format("{} = {}  # {}\n", setting.key, quoted(address ? shown_address(word) : printable_name(word)),
                        origin(setting.key, setting.key == "address" ? "--remote" : fmt::format("--remote-{}", setting.key)));
  }
  for (const PairsSetting& setting : kPairs) {
    std::string pairs;
    for (const std::string& pair : words.*setting.words) {
      const std::size_t equals = std::min(pair.find('='), pair.size());
      const bool secret = setting.key == "headers";
      pairs += fmt::format("{}{} = {}", pairs.empty() ? "" : ", ", quoted(printable_name(pair.substr(0, equals))),
                           quoted(secret ? "..." : printable_name(pair.substr(std::min(equals + 1, pair.size())))));
    }
    if (!pairs.empty())
      text += fmt::format("{} = {{ {} }}  # {}\n", setting.key, pairs,
                          origin(setting.key, setting.key == "headers" ? "--remote-header" : "--remote-property"));
  }
  if (words.fallback) text += fmt::format("fallback = true  # {}\n", origin("fallback", "--remote-fallback"));
  return text.empty() ? text : "\n[remote]\n" + text;
}

}  // namespace casemate
