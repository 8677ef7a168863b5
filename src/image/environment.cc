#include "image/environment.h"

#include <optional>
#include <thread>

#include <fmt/format.h>

#include "base/digest.h"
#include "base/terminal.h"
#include "image/environment_tree.h"
#include "image/package_index.h"
#include "image/requirements.h"
#include "sys/fd.h"

namespace casemate {
namespace {

// Part of every key: what we make of the same input. Raise it when that changes.
constexpr std::string_view kFormat = "casemate environment 1";
// A file of ours at the root of the layer: which installer made it.
constexpr std::string_view kInstallerFile = "/casemate-installer";

// The layer that has the bytecode too.
std::string bytecode_key(const std::string& key) { return sha256_hex(fmt::format("casemate bytecode 1\n{}\n", key)); }

std::string description_of(const Requirements& requirements, const Interpreter& interpreter, const Root& root) {
  std::string names;
  for (const std::string& name : requirements.names) {
    if (names.size() > 60) {
      names += ", ...";
      break;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  return redacted(printable_name(fmt::format("environment: {} for Python {}{}", names.empty() ? "no packages" : names, interpreter.version,
                                             root.is_host() ? "" : " of " + root.image)));
}

Environment environment_of(std::string key, StoreLease lease, const Interpreter& interpreter) {
  Environment made;
  made.key = std::move(key);
  made.layer = lease.path();
  made.lease = std::make_shared<const StoreLease>(std::move(lease));
  made.mount_point = kEnvironmentMountPoint;
  made.python = made.mount_point + "/bin/python";
  if (!interpreter.in_image()) made.mounts = interpreter_mounts(interpreter, default_host_paths());
  made.mounts.push_back({.kind = Mount::Kind::bind, .source = made.layer, .target = made.mount_point, .owned = true});
  const auto installer = read_file(made.layer + std::string(kInstallerFile), 256);
  made.installer = installer ? printable_name(*installer) : "unknown";
  return made;
}

// The request's store, or one that is open as long as this lives.
class OpenStore {
 public:
  explicit OpenStore(const EnvironmentRequest& request) : given_(request.store) {}
  Result<Store*> store() {
    if (given_) return given_;
    TRY_ASSIGN(own_, Store::open());
    return &*own_;
  }

 private:
  Store* given_;
  std::optional<Store> own_;
};

// The host's interpreter may write into the new layer; what an image's writes is looked at first: it may do more than compile, and the
// files of the layer are those of the environment.
Job compiling_job(const Environment& environment, const Interpreter& interpreter) {
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
  job.limits = default_limits();
  job.limits.memory_bytes = 2ull << 30;
  job.limits.wall = std::chrono::minutes(10);
  return job;
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
    auto plan = plan_installation(*requirements, *index, request.root.is_host() ? default_host_paths() : std::vector<std::string>());
    if (!plan) return failed(plan.error());
    installation = std::move(*plan);
    wanted = installation.key;
  }
  const std::string key = sha256_hex(fmt::format("{}\n{}\n{}\n", kFormat, interpreter.identity, wanted));

  OpenStore opened(request);
  auto store = opened.store();
  if (!store) return failed(store.error());
  for (const bool bytecode : {true, false}) {
    auto there = (*store)->layer(bytecode ? bytecode_key(key) : key);
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
      auto done = install(directory, interpreter, request.root, installation, **store, request.wall, run, progress);
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
  auto lease = (*store)->make_layer(key, description_of(*requirements, interpreter, request.root), fill, &created,
                                    [&] { progress("environment: another casemate is making it; waiting"); });
  if (!lease) return failure ? failed(failure->error, failure->log) : failed(lease.error());
  Environment environment = environment_of(key, std::move(*lease), interpreter);
  environment.cached = !created;
  environment.log = created ? installed.log : "";
  return environment;
}

Result<bool> compile_environment(const Environment& environment, const EnvironmentRequest& request, const RunJob& run) {
  if (environment.bytecode) return true;
  const Interpreter& interpreter = request.interpreter;
  OpenStore opened(request);
  TRY_ASSIGN(Store * store, opened.store());
  const auto fill = [&](const std::string& directory) -> Result<void> {
    TRY(link_environment(environment.layer, directory));
    Job job = compiling_job(environment, interpreter);
    TRY(put_root(job, request.root));
    std::unique_ptr<StoreTemp> collected;
    if (interpreter.in_image()) {
      TRY_ASSIGN(collected, store->make_temp());
      job.mounts.push_back({.kind = Mount::Kind::overlay, .target = environment.mount_point, .lower = {environment.layer}, .owned = true});
      job.limits.disk_bytes = 1ull << 30;
      job.limits.disk_inodes = 1u << 20;
      job.collect = {environment.mount_point};
      job.collect_to = collected->path() + "/changed";
    } else {
      job.mounts = interpreter_mounts(interpreter, default_host_paths());
      job.mounts.push_back(
          {.kind = Mount::Kind::bind, .source = directory, .target = environment.mount_point, .writable = true, .owned = true});
    }
    TRY_ASSIGN(const JobResult result, run(std::move(job), {}));
    // 1: a module is not valid for this Python (templates, other versions' code); the others are compiled.
    if (result.outcome.kind != Outcome::Kind::exited || result.outcome.code > 1)
      return fail(result.outcome.kind == Outcome::Kind::cancelled ? ErrorCode::cancelled : ErrorCode::refused,
                  fmt::format("compiling an environment: {}", words(result.outcome)));
    if (!collected) return {};
    if (!result.collect_error.empty()) return fail(ErrorCode::refused, "compiling an environment: " + result.collect_error);
    return add_bytecode(collected->path() + "/changed", directory);
  };
  auto lease =
      store->make_layer(bytecode_key(environment.key), fmt::format("environment with bytecode, for Python {}", interpreter.version), fill);
  if (lease) return true;
  if (lease.error().code == ErrorCode::refused) return false;
  return std::unexpected(lease.error());
}

}  // namespace casemate
