#include "image/container.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "base/terminal.h"
#include "base/units.h"
#include "image/toml.h"

namespace casemate {
namespace {

constexpr std::size_t kMostBytes = 1 << 20;

using Names = std::vector<std::string_view>;

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

Names joined(Names names, const Names& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

// Reads one document. The first error ends it.
class Reader {
 public:
  // `file` begins messages, with a line if `has_lines`.
  Reader(std::string file, std::string directory, bool has_lines)
      : file_(std::move(file)), directory_(std::move(directory)), has_lines_(has_lines) {}

  Result<toml::table> parse(std::string_view text) const {
    if (text.size() > kMostBytes) return problem(1, "is larger than 1 MiB");
    auto table = parse_toml(text);
    if (!table) return problem(table.error().line, table.error().what + std::string(hint(text, table.error().line)));
    return std::move(*table);
  }

  Result<ContainerSpec> container(const toml::table& table) {
    TRY(known_fields(table, kFields, "a container"));
    ContainerSpec spec;
    TRY(image(table, spec));
    TRY_ASSIGN(const auto requirements, text(table, "requirements"));
    if (requirements) spec.layers.emplace_back(EnvironmentLayer{*requirements, true});
    for (const char* name : {"layers", "added_layers"}) {
      TRY(each_table(table, name, [&](const toml::table& entry) -> Result<void> {
        TRY_ASSIGN(LayerSpec made, layer(entry));
        spec.layers.push_back(std::move(made));
        return {};
      }));
    }
    for (const char* name : {"mounts", "added_mounts"}) {
      TRY(each_table(table, name, [&](const toml::table& entry) -> Result<void> {
        TRY_ASSIGN(std::vector<Mount> made, mounts(entry));
        spec.mounts.insert(spec.mounts.end(), made.begin(), made.end());
        return {};
      }));
    }
    for (const char* name : {"environment", "added_environment"}) TRY(environment(table, name, spec));
    TRY_ASSIGN(spec.working_directory, text(table, "working_directory"));
    if (spec.working_directory && !spec.working_directory->starts_with('/'))
      return problem(table["working_directory"], "working_directory must begin with '/'");
    TRY_ASSIGN(spec.enable_writable_file_system, flag(table, "enable_writable_file_system", false));
    TRY(network(table, spec));
    TRY_ASSIGN(spec.user, id(table, "user"));
    TRY_ASSIGN(spec.group, id(table, "group"));
    TRY(limits(table, spec.limits));
    if (table.contains("include_shared_libraries"))
      spec.notes.emplace_back("include_shared_libraries means nothing here: libraries come with the image");
    return spec;
  }

  Result<LayerSpec> layer(const toml::table& table) const {
    std::string_view kind;
    for (const std::string_view name : kLayerKinds) {
      if (!table.contains(name)) continue;
      if (!kind.empty()) return problem(table, fmt::format("a layer is either '{}' or '{}', not both", kind, name));
      kind = name;
    }
    if (kind.empty()) {
      for (const auto& [key, value] : table) TRY(known_name(key, joined(kLayerKinds, joined(kPrefixFields, {"exclude"})), "a layer"));
      return problem(table, "a layer needs one of tar, glob, paths, stubs, symlinks, command, requirements");
    }
    const std::string what = fmt::format("a layer of '{}'", kind);
    if (kind == "shared_library_dependencies")
      return problem(table[kind], "layers of shared_library_dependencies are not supported; use an image that has the libraries");
    if (kind == "glob") {
      TRY(known_fields(table, joined({"glob", "exclude"}, kPrefixFields), what));
      GlobLayer made;
      TRY_ASSIGN(made.glob, needed_text(table, "glob"));
      TRY_ASSIGN(made.exclude, texts(table, "exclude"));
      TRY_ASSIGN(made.prefix, prefix(table));
      return made;
    }
    if (kind == "paths") {
      TRY(known_fields(table, joined({"paths"}, kPrefixFields), what));
      PathsLayer made;
      TRY_ASSIGN(made.paths, texts(table, "paths"));
      TRY_ASSIGN(made.prefix, prefix(table));
      return made;
    }
    if (kind == "symlinks") return symlinks(table, what);
    if (kind == "command") return command(table, what);
    TRY(known_fields(table, {kind}, what));
    if (kind == "stubs") {
      TRY_ASSIGN(std::vector<std::string> stubs, texts(table, "stubs"));
      return StubsLayer{std::move(stubs)};
    }
    TRY_ASSIGN(std::string file, needed_text(table, kind));
    if (kind == "tar") return TarLayer{std::move(file)};
    return EnvironmentLayer{std::move(file)};
  }

  Result<std::vector<Mount>> mounts(const toml::table& table) const {
    TRY_ASSIGN(std::string type, needed_text(table, "type"));
    for (const auto& [alias, meant] : kMountAliases) {
      if (type == alias) type = meant;
    }
    if (std::find(kMountTypes.begin(), kMountTypes.end(), type) == kMountTypes.end())
      return problem(table["type"], fmt::format("no mount has the type '{}'{}", printable_line(type), did_you_mean(type, kMountTypes)));
    const std::string what = fmt::format("a mount of type '{}'", type);
    if (type == "devices") return devices(table, what);
    Names fields = {"type", "mount_point"};
    if (type == "tmp") fields.push_back("size");
    if (type == "bind") fields = joined(fields, {"local_path", "read_only"});
    TRY(known_fields(table, fields, what));
    Mount mount;
    TRY_ASSIGN(mount.target, needed_text(table, "mount_point"));
    if (!mount.target.starts_with('/') || ("/" + mount.target + "/").find("/../") != std::string::npos)
      return problem(table["mount_point"], "mount_point must begin with '/' and have no '..'");
    if (type == "dev") return standard_devices(mount.target);
    if (type == "bind") {
      TRY(bind(table, mount));
    } else if (type == "tmp") {
      mount.kind = Mount::Kind::tmpfs;
      mount.mode = 01777;
      TRY_ASSIGN(mount.bytes, size(table, "size"));
    } else {
      mount.kind = type == "proc"     ? Mount::Kind::proc
                   : type == "sys"    ? Mount::Kind::sysfs
                   : type == "mqueue" ? Mount::Kind::mqueue
                                      : Mount::Kind::devpts;
    }
    return std::vector<Mount>{std::move(mount)};
  }

  std::unexpected<Error> problem(std::size_t line, std::string_view what) const {
    return fail(ErrorCode::invalid_input,
                printable_line(has_lines_ ? fmt::format("{}:{}: {}", file_, line, what) : fmt::format("{}: {}", file_, what)));
  }

 private:
  // Where a value without quotes is what toml++ stumbled over.
  static std::string_view hint(std::string_view text, std::size_t line) {
    for (; line > 1 && !text.empty(); --line) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    text = text.substr(0, text.find('\n'));
    for (const std::string_view name : {"memory", "disk", "size", "timeout"}) {
      const std::size_t at = text.find(name);
      if (at == std::string_view::npos) continue;
      std::string_view rest = text.substr(at + name.size());
      const auto skip = [&](std::string_view what) { rest.remove_prefix(std::min(rest.find_first_not_of(what), rest.size())); };
      skip(" \t");
      if (!rest.starts_with('=')) continue;
      skip("= \t");
      if (rest.empty() || rest[0] < '0' || rest[0] > '9') continue;
      skip("0123456789.");
      if (rest.empty() || !((rest[0] | 0x20) >= 'a' && (rest[0] | 0x20) <= 'z')) continue;
      return name == "timeout" ? "; a time with a unit is written in quotes: \"2m\""
                               : "; a size with a unit is written in quotes: \"512M\"";
    }
    return "";
  }

  // What of the host every cell has in a form of its own: a bind of it means that one.
  static bool means_own(Mount& mount) {
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

  Result<void> bind(const toml::table& table, Mount& mount) const {
    TRY_ASSIGN(const std::string typed, needed_text(table, "local_path"));
    TRY_ASSIGN(const bool read_only, flag(table, "read_only", false));
    mount.source = typed;
    if (means_own(mount)) return {};
    if (!typed.starts_with('/')) {
      std::error_code none;  // the directory may itself be a relative one
      const auto directory = std::filesystem::absolute(directory_, none);
      if (none) return problem(table["local_path"], "local_path is relative to a directory that is gone");
      const auto whole = directory / typed;
      // Behind a symlink ".." is not what it looks like.
      mount.source = whole.string().find("..") == std::string::npos ? whole.lexically_normal().string() : whole.string();
    }
    mount.writable = !read_only;
    mount.owned = mount.writable;  // as -v has it
    struct stat info{};
    if (!has_lines_ || ::stat(mount.source.c_str(), &info) == 0) return {};
    const std::string why = errno == ENOENT ? "no such file or directory" : std::strerror(errno);
    const std::string where = typed == mount.source ? "" : fmt::format(" ({})", mount.source);
    Error error = problem(table["local_path"], fmt::format("local_path '{}': {}{}", typed, why, where)).error();
    if (errno == ENOENT) error.code = ErrorCode::not_found;
    return std::unexpected(std::move(error));
  }

  template <class View>
  std::unexpected<Error> problem(const View& view, std::string_view what) const
    requires requires { view.node(); }
  {
    return problem(view.node() ? view.node()->source().begin.line : 1, what);
  }
  std::unexpected<Error> problem(const toml::node& node, std::string_view what) const { return problem(node.source().begin.line, what); }

  Result<void> known_name(const toml::key& key, const Names& known, std::string_view what) const {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) return {};
    return problem(key.source().begin.line,
                   fmt::format("{} has no field '{}'{}", what, printable_line(key.str()), did_you_mean(key.str(), known)));
  }

  Result<void> known_fields(const toml::table& table, const Names& known, std::string_view what) const {
    for (const auto& [key, value] : table) TRY(known_name(key, known, what));
    return {};
  }

  Result<std::string> string_of(const toml::node& node, std::string_view what) const {
    const auto* value = node.as_string();
    if (!value) return problem(node, fmt::format("{} must be a string, in quotes", what));
    if (value->get().find('\0') != std::string::npos) return problem(node, fmt::format("{} must not hold a NUL character", what));
    return value->get();
  }

  Result<std::optional<std::string>> text(const toml::table& table, std::string_view name) const {
    const toml::node* node = table.get(name);
    if (!node) return std::nullopt;
    TRY_ASSIGN(std::string value, string_of(*node, name));
    if (value.empty()) return problem(*node, fmt::format("{} is empty", name));
    return value;
  }

  Result<std::string> needed_text(const toml::table& table, std::string_view name) const {
    TRY_ASSIGN(auto value, text(table, name));
    if (!value) return problem(table, fmt::format("'{}' is missing", name));
    return std::move(*value);
  }

  Result<std::vector<std::string>> texts(const toml::table& table, std::string_view name) const {
    std::vector<std::string> values;
    const toml::node* node = table.get(name);
    if (!node) return values;
    const toml::array* array = node->as_array();
    if (!array) return problem(*node, fmt::format("{} must be a list of strings: [\"...\"]", name));
    for (const toml::node& one : *array) {
      TRY_ASSIGN(std::string value, string_of(one, fmt::format("each of {}", name)));
      values.push_back(std::move(value));
    }
    return values;
  }

  Result<bool> flag(const toml::table& table, std::string_view name, bool otherwise) const {
    const toml::node* node = table.get(name);
    if (!node) return otherwise;
    if (!node->is_boolean()) return problem(*node, fmt::format("{} must be true or false", name));
    return node->as_boolean()->get();
  }

  Result<void> each_table(const toml::table& table, std::string_view name,
                          const std::function<Result<void>(const toml::table&)>& take) const {
    const toml::node* node = table.get(name);
    if (!node) return {};
    const toml::array* array = node->as_array();
    if (!array) return problem(*node, fmt::format("{} must be a list of tables: [{{ ... }}]", name));
    for (const toml::node& one : *array) {
      if (!one.is_table()) return problem(one, fmt::format("each of {} must be a table: {{ ... }}", name));
      TRY(take(*one.as_table()));
    }
    return {};
  }

  Result<void> image(const toml::table& table, ContainerSpec& spec) const {
    const toml::node* node = table.get("image");
    if (!node) return {};
    const toml::table* parts = node->as_table();
    if (!parts) {
      if (!node->is_string()) return problem(*node, "image must be a string or a table: { name = \"...\", use = [...] }");
      TRY_ASSIGN(spec.image, text(table, "image"));
      return {};
    }
    TRY(known_fields(*parts, {"name", "use"}, "an image"));
    TRY_ASSIGN(spec.image, needed_text(*parts, "name"));
    if (!parts->contains("use")) return {};
    spec.use = {.env = false, .working_directory = false, .entrypoint = false, .user = false};
    spec.use_layers = false;
    TRY_ASSIGN(const auto uses, texts(*parts, "use"));
    for (const std::string& use : uses) {
      bool* const what = use == "layers"              ? &spec.use_layers
                         : use == "environment"       ? &spec.use.env
                         : use == "working_directory" ? &spec.use.working_directory
                         : use == "entrypoint"        ? &spec.use.entrypoint
                         : use == "user"              ? &spec.use.user
                                                      : nullptr;
      if (!what) {
        return problem((*parts)["use"],
                       fmt::format("of an image nothing is called '{}'{}", printable_line(use),
                                   did_you_mean(use, {"layers", "environment", "working_directory", "entrypoint", "user"})));
      }
      *what = true;
    }
    return {};
  }

  Result<PrefixOptions> prefix(const toml::table& table) const {
    PrefixOptions made;
    TRY_ASSIGN(const auto strip, text(table, "strip_prefix"));
    TRY_ASSIGN(const auto prepend, text(table, "prepend_prefix"));
    made.strip_prefix = strip.value_or("");
    made.prepend_prefix = prepend.value_or("");
    TRY_ASSIGN(made.canonicalize, flag(table, "canonicalize", false));
    TRY_ASSIGN(made.follow_symlinks, flag(table, "follow_symlinks", false));
    return made;
  }

  Result<LayerSpec> symlinks(const toml::table& table, std::string_view what) const {
    TRY(known_fields(table, {"symlinks"}, what));
    SymlinksLayer made;
    TRY(each_table(table, "symlinks", [&](const toml::table& entry) -> Result<void> {
      TRY(known_fields(entry, {"link", "target"}, "a symlink"));
      TRY_ASSIGN(std::string link, needed_text(entry, "link"));
      TRY_ASSIGN(std::string target, needed_text(entry, "target"));
      made.symlinks.push_back({std::move(link), std::move(target)});
      return {};
    }));
    return made;
  }

  Result<LayerSpec> command(const toml::table& table, std::string_view what) const {
    TRY(known_fields(table, {"command", "arguments"}, what));
    CommandLayer made;
    if (table["command"].is_array()) {
      TRY_ASSIGN(made.argv, texts(table, "command"));
    } else {
      TRY_ASSIGN(std::string program, needed_text(table, "command"));
      made.argv.push_back(std::move(program));
    }
    TRY_ASSIGN(const auto arguments, texts(table, "arguments"));
    made.argv.insert(made.argv.end(), arguments.begin(), arguments.end());
    if (made.argv.empty() || made.argv.front().empty()) return problem(table["command"], "command has no program");
    return made;
  }

  static std::vector<Mount> standard_devices(const std::string& directory) {
    std::vector<Mount> made;
    for (const std::string_view name : kStandardDevices)
      made.push_back({.kind = Mount::Kind::device, .source = std::string(name), .target = fmt::format("{}/{}", directory, name)});
    return made;
  }

  Result<std::vector<Mount>> devices(const toml::table& table, std::string_view what) const {
    TRY(known_fields(table, {"type", "devices"}, what));
    if (!table.contains("devices")) return problem(table, "'devices' is missing");
    TRY_ASSIGN(const auto names, texts(table, "devices"));
    std::vector<Mount> made;
    for (const std::string& name : names) {
      if (std::find(kDevices.begin(), kDevices.end(), name) == kDevices.end())
        return problem(table["devices"],
                       fmt::format("there is no device '{}' for cells{}", printable_line(name), did_you_mean(name, kDevices)));
      if (name == "shm")
        made.push_back({.kind = Mount::Kind::tmpfs, .target = "/dev/shm", .mode = 01777});
      else
        made.push_back({.kind = Mount::Kind::device, .source = name, .target = "/dev/" + name});
    }
    return made;
  }

  Result<void> environment(const toml::table& table, std::string_view name, ContainerSpec& spec) const {
    const toml::node* node = table.get(name);
    if (!node) return {};
    const toml::table* entries = node->as_table();
    if (!entries) return problem(*node, fmt::format("{} must be a table: {{ NAME = \"value\" }}", name));
    for (const auto& [key, value] : *entries) {
      if (key.str().empty() || key.str().find('=') != std::string_view::npos || key.str().find('\0') != std::string_view::npos)
        return problem(key.source().begin.line, fmt::format("'{}' is no name for a variable", printable_line(key.str())));
      TRY_ASSIGN(spec.environment[std::string(key.str())], string_of(value, fmt::format("{} of {}", printable_line(key.str()), name)));
    }
    return {};
  }

  Result<void> network(const toml::table& table, ContainerSpec& spec) const {
    TRY_ASSIGN(const auto name, text(table, "network"));
    if (!name) return {};
    if (*name == "disabled" || *name == "loopback" || *name == "none") {
      spec.network = Network::none;
    } else if (*name == "outbound") {
      spec.network = Network::outbound;
    } else if (*name == "local" || *name == "host") {
      spec.network = Network::host;
      if (std::any_of(spec.mounts.begin(), spec.mounts.end(), [](const Mount& mount) { return mount.kind == Mount::Kind::sysfs; }))
        return problem(table["network"],
                       fmt::format("network '{}' and a mount of type 'sys' don't go together: sysfs would show the host's network", *name));
    } else {
      return problem(table["network"], fmt::format("there is no network '{}'{}", printable_line(*name),
                                                   did_you_mean(*name, {"disabled", "loopback", "local", "outbound", "none", "host"})));
    }
    return {};
  }

  Result<std::optional<std::string>> id(const toml::table& table, std::string_view name) const {
    const toml::node* node = table.get(name);
    if (!node) return std::nullopt;
    if (const auto* number = node->as_integer()) {
      if (number->get() < 0 || number->get() >= INT_MAX)
        return problem(*node, fmt::format("{} must be a number from 0 to 2147483646", name));
      return fmt::format("{}", number->get());
    }
    if (!node->is_string()) return problem(*node, fmt::format("{} must be a number or a name", name));
    return text(table, name);
  }

  Result<std::optional<std::uint64_t>> size(const toml::table& table, std::string_view name) const {
    const toml::node* node = table.get(name);
    if (!node) return std::nullopt;
    if (const auto* number = node->as_integer(); number && number->get() > 0) return static_cast<std::uint64_t>(number->get());
    const auto parsed = node->is_string() ? parse_bytes(node->as_string()->get()) : fail(ErrorCode::invalid_input, "");
    if (!parsed || *parsed == 0) return problem(*node, fmt::format("{} must be a size: \"512M\", or bytes", name));
    return *parsed;
  }

  Result<void> limits(const toml::table& table, Limits& limits) const {
    TRY_ASSIGN(limits.memory_bytes, size(table, "memory"));
    TRY_ASSIGN(limits.disk_bytes, size(table, "disk"));
    if (const toml::node* node = table.get("pids")) {
      const auto* number = node->as_integer();
      if (!number || number->get() < 1 || number->get() > 4'194'304) return problem(*node, "pids must be a number from 1 to 4194304");
      limits.pids = static_cast<std::uint32_t>(number->get());
    }
    if (const toml::node* node = table.get("cpus")) {
      const double number = node->value<double>().value_or(-1);
      if (!(number > 0) || number > 65'536) return problem(*node, "cpus must be a number above 0: 1.5");
      limits.cpus = number;
    }
    if (const toml::node* node = table.get("timeout")) {
      const std::string typed = node->is_string() ? node->as_string()->get() : "";
      const double seconds = node->is_string() ? -1 : node->value<double>().value_or(-1);
      auto duration = typed.empty() ? Result<std::chrono::milliseconds>(fail(ErrorCode::invalid_input, "")) : parse_duration(typed);
      if (seconds >= 0 && seconds <= 10.0 * 365 * 86'400) duration = std::chrono::milliseconds(std::llround(std::ceil(seconds * 1000)));
      if (!duration) return problem(*node, "timeout must be seconds, 0 for none: 30, 1.5 or \"2m\"");
      if (duration->count() > 0) limits.wall = *duration;
    }
    return {};
  }

  std::string file_;
  std::string directory_;
  bool has_lines_;
};

// One inline table, behind a key of our own.
Result<toml::table> inline_table(const Reader& reader, std::string_view text) {
  if (text.find('\n') != std::string_view::npos) return reader.problem(1, "must be one line: { ... }");
  TRY_ASSIGN(toml::table document, reader.parse(fmt::format("it = {}", text)));
  if (!document["it"].is_table()) return reader.problem(1, "must be a table: { ... }");
  return std::move(*document["it"].as_table());
}

}  // namespace

Result<ContainerSpec> parse_container(std::string_view toml, const std::string& file) {
  const std::size_t slash = file.rfind('/');
  Reader reader(file, slash == std::string::npos ? "." : file.substr(0, std::max<std::size_t>(slash, 1)), true);
  TRY_ASSIGN(const toml::table table, reader.parse(toml));
  return reader.container(table);
}

Result<LayerSpec> parse_layer(std::string_view toml) {
  const Reader reader("layer", "", false);
  TRY_ASSIGN(const toml::table table, inline_table(reader, toml));
  return reader.layer(table);
}

Result<std::vector<Mount>> parse_mount_table(std::string_view toml, const std::string& directory) {
  const Reader reader("mount", directory, false);
  TRY_ASSIGN(const toml::table table, inline_table(reader, toml));
  return reader.mounts(table);
}

}  // namespace casemate
