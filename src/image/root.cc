#include "image/root.h"

#include <algorithm>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <map>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "image/merged_root.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr std::size_t kAccountFile = 4 << 20;  // of /etc/passwd and /etc/group

Result<Root> open_directory(const ImageReference& reference) {
  char real[PATH_MAX];
  struct stat info{};
  if (!::realpath(reference.path.c_str(), real) || ::stat(real, &info) < 0)
    return fail_errno(fmt::format("open the root directory {}", in_quotes(reference.path)));
  if (!S_ISDIR(info.st_mode))
    return fail(ErrorCode::invalid_input, fmt::format("{} is not a directory, so it can't be a root", in_quotes(reference.path)), ENOTDIR);
  if (std::string_view(real) == "/")
    return fail(ErrorCode::invalid_input, "the host's own '/' can't be a root directory: image 'host' shows what of it is safe to show");
  Root root;
  root.image = fmt::format("dir:{}", real);
  root.layers = {real};
  // What lies in it may change without a trace here; layers that were made over it are as old as it was then.
  root.identity = fmt::format("{} {}:{} {}.{:09}", root.image, info.st_dev, info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
  return root;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || problem != std::errc() || end != text.data() + text.size() || value > INT_MAX) return std::nullopt;
  return value;
}

// The fields of the first line of passwd(5) or group(5) for which `wanted` is true; with `at_least` fields.
template <class Wanted>
std::vector<std::string_view> account_line(std::string_view text, std::size_t at_least, Wanted wanted) {
  for (const std::string_view line : split(text, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() >= at_least && wanted(fields)) return fields;
  }
  return {};
}

Result<std::string> account_file(const Root& root, std::string_view path) {
  TRY_ASSIGN(auto text, read_root_file(root, path, kAccountFile));
  return text.value_or("");
}

std::unexpected<Error> no_such(const Root& root, std::string_view what, std::string_view name) {
  return fail(ErrorCode::invalid_input, fmt::format("image {} has no {} {}; give a number", in_quotes(root.image), what, in_quotes(name)));
}

// "/a/./b//../c" is "/a/c", as docker reads it.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  for (const std::string_view part : split(path, '/')) {
    if (part == ".." && !kept.empty()) kept.pop_back();
    if (!part.empty() && part != "." && part != "..") kept.push_back(part);
  }
  std::string clean;
  for (const std::string_view part : kept) clean.append("/").append(part);
  return clean.empty() ? "/" : clean;
}

// HOME as login(1) would set it.
Result<std::string> home_of(const Root& root, std::uint32_t uid) {
  TRY_ASSIGN(const std::string passwd, account_file(root, "etc/passwd"));
  const auto entry = account_line(passwd, 6, [&](const auto& fields) { return number(fields[2]) == uid; });
  return entry.empty() || !entry[5].starts_with('/') ? "/" : std::string(entry[5]);
}

// One entry at the top of the layers of a host root.
struct TopEntry {
  std::vector<std::string> directories;  // topmost first
  std::string file;
};

Result<std::map<std::string, TopEntry>> top_entries(const std::vector<std::string>& layers) {
  std::map<std::string, TopEntry> entries;
  for (const std::string& layer : layers) {
    TRY_ASSIGN(const UniqueFd directory, open_file(layer, O_RDONLY | O_DIRECTORY));
    DirectoryReader reader(directory.get());
    for (;;) {
      const auto next = reader.next();
      if (!next) return fail_errno(fmt::format("list the layer {}", layer), next.error());
      if (!*next) break;
      const std::string name((*next)->name);
      const auto info = stat_beneath(directory.get(), name);
      TopEntry& entry = entries[name];
      if (!entry.file.empty()) continue;  // a file above hides it
      if (info && S_ISDIR(info->st_mode)) {
        entry.directories.push_back(layer + "/" + name);
      } else if (info && S_ISREG(info->st_mode) && entry.directories.empty()) {
        entry.file = layer + "/" + name;
      } else {
        return fail(ErrorCode::invalid_input,
                    fmt::format("a layer has '/{}', which is neither file nor directory: on image 'host' that can't be shown at the top",
                                printable_name(name)));
      }
    }
  }
  return entries;
}

}  // namespace

Result<Root> open_root(Store& store, const ImageReference& reference, const PullOptions& options, const TellPull& tell) {
  if (reference.kind == ImageReference::Kind::host) return Root();
  if (reference.kind == ImageReference::Kind::root_directory) return open_directory(reference);
  TRY_ASSIGN(ReadyImage ready, pull_image(store, reference, options, tell));
  Root root;
  root.image = to_text(reference);
  root.identity = fmt::format("image {}", ready.image.manifest_digest);
  root.config = std::move(ready.image.config);
  root.digest = std::move(ready.image.digest);
  root.cached = ready.cached;
  root.notes = std::move(ready.notes);
  for (auto layer = ready.layers.rbegin(); layer != ready.layers.rend(); ++layer) {
    root.layers.push_back(layer->path());
    root.leases.push_back(std::make_shared<const StoreLease>(std::move(*layer)));
  }
  if (root.layers.empty()) TRY(drop_layers(root, store));
  return root;
}

Result<void> drop_layers(Root& root, Store& store) {
  // An overlay wants a lower layer.
  static constexpr std::string_view kEmpty = "casemate empty layer 1";
  const auto nothing = [](const std::string& /*directory*/) -> Result<void> { return {}; };
  TRY_ASSIGN(StoreLease empty, store.make_layer(sha256_hex(kEmpty), "an empty layer", nothing));
  root.layers = {empty.path()};
  root.leases = {std::make_shared<const StoreLease>(std::move(empty))};
  root.identity = kEmpty;
  return {};
}

void add_layer(Root& root, StoreLease layer, std::string_view key) {
  std::erase(root.layers, layer.path());  // below itself it would show nothing, and overlayfs refuses it (ELOOP)
  root.layers.insert(root.layers.begin(), layer.path());
  root.identity = sha256_hex(fmt::format("{}\n{}\n", root.identity, key));
  root.leases.push_back(std::make_shared<const StoreLease>(std::move(layer)));
}

Result<void> put_root(Job& job, const Root& root) {
  job.image = root.image;
  if (!root.is_host()) {
    job.root = root.layers;
    return {};
  }
  TRY_ASSIGN(const auto entries, top_entries(root.layers));
  const std::vector<std::string> shown = job.host_paths.empty() ? default_host_paths() : job.host_paths;
  for (const auto& [name, entry] : entries) {
    if (name == "dev" || name == "proc" || name == "sys") continue;  // stubs for what every cell has
    Mount mount;
    mount.target = "/" + name;
    mount.owned = true;
    if (!entry.file.empty()) {
      mount.kind = Mount::Kind::bind;
      mount.source = entry.file;
    } else {
      mount.kind = Mount::Kind::overlay;
      mount.lower = entry.directories;
      if (std::find(shown.begin(), shown.end(), mount.target) != shown.end()) mount.under = mount.target;
    }
    job.mounts.push_back(std::move(mount));
  }
  return {};
}

std::map<std::string, std::string> image_environment(const Root& root) {
  std::map<std::string, std::string> variables;
  for (const std::string& text : root.config.env) {
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos && equals > 0) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

Result<void> take_config(Job& job, const Root& root, const ConfigUse& use) {
  if (root.is_host()) {
    if (job.cwd.empty()) job.cwd = "/";
    if (job.argv.empty()) return fail(ErrorCode::invalid_input, "a job needs a command");
    return {};
  }
  const ImageConfig& config = root.config;
  if (use.env) job.env.merge(image_environment(root));
  if (job.cwd.empty()) job.cwd = use.working_directory && !config.working_dir.empty() ? without_dots(config.working_dir) : "/";
  if (use.entrypoint) {
    if (job.argv.empty()) job.argv = config.cmd;
    job.argv.insert(job.argv.begin(), config.entrypoint.begin(), config.entrypoint.end());
  }
  if (job.argv.empty())
    return fail(ErrorCode::invalid_input, fmt::format("image {} says no command to run, so give one", in_quotes(root.image)));
  if (use.user && !config.user.empty()) {
    TRY_ASSIGN(job.user, resolve_user(root, config.user));
  }
  if (!job.env.contains("HOME")) {
    TRY_ASSIGN(job.env["HOME"], home_of(root, job.user.uid));
  }
  return {};
}

Result<User> resolve_user(const Root& root, std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const std::string_view group = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (name.empty() || (colon != std::string_view::npos && group.empty()))
    return fail(ErrorCode::invalid_input, fmt::format("{} is no user; write NAME, UID, NAME:GROUP or UID:GID", in_quotes(text)));
  User user;
  const auto uid = number(name);
  std::vector<std::string_view> entry;
  std::string passwd;
  if (!root.is_host()) {
    TRY_ASSIGN(passwd, account_file(root, "etc/passwd"));
    entry = account_line(passwd, 4, [&](const auto& fields) { return uid ? number(fields[2]) == uid : fields[0] == name; });
  }
  if (uid) {
    user.uid = *uid;
  } else if (!entry.empty() && number(entry[2])) {
    user.uid = *number(entry[2]);
  } else {
    return no_such(root, "user", name);
  }
  if (group.empty()) {
    user.gid = entry.empty() ? 0 : number(entry[3]).value_or(0);
    return user;
  }
  if (const auto gid = number(group)) {
    user.gid = *gid;
    return user;
  }
  if (root.is_host()) return no_such(root, "group", group);
  TRY_ASSIGN(const std::string groups, account_file(root, "etc/group"));
  const auto line = account_line(groups, 3, [&](const auto& fields) { return fields[0] == group; });
  if (line.empty() || !number(line[2])) return no_such(root, "group", group);
  user.gid = *number(line[2]);
  return user;
}

Result<std::optional<std::string>> read_root_file(const Root& root, std::string_view path, std::size_t limit) {
  MergedRoot merged(root);
  const std::string name(path);
  const MergedRoot::Place& place = merged.at(name);
  if (place.kind != MergedRoot::Place::Kind::other) return std::nullopt;
  TRY_ASSIGN(const UniqueFd layer, open_file(root.layers[place.sources.front()], O_PATH | O_DIRECTORY));
  const auto file = open_beneath(layer.get(), name, O_RDONLY);
  struct stat info{};
  if (!file || ::fstat(file->get(), &info) < 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  auto text = read_all(file->get(), limit);
  if (text) return std::move(*text);
  if (text.error().code == ErrorCode::exhausted)
    return fail(ErrorCode::invalid_input, fmt::format("/{} of image {} is larger than {} bytes", path, in_quotes(root.image), limit));
  return fail_errno(fmt::format("read /{} of image {}", path, in_quotes(root.image)), text.error().errno_value);
}

}  // namespace casemate
