#include "image/environment_layer.h"

#include <algorithm>

#include <fmt/format.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "image/environment.h"
#include "image/environment_tree.h"
#include "image/image_interpreter.h"
#include "image/merged_root.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

// What site(7) of the image's Python reads at every start: one line that begins with "import" is run. The new directories (the packages'
// own .pth files may name more) come before the one where this file lies.
std::string path_file(const Interpreter& interpreter) {
  return fmt::format(
      "import site, sys; known = len(sys.path); site.addsitedir('{}/{}'); new = sys.path[known:]; del sys.path[known:]; "
      "at = sys.path.index(sitedir) if sitedir in sys.path else known; sys.path[at:at] = new\n",
      kEnvironmentMountPoint, interpreter.site_packages);
}

// Directories of a layer lie over those of the root, so they take their modes.
Result<UniqueFd> directories_as_below(int top, const std::string& path, MergedRoot& below) {
  UniqueFd last;
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    auto made = make_directories_beneath(top, part, 0755);
    if (!made) return fail_errno(fmt::format("make the directory '{}' of a layer", printable_name(part)), made.error());
    const auto& place = below.at(part);
    const unsigned mode = place.kind == MergedRoot::Place::Kind::directory ? place.mode | 0700 : 0755;
    if (const auto changed = change_mode(made->get(), mode); !changed) return fail_errno("change a directory of a layer", changed.error());
    last = std::move(*made);
    if (end == std::string::npos) return last;
  }
}

Result<void> write_path_file(int top, const Interpreter& interpreter, const Root& root) {
  MergedRoot below(root);
  const std::string directory = below.resolve(interpreter.site_directory.substr(1));
  TRY_ASSIGN(const UniqueFd site, directories_as_below(top, directory, below));
  auto file = make_file_beneath(site.get(), "casemate-env.pth", 0644);
  if (!file) return fail_errno("write casemate-env.pth", file.error());
  return write_all(file->get(), path_file(interpreter));
}

// The python3 that a cell on the host finds, whatever the caller's PATH has; "" for none.
std::string python_in_cell() {
  for (std::string_view rest = kDefaultPath; !rest.empty();) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    const std::string path = fmt::format("{}/python3", directory);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

bool plain(std::string_view text) {
  return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/") == std::string_view::npos;
}

}  // namespace

Result<MadeLayer> make_environment_layer(const Root& root, const EnvironmentLayer& layer, const LayerContext& context,
                                         const std::string& label) {
  const auto labelled = [&](Error error) {
    error.what = fmt::format("{}: {}", label, error.what);
    return std::unexpected(std::move(error));
  };
  const auto interpreter = find_interpreter(root, root.is_host() ? python_in_cell() : "", context.run);
  if (!interpreter) return labelled(interpreter.error());
  const bool image = interpreter->in_image();
  if (!image && !interpreter_mounts(*interpreter, default_host_paths()).empty())
    return fail(ErrorCode::not_supported,
                fmt::format("{}: on image 'host' packages can be laid over a Python in /usr or /opt; the python3 first on PATH is {}",
                            label, printable_name(interpreter->path)));
  if (image && (!plain(interpreter->site_packages) || !plain(interpreter->site_directory)))
    return fail(ErrorCode::not_supported, fmt::format("{}: the image's Python keeps packages in a directory with an odd name", label));
  const std::string path = layer.requirements.starts_with('/') ? layer.requirements : context.project + "/" + layer.requirements;
  const EnvironmentRequest request{
      .interpreter = *interpreter, .requirements_path = path, .root = image ? root : Root(), .store = &context.store};
  const Progress progress = [&](std::string_view line) {
    if (context.progress) context.progress(line);
  };
  auto environment = make_environment(request, context.run, progress);
  if (!environment) return labelled(environment.error().error);
  if (!environment->bytecode && environment->installer != "none") {
    progress("environment: compiling its modules");
    TRY_ASSIGN(const bool compiled, compile_environment(*environment, request, context.run));
    if (compiled) environment = make_environment(request, context.run, progress);
    if (!environment) return labelled(environment.error().error);
  }
  const std::string key = sha256_hex(
      fmt::format("casemate environment layer 1\n{}\n{}\n{}\n", environment->key, interpreter->identity, interpreter->site_directory));
  const auto fill = [&](const std::string& directory) -> Result<void> {
    TRY_ASSIGN(const UniqueFd top, open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    const auto made = make_directories_beneath(top.get(), std::string(kEnvironmentMountPoint.substr(1)), 0755);
    if (!made) return fail_errno("make the directory of an environment's layer", made.error());
    TRY(link_environment(environment->layer, directory + std::string(kEnvironmentMountPoint)));
    if (!image) return {};
    return write_path_file(top.get(), *interpreter, root);
  };
  auto lease = context.store.make_layer(key, fmt::format("layer of an environment, for Python {}", interpreter->version), fill);
  if (!lease) return labelled(lease.error());
  return MadeLayer{.lease = std::move(*lease), .key = key};
}

void put_environment_first(Root& root) {
  const std::string path = fmt::format("PATH={}/bin:{}", kEnvironmentMountPoint, search_path(root));
  std::erase_if(root.config.env, [](const std::string& variable) { return variable.starts_with("PATH="); });
  root.config.env.push_back(path);
}

}  // namespace casemate
