#include "apps/agent/tests_environment.h"

#include <cstdlib>

#include <fmt/format.h>

#include "apps/agent/guard.h"
#include "base/terminal.h"
#include "image/image_interpreter.h"
#include "image/reference.h"
#include "image/requirements.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

constexpr const char* kRequirements = "requirements.txt";
constexpr std::size_t kMostBytes = 4u << 20;

std::unexpected<Error> outside(std::string_view path) {
  return fail(ErrorCode::refused,
              fmt::format("the tests' {} names {}, which is no file of their repository", kRequirements, printable_name(path)));
}

// What is read again by its path later must lead nowhere else: no link in any part of it, and not out of the tree.
Result<UniqueFd> open_in_tree(int tree, const std::string& directory, const std::string& path, int flags) {
  const std::string prefix = directory + "/";
  if (!path.starts_with(prefix)) return outside(path);
  auto fd = open_beneath(tree, path.substr(prefix.size()), flags);
  if (!fd) return outside(path.substr(prefix.size()));
  return std::move(*fd);
}

Result<void> check_requirements(int tree, const std::string& directory) {
  const auto read = [&](const std::string& path) -> Result<std::string> {
    TRY_ASSIGN(const UniqueFd fd, open_in_tree(tree, directory, path, O_RDONLY));
    struct stat info{};
    if (::fstat(fd.get(), &info) < 0 || !S_ISREG(info.st_mode)) return outside(path);
    return read_all(fd.get(), kMostBytes);
  };
  const auto variable = [](const std::string& name) { return static_cast<const char*>(std::getenv(name.c_str())); };
  TRY_ASSIGN(const Requirements requirements, read_requirements(directory + "/" + kRequirements, read, variable));
  for (const LocalArchive& archive : requirements.archives) TRY(open_in_tree(tree, directory, archive.path, O_PATH));
  return {};
}

Result<Root> root_of(const std::string& image, Store& store, const std::function<bool()>& cancelled) {
  if (image.empty() || image == "host") return Root{};
  TRY_ASSIGN(const ImageReference reference, parse_image_reference(image));
  PullOptions options;
  options.access.cancelled = cancelled;
  return open_root(store, reference, options);
}

EnvironmentRequest request_for(const TestsEnvironment& made, const std::string& tree, Store& store) {
  return {.interpreter = made.interpreter, .requirements_path = tree + "/" + kRequirements, .root = made.root, .store = &store};
}

}  // namespace

Result<TestsEnvironment> tests_environment(const std::string& image, const std::string& tree, Store& store, const RunJob& run,
                                           const std::function<bool()>& cancelled) {
  TestsEnvironment made;
  TRY_ASSIGN(made.root, root_of(image, store, cancelled));
  TRY_ASSIGN(made.interpreter, find_interpreter(made.root, "", run));
  TRY_ASSIGN(const UniqueFd directory, open_file(tree, O_PATH | O_DIRECTORY));
  if (!stat_beneath(directory.get(), kRequirements)) {
    if (made.root.is_host()) made.mounts = interpreter_mounts(made.interpreter, default_host_paths());
    return made;
  }
  TRY(check_requirements(directory.get(), tree));
  auto environment = make_environment(request_for(made, tree, store), run, [](std::string_view) {});
  if (!environment) return std::unexpected(std::move(environment.error().error));
  TRY_ASSIGN(made.guarded, guarded_environment(*environment, made.interpreter, store));
  made.mounts = environment->mounts;
  for (Mount& mount : made.mounts) {
    if (mount.target == environment->mount_point) mount.source = made.guarded.path();
  }
  made.environment = std::move(*environment);
  return made;
}

void compile_for_later(const TestsEnvironment& made, const std::string& tree, Store& store, const RunJob& run) {
  if (!made.environment || made.environment->bytecode || made.environment->installer == "none") return;
  (void)compile_environment(*made.environment, request_for(made, tree, store), run);  // without it later runs are as right, only slower
}

}  // namespace casemate
