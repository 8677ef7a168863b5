#include "apps/pytest/configuration.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/shell_words.h"
#include "base/terminal.h"
#include "image/toml_fields.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Kind = PytestSetting::Kind;

constexpr std::size_t kMostBytes = 1 << 20;
constexpr const char* kPrefixes[] = {"MAELSTROM_PYTEST_", "CASEMATE_PYTEST_", "MAELSTROM_", "CASEMATE_"};
constexpr const char* kFiles[] = {"maelstrom/maelstrom-pytest/config.toml", "casemate/pytest.toml"};

std::string variable_name(const char* prefix, std::string_view key) {
  std::string name = prefix;
  for (const char byte : key) name += byte == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(byte)));
  return name;
}

std::string text_of(const ConfigurationPlaces& places, const std::string& name) {
  const char* value = places.variable(name);
  return value ? value : "";
}

Result<SaidValue> value_of_variable(const PytestSetting& setting, const std::string& name, const std::string& text) {
  SaidValue said{{text}, name};
  if (setting.kind == Kind::list) {
    auto words = split_shell_words(text);
    if (!words) return fail(ErrorCode::invalid_input, fmt::format("{}: {}", name, words.error().what));
    said.values = std::move(*words);
  } else if (setting.kind == Kind::flag && text != "true" && text != "false") {
    return fail(ErrorCode::invalid_input, fmt::format("{}: '{}': write true or false", name, printable_line(text)));
  }
  return said;
}

Result<void> add_variables(PytestConfiguration& said, const ConfigurationPlaces& places) {
  for (const char* prefix : kPrefixes) {
    for (const PytestSetting& setting : pytest_settings()) {
      if (said.contains(setting.key)) continue;
      const std::string name = variable_name(prefix, setting.key);
      const std::string text = text_of(places, name);
      if (text.empty()) continue;
      TRY_ASSIGN(said[std::string(setting.key)], value_of_variable(setting, name, text));
    }
  }
  return {};
}

// One value of a file.
Result<std::vector<std::string>> values_of(const PytestSetting& setting, const toml::node& node, const TomlFields& fields) {
  if (setting.kind == Kind::list) return fields.strings_of(node, setting.key);
  if (setting.kind == Kind::flag) {
    if (!node.is_boolean()) return fields.problem(node, fmt::format("{} must be true or false", setting.key));
    return std::vector<std::string>{node.as_boolean()->get() ? "true" : "false"};
  }
  if (const auto* number = node.as_integer()) return std::vector<std::string>{fmt::format("{}", number->get())};
  if (const auto* number = node.as_floating_point()) return std::vector<std::string>{fmt::format("{}", number->get())};
  TRY_ASSIGN(std::string text, fields.string_of(node, setting.key));
  return std::vector<std::string>{std::move(text)};
}

Result<void> add_table(PytestConfiguration& said, const toml::table& table, const std::string& file, const TomlFields& fields,
                       const TomlFields::Names& others, std::vector<std::string>& notes) {
  for (const auto& [key, node] : table) {
    if (std::find(others.begin(), others.end(), key.str()) != others.end()) continue;
    const std::size_t line = key.source().begin.line;
    const PytestSetting* setting = pytest_setting(key.str());
    if (!setting) {
      TomlFields::Names known = others;
      for (const PytestSetting& one : pytest_settings()) known.push_back(one.key);
      const std::string meant = nearest(key.str(), known);
      notes.push_back(printable_line(fmt::format("{}:{}: there is no setting '{}'{}", file, line, printable_line(key.str()),
                                                 meant.empty() ? "" : fmt::format(", did you mean '{}'?", meant))));
      continue;
    }
    TRY_ASSIGN(auto values, values_of(*setting, node, fields));
    said.try_emplace(std::string(setting->key), SaidValue{std::move(values), fmt::format("{}:{}", file, line)});
  }
  return {};
}

Result<void> add_file(PytestConfiguration& said, const std::string& file, std::vector<std::string>& notes) {
  TRY_ASSIGN(const std::string text, read_file(file, kMostBytes));
  const TomlFields fields(file, true);
  TRY_ASSIGN(const toml::table table, fields.parse(text));
  return add_table(said, table, file, fields, {}, notes);
}

// The file of --config-file: pytest's -c is another one, and its files are easily given here.
Result<void> add_named_file(PytestConfiguration& said, const std::string& file, std::vector<std::string>& notes) {
  TRY_ASSIGN(const std::string text, read_file(file, kMostBytes));
  const TomlFields fields(file, true);
  const auto table = fields.parse(text);
  const bool is_pytests = file.ends_with(".ini") || file.ends_with(".cfg") ||
                          (table && ((*table)["pytest"].is_table() || (*table)["tool"]["pytest"].is_table()));
  if (is_pytests)
    return fail(ErrorCode::invalid_input,
                fmt::format("{} is pytest's: name it with --pytest-config; -c is for casemate's own settings", printable_line(file)));
  if (!table) return std::unexpected(table.error());
  return add_table(said, *table, file, fields, {}, notes);
}

Result<void> add_project(PytestConfiguration& said, const std::string& directory, std::vector<std::string>& notes) {
  const std::string file = directory + "/pyproject.toml";
  if (::access(file.c_str(), F_OK) != 0) return {};
  TRY_ASSIGN(const std::string text, read_file(file, kMostBytes));
  const TomlFields fields(file, true);
  TRY_ASSIGN(const toml::table document, fields.parse(text));
  const toml::table* const own = document["tool"]["casemate"].as_table();
  return own ? add_table(said, *own, file, fields, {"directives", "containers"}, notes) : Result<void>{};
}

std::vector<std::string> configuration_directories(const ConfigurationPlaces& places) {
  std::vector<std::string> all;
  const auto add = [&](const std::string& directory) {
    if (directory.starts_with('/')) all.push_back(directory);  // relative ones are to be ignored, says the specification
  };
  const std::string own = text_of(places, "XDG_CONFIG_HOME");
  const std::string home = text_of(places, "HOME");
  add(own.starts_with('/') ? own : home.empty() ? "" : home + "/.config");
  const std::string others = text_of(places, "XDG_CONFIG_DIRS");
  std::istringstream list(others.empty() ? "/etc/xdg" : others);
  for (std::string directory; std::getline(list, directory, ':');) add(directory);
  return all;
}

std::string in_toml(const PytestSetting& setting, const std::vector<std::string>& values) {
  const auto quoted = [](const std::string& text) {
    std::string made = "\"";
    for (const char byte : to_utf8(text)) {
      if (byte == '"' || byte == '\\')
        made += fmt::format("\\{}", byte);
      else if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f)
        made += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
      else
        made += byte;
    }
    return made + "\"";
  };
  if (setting.kind == Kind::list) {
    std::string made;
    for (const std::string& value : values) made += fmt::format("{}{}", made.empty() ? "" : ", ", quoted(value));
    return fmt::format("[{}]", made);
  }
  const std::string& value = values.front();
  const bool is_number = !value.empty() && value.size() < 18 && (value == "0" || value[0] != '0') &&
                         std::all_of(value.begin(), value.end(), [](char byte) { return byte >= '0' && byte <= '9'; });
  return setting.kind == Kind::flag || is_number ? value : quoted(value);
}

}  // namespace

Result<void> complete_configuration(PytestConfiguration& said, const ConfigurationPlaces& places, std::vector<std::string>& notes) {
  TRY(add_variables(said, places));
  TRY(add_project(said, places.directory, notes));
  if (places.config_file) return *places.config_file == "-" ? Result<void>{} : add_named_file(said, *places.config_file, notes);
  for (const std::string& directory : configuration_directories(places)) {
    for (const char* name : kFiles) {
      const std::string file = fmt::format("{}/{}", directory, name);
      if (::access(file.c_str(), F_OK) == 0) TRY(add_file(said, file, notes));
    }
  }
  return {};
}

Result<void> store_configuration(const PytestConfiguration& said, PytestRequest& request) {
  for (const PytestSetting& setting : pytest_settings()) {
    const auto found = said.find(setting.key);
    if (found == said.end()) continue;
    const auto& [values, origin] = found->second;
    if (values.empty() && setting.kind != Kind::list) continue;
    auto stored = setting.store(request, values);
    if (stored) continue;
    // A file holds many: the name of the setting goes with its line.
    const std::string where = origin.find(".toml:") == std::string::npos ? origin : fmt::format("{}: {}", origin, setting.key);
    return fail(ErrorCode::invalid_input, printable_line(fmt::format("{}: {}", where, stored.error().what)));
  }
  return {};
}

std::string print_configuration(const PytestConfiguration& said) {
  std::string text;
  for (const PytestSetting& setting : pytest_settings()) {
    const auto found = said.find(setting.key);
    if (found != said.end() && (setting.kind == Kind::list || !found->second.values.empty()))
      text += fmt::format("{} = {}  # {}\n", setting.key, in_toml(setting, found->second.values), printable_name(found->second.origin));
    else if (setting.otherwise.empty())
      text += fmt::format("# {} is not set\n", setting.key);
    else
      text += fmt::format("{} = {}\n", setting.key, setting.otherwise);
  }
  return text;
}

}  // namespace casemate
