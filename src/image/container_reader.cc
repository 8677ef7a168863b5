#include "image/container_reader.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "base/terminal.h"

namespace casemate {
namespace {

using Names = ContainerReader::Names;

const std::initializer_list<std::string_view> kFields = {"image",
                                                         "layers",
                                                         "added_layers",
                                                         "environment",
                                                         "added_environment",
                                                         "working_directory",
                                                         "enable_writable_file_system",
                                                         "mounts",
                                                         "added_mounts",
                                                         "network",
                                                         "user",
                                                         "group",
                                                         "timeout",
                                                         "include_shared_libraries",
                                                         "requirements",
                                                         "memory",
                                                         "pids",
                                                         "cpus",
                                                         "disk"};
const std::initializer_list<std::string_view> kLayerKinds = {"tar",      "glob",    "paths",        "stubs",
                                                             "symlinks", "command", "requirements", "shared_library_dependencies"};
const std::initializer_list<std::string_view> kPrefixFields = {"strip_prefix", "prepend_prefix", "canonicalize", "follow_symlinks"};
// Other words that are taken for a type.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kMountAliases{
    {{"tmpfs", "tmp"}, {"sysfs", "sys"}, {"procfs", "proc"}}};
const std::initializer_list<std::string_view> kMountTypes = {"tmp", "proc", "sys", "dev", "devices", "mqueue", "devpts", "bind"};
const std::initializer_list<std::string_view> kDevices = {"full", "fuse", "null", "random", "shm", "tty", "urandom", "zero"};
const std::initializer_list<std::string_view> kStandardDevices = {"full", "null", "random", "tty", "urandom", "zero"};

// What of another container one may take over.
const std::initializer_list<std::string_view> kParentParts = {
    "layers", "enable_writable_file_system", "environment", "working_directory", "mounts", "network", "user", "group"};

Names joined(Names names, const Names& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

// What of the host every cell has in a form of its own: a bind of it means that one.
bool means_own(Mount& mount) {
  std::string_view place = mount.target;
  while (place.size() > 1 && place.ends_with('/')) place.remove_suffix(1);
  std::string_view source = mount.source;
  while (source.size() > 1 && source.ends_with('/')) source.remove_suffix(1);
  if (source != place) return false;
  if (place == "/sys" || place == "/proc") {
    mount = {.kind = place == "/sys" ? Mount::Kind::sysfs : Mount::Kind::proc, .target = std::string(place)};
    return true;
  }
  constexpr std::string_view kDev = "/dev/";
  const std::string_view name = place.starts_with(kDev) ? place.substr(kDev.size()) : "";
  if (name == "shm" || std::find(kDevices.begin(), kDevices.end(), name) == kDevices.end()) return false;
  mount = {.kind = Mount::Kind::device, .source = std::string(name), .target = std::string(place)};
  return true;
}

std::vector<Mount> standard_devices(const std::string& directory) {
  std::vector<Mount> made;
  for (const std::string_view name : kStandardDevices)
    made.push_back({.kind = Mount::Kind::device, .source = std::string(name), .target = fmt::format("{}/{}", directory, name)});
  return made;
}

}  // namespace

ContainerReader::Names ContainerReader::field_names() { return kFields; }

Result<ContainerPatch> ContainerReader::patch(const toml::table& table) const {
  ContainerPatch patch;
  patch.line = table.source().begin.line;
  TRY(image(table, patch));
  TRY(parent(table, patch));
  if (patch.image && patch.parent) return toml_.problem(*table.get("parent"), "either 'image' or 'parent', not both");
  TRY_ASSIGN(patch.requirements, toml_.text(table, "requirements"));
  if (table.contains("layers")) {
    TRY_ASSIGN(patch.layers, layer_list(table, "layers"));
  }
  TRY_ASSIGN(patch.added_layers, layer_list(table, "added_layers"));
  if (table.contains("mounts")) {
    TRY_ASSIGN(patch.mounts, mount_list(table, "mounts"));
  }
  TRY_ASSIGN(patch.added_mounts, mount_list(table, "added_mounts"));
  if (table.contains("environment")) {
    TRY_ASSIGN(patch.environment, environment(table, "environment"));
  }
  TRY_ASSIGN(patch.added_environment, environment(table, "added_environment"));
  TRY_ASSIGN(patch.working_directory, toml_.text(table, "working_directory"));
  if (patch.working_directory && !patch.working_directory->starts_with('/'))
    return toml_.problem(*table.get("working_directory"), "working_directory must begin with '/'");
  TRY_ASSIGN(patch.enable_writable_file_system, toml_.flag(table, "enable_writable_file_system"));
  TRY(network(table, patch));
  TRY_ASSIGN(patch.user, id(table, "user"));
  TRY_ASSIGN(patch.group, id(table, "group"));
  TRY(limits(table, patch));
  TRY_ASSIGN(patch.include_shared_libraries, toml_.flag(table, "include_shared_libraries"));
  return patch;
}

Result<LayerSpec> ContainerReader::layer(const toml::table& table) const {
  std::string_view kind;
  for (const std::string_view name : kLayerKinds) {
    if (!table.contains(name)) continue;
    if (!kind.empty()) return toml_.problem(table, fmt::format("a layer is either '{}' or '{}', not both", kind, name));
    kind = name;
  }
  if (kind.empty()) {
    for (const auto& [key, value] : table) TRY(toml_.known_name(key, joined(kLayerKinds, joined(kPrefixFields, {"exclude"})), "a layer"));
    return toml_.problem(table, "a layer needs one of tar, glob, paths, stubs, symlinks, command, requirements");
  }
  const std::string what = fmt::format("a layer of '{}'", kind);
  if (kind == "shared_library_dependencies")
    return toml_.problem(*table.get(kind), "layers of shared_library_dependencies are not supported; use an image that has the libraries");
  if (kind == "glob") {
    TRY(toml_.known_fields(table, joined({"glob", "exclude"}, kPrefixFields), what));
    GlobLayer made;
    TRY_ASSIGN(made.glob, toml_.needed_text(table, "glob"));
    TRY_ASSIGN(made.exclude, toml_.texts(table, "exclude"));
    TRY_ASSIGN(made.prefix, prefix(table));
    return made;
  }
  if (kind == "paths") {
    TRY(toml_.known_fields(table, joined({"paths"}, kPrefixFields), what));
    PathsLayer made;
    TRY_ASSIGN(made.paths, toml_.texts(table, "paths"));
    TRY_ASSIGN(made.prefix, prefix(table));
    return made;
  }
  if (kind == "symlinks") return symlinks(table, what);
  if (kind == "command") return command(table, what);
  TRY(toml_.known_fields(table, {kind}, what));
  if (kind == "stubs") {
    TRY_ASSIGN(std::vector<std::string> stubs, toml_.texts(table, "stubs"));
    return StubsLayer{std::move(stubs)};
  }
  TRY_ASSIGN(std::string file, toml_.needed_text(table, kind));
  if (kind == "tar") return TarLayer{std::move(file)};
  return EnvironmentLayer{std::move(file)};
}

Result<std::vector<Mount>> ContainerReader::mounts(const toml::table& table) const {
  TRY_ASSIGN(std::string type, toml_.needed_text(table, "type"));
  for (const auto& [alias, meant] : kMountAliases) {
    if (type == alias) type = meant;
  }
  if (std::find(kMountTypes.begin(), kMountTypes.end(), type) == kMountTypes.end())
    return toml_.problem(*table.get("type"),
                         fmt::format("no mount has the type '{}'{}", printable_line(type), did_you_mean(type, kMountTypes)));
  const std::string what = fmt::format("a mount of type '{}'", type);
  if (type == "devices") return devices(table, what);
  Names fields = {"type", "mount_point"};
  if (type == "tmp") fields.push_back("size");
  if (type == "bind") fields = joined(fields, {"local_path", "read_only"});
  TRY(toml_.known_fields(table, fields, what));
  Mount mount;
  TRY_ASSIGN(mount.target, toml_.needed_text(table, "mount_point"));
  if (!mount.target.starts_with('/') || ("/" + mount.target + "/").find("/../") != std::string::npos)
    return toml_.problem(*table.get("mount_point"), "mount_point must begin with '/' and have no '..'");
  if (type == "dev") return standard_devices(mount.target);
  if (type == "bind") {
    TRY(bind(table, mount));
  } else if (type == "tmp") {
    mount.kind = Mount::Kind::tmpfs;
    mount.mode = 01777;
    TRY_ASSIGN(mount.bytes, toml_.size(table, "size"));
  } else {
    mount.kind = type == "proc"     ? Mount::Kind::proc
                 : type == "sys"    ? Mount::Kind::sysfs
                 : type == "mqueue" ? Mount::Kind::mqueue
                                    : Mount::Kind::devpts;
  }
  return std::vector<Mount>{std::move(mount)};
}

Result<void> ContainerReader::image(const toml::table& table, ContainerPatch& patch) const {
  const toml::node* node = table.get("image");
  if (!node) return {};
  const toml::table* parts = node->as_table();
  if (!parts) {
    if (!node->is_string()) return toml_.problem(*node, "image must be a string or a table: { name = \"...\", use = [...] }");
    TRY_ASSIGN(patch.image, toml_.text(table, "image"));
    return {};
  }
  TRY(toml_.known_fields(*parts, {"name", "use"}, "an image"));
  TRY_ASSIGN(patch.image, toml_.needed_text(*parts, "name"));
  if (!parts->contains("use")) return {};
  patch.use = {.env = false, .working_directory = false, .entrypoint = false, .user = false};
  patch.use_layers = false;
  TRY_ASSIGN(const auto uses, toml_.texts(*parts, "use"));
  for (const std::string& use : uses) {
    bool* const what = use == "layers"              ? &patch.use_layers
                       : use == "environment"       ? &patch.use.env
                       : use == "working_directory" ? &patch.use.working_directory
                       : use == "entrypoint"        ? &patch.use.entrypoint
                       : use == "user"              ? &patch.use.user
                                                    : nullptr;
    if (!what) {
      return toml_.problem(*parts->get("use"),
                           fmt::format("of an image nothing is called '{}'{}", printable_line(use),
                                       did_you_mean(use, {"layers", "environment", "working_directory", "entrypoint", "user"})));
    }
    *what = true;
  }
  return {};
}

Result<PrefixOptions> ContainerReader::prefix(const toml::table& table) const {
  PrefixOptions made;
  TRY_ASSIGN(const auto strip, toml_.text(table, "strip_prefix"));
  TRY_ASSIGN(const auto prepend, toml_.text(table, "prepend_prefix"));
  made.strip_prefix = strip.value_or("");
  made.prepend_prefix = prepend.value_or("");
  TRY_ASSIGN(const auto canonicalize, toml_.flag(table, "canonicalize"));
  made.canonicalize = canonicalize.value_or(false);
  TRY_ASSIGN(const auto follow_symlinks, toml_.flag(table, "follow_symlinks"));
  made.follow_symlinks = follow_symlinks.value_or(false);
  return made;
}

Result<LayerSpec> ContainerReader::symlinks(const toml::table& table, std::string_view what) const {
  TRY(toml_.known_fields(table, {"symlinks"}, what));
  SymlinksLayer made;
  TRY(toml_.each_table(table, "symlinks", [&](const toml::table& entry) -> Result<void> {
    TRY(toml_.known_fields(entry, {"link", "target"}, "a symlink"));
    TRY_ASSIGN(std::string link, toml_.needed_text(entry, "link"));
    TRY_ASSIGN(std::string target, toml_.needed_text(entry, "target"));
    made.symlinks.push_back({std::move(link), std::move(target)});
    return {};
  }));
  return made;
}

Result<LayerSpec> ContainerReader::command(const toml::table& table, std::string_view what) const {
  TRY(toml_.known_fields(table, {"command", "arguments"}, what));
  CommandLayer made;
  if (table["command"].is_array()) {
    TRY_ASSIGN(made.argv, toml_.texts(table, "command"));
  } else {
    TRY_ASSIGN(std::string program, toml_.needed_text(table, "command"));
    made.argv.push_back(std::move(program));
  }
  TRY_ASSIGN(const auto arguments, toml_.texts(table, "arguments"));
  made.argv.insert(made.argv.end(), arguments.begin(), arguments.end());
  if (made.argv.empty() || made.argv.front().empty()) return toml_.problem(*table.get("command"), "command has no program");
  return made;
}

Result<std::vector<Mount>> ContainerReader::devices(const toml::table& table, std::string_view what) const {
  TRY(toml_.known_fields(table, {"type", "devices"}, what));
  if (!table.contains("devices")) return toml_.problem(table, "'devices' is missing");
  TRY_ASSIGN(const auto names, toml_.texts(table, "devices"));
  std::vector<Mount> made;
  for (const std::string& name : names) {
    if (std::find(kDevices.begin(), kDevices.end(), name) == kDevices.end())
      return toml_.problem(*table.get("devices"),
                           fmt::format("there is no device '{}' for cells{}", printable_line(name), did_you_mean(name, kDevices)));
    if (name == "shm")
      made.push_back({.kind = Mount::Kind::tmpfs, .target = "/dev/shm", .mode = 01777});
    else
      made.push_back({.kind = Mount::Kind::device, .source = name, .target = "/dev/" + name});
  }
  return made;
}

Result<void> ContainerReader::bind(const toml::table& table, Mount& mount) const {
  TRY_ASSIGN(const std::string typed, toml_.needed_text(table, "local_path"));
  TRY_ASSIGN(const auto read_only, toml_.flag(table, "read_only"));

  mount.source = typed;
  if (means_own(mount)) return {};
  if (!typed.starts_with('/')) {
    std::error_code none;  // the directory may itself be a relative one
    const auto directory = std::filesystem::absolute(directory_, none);
    if (none) return toml_.problem(*table.get("local_path"), "local_path is relative to a directory that is gone");
    const auto whole = directory / typed;
    // Behind a symlink ".." is not what it looks like.
    mount.source = whole.string().find("..") == std::string::npos ? whole.lexically_normal().string() : whole.string();
  }
  mount.writable = !read_only.value_or(false);
  mount.owned = mount.writable;  // as -v has it
  struct stat info{};
  if (!toml_.has_lines() || ::stat(mount.source.c_str(), &info) == 0) return {};
  const std::string why = errno == ENOENT ? "no such file or directory" : std::strerror(errno);
  const std::string where = typed == mount.source ? "" : fmt::format(" ({})", mount.source);
  Error error = toml_.problem(*table.get("local_path"), fmt::format("local_path '{}': {}{}", typed, why, where)).error();
  if (errno == ENOENT) error.code = ErrorCode::not_found;
  return std::unexpected(std::move(error));
}

Result<void> ContainerReader::parent(const toml::table& table, ContainerPatch& patch) const {
  const toml::node* node = table.get("parent");
  if (!node) return {};
  const toml::table* parts = node->as_table();
  if (!parts) {
    if (!node->is_string()) return toml_.problem(*node, "parent must be a string or a table: { name = \"...\", use = [...] }");
    TRY_ASSIGN(patch.parent, toml_.text(table, "parent"));
    return {};
  }
  TRY(toml_.known_fields(*parts, {"name", "use"}, "a parent"));
  TRY_ASSIGN(patch.parent, toml_.needed_text(*parts, "name"));
  if (!parts->contains("use")) return {};
  TRY_ASSIGN(std::vector<std::string> uses, toml_.texts(*parts, "use"));
  for (const std::string& use : uses) {
    if (std::find(kParentParts.begin(), kParentParts.end(), use) == kParentParts.end())
      return toml_.problem(*parts->get("use"),
                           fmt::format("of a parent nothing is called '{}'{}", printable_line(use), did_you_mean(use, kParentParts)));
  }
  patch.parent_use = std::move(uses);
  return {};
}

Result<std::vector<LayerSpec>> ContainerReader::layer_list(const toml::table& table, std::string_view name) const {
  std::vector<LayerSpec> all;
  TRY(toml_.each_table(table, name, [&](const toml::table& entry) -> Result<void> {
    TRY_ASSIGN(LayerSpec made, layer(entry));
    all.push_back(std::move(made));
    return {};
  }));
  return all;
}

Result<std::vector<Mount>> ContainerReader::mount_list(const toml::table& table, std::string_view name) const {
  std::vector<Mount> all;
  TRY(toml_.each_table(table, name, [&](const toml::table& entry) -> Result<void> {
    TRY_ASSIGN(std::vector<Mount> made, mounts(entry));
    all.insert(all.end(), made.begin(), made.end());
    return {};
  }));
  return all;
}

// A table of variables, or a list of tables that say more: [{ vars = { NAME = "value" }, extend = false }].
Result<std::vector<EnvironmentPatch>> ContainerReader::environment(const toml::table& table, std::string_view name) const {
  std::vector<EnvironmentPatch> all;
  const toml::node* node = table.get(name);
  if (!node) return all;
  if (const toml::table* entries = node->as_table()) {
    TRY_ASSIGN(EnvironmentPatch only, variables(*entries, name));
    all.push_back(std::move(only));
    return all;
  }
  if (!node->is_array()) return toml_.problem(*node, fmt::format("{} must be a table: {{ NAME = \"value\" }}", name));
  TRY(toml_.each_table(table, name, [&](const toml::table& entry) -> Result<void> {
    TRY(toml_.known_fields(entry, {"vars", "extend"}, fmt::format("an entry of {}", name)));
    const toml::table* entries = entry["vars"].as_table();
    if (!entries) return toml_.problem(entry, "vars must be a table: { NAME = \"value\" }");
    TRY_ASSIGN(EnvironmentPatch one, variables(*entries, name));
    TRY_ASSIGN(const auto extend, toml_.flag(entry, "extend"));
    if (!extend) return toml_.problem(entry, "'extend' is missing: true, or false to begin anew");
    one.extend = *extend;
    all.push_back(std::move(one));
    return {};
  }));
  return all;
}

Result<EnvironmentPatch> ContainerReader::variables(const toml::table& table, std::string_view name) const {
  EnvironmentPatch made;
  for (const auto& [key, value] : table) {
    if (key.str().empty() || key.str().find('=') != std::string_view::npos || key.str().find('\0') != std::string_view::npos)
      return toml_.problem(key, fmt::format("'{}' is no name for a variable", printable_line(key.str())));
    TRY_ASSIGN(made.variables[std::string(key.str())], toml_.string_of(value, fmt::format("{} of {}", printable_line(key.str()), name)));
  }
  return made;
}

Result<void> ContainerReader::network(const toml::table& table, ContainerPatch& patch) const {
  TRY_ASSIGN(const auto name, toml_.text(table, "network"));
  if (!name) return {};
  if (*name == "disabled" || *name == "loopback" || *name == "none") {
    patch.network = Network::none;
  } else if (*name == "outbound") {
    patch.network = Network::outbound;
  } else if (*name == "local" || *name == "host") {
    patch.network = Network::host;
    const auto is_sys = [](const Mount& mount) { return mount.kind == Mount::Kind::sysfs; };
    const auto& own = patch.mounts ? *patch.mounts : patch.added_mounts;
    if (std::any_of(own.begin(), own.end(), is_sys) || std::any_of(patch.added_mounts.begin(), patch.added_mounts.end(), is_sys))
      return toml_.problem(
          *table.get("network"),
          fmt::format("network '{}' and a mount of type 'sys' don't go together: sysfs would show the host's network", *name));
  } else {
    return toml_.problem(*table.get("network"),
                         fmt::format("there is no network '{}'{}", printable_line(*name),
                                     did_you_mean(*name, {"disabled", "loopback", "local", "outbound", "none", "host"})));
  }
  return {};
}

Result<std::optional<std::string>> ContainerReader::id(const toml::table& table, std::string_view name) const {
  const toml::node* node = table.get(name);
  if (!node) return std::nullopt;
  if (const auto* number = node->as_integer()) {
    if (number->get() < 0 || number->get() >= INT_MAX)
      return toml_.problem(*node, fmt::format("{} must be a number from 0 to 2147483646", name));
    return fmt::format("{}", number->get());
  }
  if (!node->is_string()) return toml_.problem(*node, fmt::format("{} must be a number or a name", name));
  return toml_.text(table, name);
}

Result<void> ContainerReader::limits(const toml::table& table, ContainerPatch& patch) const {
  Limits& limits = patch.limits;
  TRY_ASSIGN(limits.memory_bytes, toml_.size(table, "memory"));
  TRY_ASSIGN(limits.disk_bytes, toml_.size(table, "disk"));
  TRY_ASSIGN(limits.pids, toml_.number(table, "pids", 1, 4'194'304));
  if (const toml::node* node = table.get("cpus")) {
    const double number = node->value<double>().value_or(-1);
    if (!(number > 0) || number > 65'536) return toml_.problem(*node, "cpus must be a number above 0: 1.5");
    limits.cpus = number;
  }
  TRY_ASSIGN(patch.timeout, toml_.duration(table, "timeout"));
  return {};
}

}  // namespace casemate
