#include "image/container.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "image/container_reader.h"

namespace casemate {
namespace {

constexpr std::string_view kPrevious = "$prev{";

// `value` with what `before` has for "$prev{NAME}" put in; what it has not is left for the image's.
std::string with_previous(const std::string& value, const std::map<std::string, std::string>& before) {
  std::string text;
  for (std::size_t at = 0; at < value.size();) {
    const std::size_t start = value.find(kPrevious, at);
    const std::size_t end = start == std::string::npos ? start : value.find('}', start);
    if (end == std::string::npos) return text + value.substr(at);
    const std::string inner = value.substr(start + kPrevious.size(), end - start - kPrevious.size());
    const auto found = before.find(inner.substr(0, inner.find(":-")));
    text += value.substr(at, start - at);
    text += found == before.end() ? value.substr(start, end + 1 - start) : found->second;
    at = end + 1;
  }
  return text;
}

void change(const EnvironmentPatch& patch, ContainerSpec& spec) {
  std::map<std::string, std::string> changed;
  for (const auto& [name, value] : patch.variables) changed[name] = with_previous(value, spec.environment);
  if (!patch.extend) {
    spec.environment.clear();
    spec.use.env = false;
  }
  for (auto& [name, value] : changed) spec.environment[name] = std::move(value);
}

// What of a parent is used.
ContainerSpec part_of(const ContainerSpec& parent, const std::optional<std::vector<std::string>>& use) {
  ContainerSpec made = parent;
  if (!use) return made;
  const ContainerSpec empty;
  const auto keep = [&](std::string_view name) { return std::find(use->begin(), use->end(), name) != use->end(); };
  if (!keep("layers")) {
    made.layers.clear();
    made.use_layers = false;
  }
  if (!keep("environment")) {
    made.environment.clear();
    made.use.env = false;
  }
  if (!keep("working_directory")) {
    made.working_directory.reset();
    made.use.working_directory = false;
  }
  if (!keep("user")) {
    made.user.reset();
    made.use.user = false;
  }
  if (!keep("group")) made.group.reset();
  if (!keep("mounts")) made.mounts.clear();
  if (!keep("network")) made.network.reset();
  if (!keep("enable_writable_file_system")) made.enable_writable_file_system = empty.enable_writable_file_system;
  return made;
}

void merge(const Limits& asked, Limits& limits) {
  const auto take = [](const auto& from, auto& into) {
    if (from) into = from;
  };
  take(asked.memory_bytes, limits.memory_bytes);
  take(asked.pids, limits.pids);
  take(asked.cpus, limits.cpus);
  take(asked.wall, limits.wall);
  take(asked.disk_bytes, limits.disk_bytes);
}

void add_note(ContainerSpec& spec, std::string note) {
  if (std::find(spec.notes.begin(), spec.notes.end(), note) == spec.notes.end()) spec.notes.push_back(std::move(note));
}

void begin_anew(const ContainerPatch& patch, const ContainerSpec* parent, ContainerSpec& spec) {
  const Limits limits = spec.limits;
  spec = parent ? part_of(*parent, patch.parent_use) : ContainerSpec{};
  const Limits of_parent = spec.limits;
  spec.limits = limits;
  merge(of_parent, spec.limits);
  if (!patch.image) return;
  spec.image = patch.image;
  spec.use = patch.use;
  spec.use_layers = patch.use_layers;
}

void leave_out_sys(ContainerSpec& spec) {
  if (spec.network != Network::host) return;
  const auto gone = std::erase_if(spec.mounts, [](const Mount& mount) { return mount.kind == Mount::Kind::sysfs; });
  if (gone > 0) add_note(spec, "the mount of sys is left out: with network 'local' it would show the host's network");
}

// One inline table, behind a key of our own.
Result<toml::table> inline_table(const TomlFields& fields, std::string_view text) {
  if (text.find('\n') != std::string_view::npos) return fields.problem(1, "must be one line: { ... }");
  TRY_ASSIGN(toml::table document, fields.parse(fmt::format("it = {}", text)));
  if (!document["it"].is_table()) return fields.problem(1, "must be a table: { ... }");
  return std::move(*document["it"].as_table());
}

}  // namespace

void apply(const ContainerPatch& patch, const ContainerSpec* parent, ContainerSpec& spec) {
  const auto take = [](const auto& from, auto& into) {
    if (from) into = *from;
  };
  if (patch.image || parent) begin_anew(patch, parent, spec);
  std::optional<std::string> requirements = take_requirements(spec);
  take(patch.requirements, requirements);
  take(patch.layers, spec.layers);
  spec.layers.insert(spec.layers.end(), patch.added_layers.begin(), patch.added_layers.end());
  if (requirements) spec.layers.insert(spec.layers.begin(), EnvironmentLayer{*requirements, true});
  if (patch.environment) {
    spec.environment.clear();
    for (const EnvironmentPatch& one : *patch.environment) change(one, spec);
  }
  for (const EnvironmentPatch& one : patch.added_environment) change(one, spec);
  take(patch.mounts, spec.mounts);
  spec.mounts.insert(spec.mounts.end(), patch.added_mounts.begin(), patch.added_mounts.end());
  take(patch.enable_writable_file_system, spec.enable_writable_file_system);
  if (patch.working_directory) spec.working_directory = patch.working_directory;
  if (patch.network) spec.network = patch.network;
  if (patch.user) spec.user = patch.user;
  if (patch.group) spec.group = patch.group;
  merge(patch.limits, spec.limits);
  if (patch.timeout) spec.limits.wall = patch.timeout->count() > 0 ? patch.timeout : std::nullopt;
  if (patch.include_shared_libraries) add_note(spec, "include_shared_libraries means nothing here: libraries come with the image");
  leave_out_sys(spec);
}

std::string user_words(const ContainerSpec& spec) {
  if (!spec.group) return spec.user.value_or("");
  return fmt::format("{}:{}", spec.user.value_or("0"), *spec.group);
}

std::optional<std::string> take_requirements(ContainerSpec& spec) {
  if (spec.layers.empty()) return std::nullopt;
  const auto* layer = std::get_if<EnvironmentLayer>(&spec.layers.front());
  if (!layer || !layer->own_field) return std::nullopt;
  std::string file = layer->requirements;
  spec.layers.erase(spec.layers.begin());
  return file;
}

Result<ContainerSpec> parse_container(std::string_view toml, const std::string& file) {
  const std::size_t slash = file.rfind('/');
  const ContainerReader reader(TomlFields(file, true), slash == std::string::npos ? "." : file.substr(0, std::max<std::size_t>(slash, 1)));
  TRY_ASSIGN(const toml::table table, reader.toml().parse(toml));
  TRY(reader.toml().known_fields(table, ContainerReader::field_names(), "a container"));
  TRY_ASSIGN(const ContainerPatch patch, reader.patch(table));
  ContainerSpec spec;
  apply(patch, nullptr, spec);
  return spec;
}

Result<LayerSpec> parse_layer(std::string_view toml) {
  const ContainerReader reader(TomlFields("layer", false), "");
  TRY_ASSIGN(const toml::table table, inline_table(reader.toml(), toml));
  return reader.layer(table);
}

Result<std::vector<Mount>> parse_mount_table(std::string_view toml, const std::string& directory) {
  const ContainerReader reader(TomlFields("mount", false), directory);
  TRY_ASSIGN(const toml::table table, inline_table(reader.toml(), toml));
  return reader.mounts(table);
}

}  // namespace casemate
