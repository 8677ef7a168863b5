#include "image/environment.h"

#include <cstring>
#include <optional>
#include <thread>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "image/package_index.h"
#include "image/requirements.h"
#include "sys/fd.h"
#include "sys/path.h"

namespace casemate {
namespace {

// Part of every key: what we make of the same input. Raise it when that changes.
constexpr std::string_view kFormat = "casemate environment 1";
constexpr int kDeepest = 256;  // levels of an environment that are linked; each holds two descriptors meanwhile
// A file of ours at the root of the layer: which installer made it.
constexpr std::string_view kInstallerFile = "/casemate-installer";

// The layer that has the bytecode too.
std::string bytecode_key(const std::string& key) { return sha256_hex(fmt::format("casemate bytecode 1\n{}\n", key)); }

std::string description_of(const Requirements& requirements, const Interpreter& interpreter) {
  std::string names;
  for (const std::string& name : requirements.names) {
    if (names.size() > 60) {
      names += ", ...";
      break;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  return redacted(printable_name(fmt::format("environment: {} for Python {}", names.empty() ? "no packages" : names, interpreter.version)));
}

Environment environment_of(std::string key, StoreLease lease, const Interpreter& interpreter) {
  Environment made;
  made.key = std::move(key);
  made.layer = lease.path();
  made.lease = std::make_shared<const StoreLease>(std::move(lease));
  made.mount_point = kEnvironmentMountPoint;
  made.python = made.mount_point + "/bin/python";
  made.mounts = interpreter_mounts(interpreter, default_host_paths());
  made.mounts.push_back({.kind = Mount::Kind::bind, .source = made.layer, .target = made.mount_point, .owned = true});
  const auto installer = read_file(made.layer + std::string(kInstallerFile), 256);
  made.installer = installer ? printable_name(*installer) : "unknown";
  return made;
}

// Makes `target` a tree of links to the files of `source`, which packages wrote: symlinks are copied, none is followed. What is neither
// file, directory nor symlink is left out.
Attempt<void> link_tree(int source, int target, int depth) {
  if (depth > kDeepest) return std::unexpected(ELOOP);
  DirectoryReader reader(source);
  for (;;) {
    const auto entry = reader.next();
    if (!entry) return std::unexpected(entry.error());
    if (!*entry) return {};
    const std::string name((*entry)->name);
    const auto info = stat_beneath(source, name);
    if (!info) return std::unexpected(info.error());
    if (S_ISREG(info->st_mode)) {
      if (::linkat(source, name.c_str(), target, name.c_str(), 0) < 0) return std::unexpected(errno);
    } else if (S_ISLNK(info->st_mode)) {
      const auto link = read_link_beneath(source, name);
      if (!link) return std::unexpected(link.error());
      if (::symlinkat(link->c_str(), target, name.c_str()) < 0) return std::unexpected(errno);
    } else if (S_ISDIR(info->st_mode)) {
      const auto from = open_beneath(source, name, O_RDONLY | O_DIRECTORY);
      if (!from) return std::unexpected(from.error());
      const auto into = make_directories_beneath(target, name, 0700);
      if (!into) return std::unexpected(into.error());
      if (const auto done = link_tree(from->get(), into->get(), depth + 1); !done) return done;
      if (const auto mode = change_mode(into->get(), info->st_mode & 0777); !mode) return mode;
    }
  }
}

}  // namespace

std::expected<Environment, EnvironmentFailure> make_environment(const EnvironmentRequest& request, const RunJob& run,
                                                                const Progress& progress) {
  const auto failed = [](Error error, std::string log = {}) {
    return std::unexpected(EnvironmentFailure{std::move(error), std::move(log)});
  };
  const Interpreter& interpreter = request.interpreter;
  auto requirements = read_requirements(request.requirements_path);
  if (!requirements) return failed(requirements.error(), requirements.error().what + "\n");  // nobody else has words to it
  bool nothing = requirements->packages.empty();
  for (const auto& [name, value] : requirements->options) nothing = nothing && name != "requirement";
  std::string wanted = "nothing";
  Installation installation;
  if (!nothing) {
    auto index = read_package_index(interpreter);
    if (!index) return failed(index.error());
    auto plan = plan_installation(*requirements, *index, default_host_paths());
    if (!plan) return failed(plan.error());
    installation = std::move(*plan);
    wanted = installation.key;
  }
  const std::string key = sha256_hex(fmt::format("{}\n{}\n{}\n", kFormat, interpreter.identity, wanted));

  auto store = Store::open();
  if (!store) return failed(store.error());
  for (const bool bytecode : {true, false}) {
    auto there = store->layer(bytecode ? bytecode_key(key) : key);
    if (!there) return failed(there.error());
    if (!*there) continue;
    Environment environment = environment_of(key, std::move(**there), interpreter);
    environment.cached = true;
    environment.bytecode = bytecode;
    return environment;
  }

  std::optional<EnvironmentFailure> failure;
  Installed installed{"none", ""};
  const auto fill = [&](const std::string& directory) -> Result<void> {
    if (nothing) {
      TRY(write_bare_environment(directory, interpreter));
    } else {
      auto done = install(directory, interpreter, installation, *store, request.wall, run, progress);
      if (!done) {
        failure = done.error();
        return std::unexpected(done.error().error);
      }
      installed = std::move(*done);
    }
    TRY_ASSIGN(const UniqueFd file, open_file(directory + std::string(kInstallerFile), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return write_all(file.get(), installed.installer);
  };
  bool created = false;
  auto lease = store->make_layer(key, description_of(*requirements, interpreter), fill, &created,
                                 [&] { progress("environment: another casemate is making it; waiting"); });
  if (!lease) return failure ? failed(failure->error, failure->log) : failed(lease.error());
  Environment environment = environment_of(key, std::move(*lease), interpreter);
  environment.cached = !created;
  environment.log = created ? installed.log : "";
  return environment;
}

Result<bool> compile_environment(const Environment& environment, const Interpreter& interpreter, const RunJob& run) {
  if (environment.bytecode) return true;
  TRY_ASSIGN(Store store, Store::open());
  const auto fill = [&](const std::string& directory) -> Result<void> {
    // The same files, not copies: nobody writes to either layer.
    TRY_ASSIGN(const UniqueFd layer, open_file(environment.layer, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY_ASSIGN(const UniqueFd target, open_file(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    if (const auto linked = link_tree(layer.get(), target.get(), 0); !linked)
      return fail(ErrorCode::refused, fmt::format("an environment's files can't be linked: {}", std::strerror(linked.error())),
                  linked.error());
    Job job;
    job.name = "bytecode";
    // -I -S: no .pth file and no sitecustomize of the environment runs; compiling runs nothing.
    job.argv = {interpreter.path,
                "-I",
                "-S",
                "-m",
                "compileall",
                "-q",
                "-j",
                fmt::format("{}", std::max(1u, std::thread::hardware_concurrency())),
                "-x",
                "/tests?/",
                fmt::format("{}/{}", environment.mount_point, interpreter.site_packages)};
    job.env = {{"PATH", "/usr/bin:/bin"}, {"LANG", "C.UTF-8"}, {"HOME", "/tmp"}};
    job.mounts = interpreter_mounts(interpreter, default_host_paths());
    job.mounts.push_back(
        {.kind = Mount::Kind::bind, .source = directory, .target = environment.mount_point, .writable = true, .owned = true});
    job.limits = default_limits();
    job.limits.memory_bytes = 2ull << 30;
    job.limits.wall = std::chrono::minutes(10);
    TRY_ASSIGN(const JobResult result, run(std::move(job), {}));
    // 1: a module is not valid for this Python (templates, other versions' code); the others are compiled.
    if (result.outcome.kind == Outcome::Kind::exited && result.outcome.code <= 1) return {};
    return fail(result.outcome.kind == Outcome::Kind::cancelled ? ErrorCode::cancelled : ErrorCode::refused,
                fmt::format("compiling an environment: {}", words(result.outcome)));
  };
  auto lease =
      store.make_layer(bytecode_key(environment.key), fmt::format("environment with bytecode, for Python {}", interpreter.version), fill);
  if (lease) return true;
  if (lease.error().code == ErrorCode::refused) return false;
  return std::unexpected(lease.error());
}

}  // namespace casemate
