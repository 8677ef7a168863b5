#include "apps/pytest/furnishing.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/image/naming.h"
#include "base/terminal.h"
#include "image/project_layers.h"

extern char** environ;

namespace casemate {
namespace {

// What a test may use when nobody says: a suite's heavier tests have to fit.
constexpr std::uint64_t kMemory = 2ull << 30;
constexpr std::uint32_t kPids = 512;
constexpr std::uint64_t kDisk = 1ull << 30;

// Of pytest's own that a run in a container must see, whatever patterns its layers have.
constexpr const char* kSettings[] = {"pyproject.toml", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg"};

// Of the caller's environment: what names places or sockets of the host that a cell has not, or is about the terminal's shell.
constexpr std::string_view kLeftOut[] = {"HOME",
                                         "PWD",
                                         "OLDPWD",
                                         "TMPDIR",
                                         "TEMP",
                                         "TMP",
                                         "_",
                                         "SHLVL",
                                         "SSH_AUTH_SOCK",
                                         "SSH_AGENT_PID",
                                         "GPG_AGENT_INFO",
                                         "DBUS_SESSION_BUS_ADDRESS",
                                         "DISPLAY",
                                         "WAYLAND_DISPLAY",
                                         "MAIL",
                                         "HISTFILE",
                                         "LS_COLORS",
                                         "XAUTHORITY"};

bool left_out(std::string_view name) {
  return name.starts_with("XDG_") || name.starts_with("CASEMATE_") || name.starts_with("MAELSTROM_") ||
         std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut);
}

void take_callers_environment(Job& job) {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || left_out(text.substr(0, equals))) continue;
    job.env.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Limits fork_limits(const PytestRequest& request, const ContainerSpec& container) {
  Limits limits = default_limits();
  limits.memory_bytes = kMemory;
  limits.pids = kPids;
  limits.disk_bytes = kDisk;
  for (const Limits* asked : {&container.limits, &request.limits}) {
    if (asked->memory_bytes) limits.memory_bytes = asked->memory_bytes;
    if (asked->pids) limits.pids = asked->pids;
    if (asked->cpus) limits.cpus = asked->cpus;
    if (asked->disk_bytes) limits.disk_bytes = asked->disk_bytes;
  }
  return limits;
}

// Parents hold what their forks share, and collect: what bounds a test does not bound them.
Limits parent_limits(const Limits& fork) {
  Limits limits = fork;
  limits.memory_bytes.reset();
  limits.pids.reset();
  limits.cpus.reset();
  return limits;
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

class Furnisher {
 public:
  Furnisher(const TestContainer& container, const FurnishingContext& context)
      : container_(container), spec_(container.container), context_(context) {}

  Result<Furnishing> furnish() {
    const bool host = !context_.request.image && (!spec_.image || *spec_.image == "host");
    made_.name = context_.request.image ? *context_.request.image : spec_.image.value_or("host");
    made_.notes = spec_.notes;
    project_in_layers_ = !spec_.layers.empty();
    job_.name = "pytest";
    if (host && spec_.layers.empty()) {
      TRY(plain_host());
    } else {
      TRY(root());
    }
    if (!project_in_layers_) show_project();
    if (spec_.working_directory) job_.cwd = *spec_.working_directory;
    for (const Mount& mount : spec_.mounts) job_.mounts.push_back(mount);
    job_.network = context_.request.network.value_or(spec_.network.value_or(Network::none));
    job_.limits = fork_limits(context_.request, spec_);
    WarmRequest& request = made_.request;
    request.fork = job_;
    request.parent = std::move(job_);
    request.parent.limits = parent_limits(request.fork.limits);
    request.parent.argv = {python_};
    request.parent.argv.insert(request.parent.argv.end(), context_.request.pytest_arguments.begin(),
                               context_.request.pytest_arguments.end());
    return std::move(made_);
  }

 private:
  // Where pytest runs and the project lies: its own place on the host.
  void show_project() {
    const std::string& directory = context_.request.directory;
    job_.mounts.push_back({.kind = Mount::Kind::overlay, .target = directory, .lower = {directory}, .owned = true});
    job_.cwd = directory;
  }

  Result<void> plain_host() {
    take_callers_environment(job_);
    for (const auto& [name, value] : spec_.environment) job_.env[name] = value;
    std::vector<std::string> shown = default_host_paths();
    shown.push_back(context_.request.directory);
    if (const auto file = requirements()) {
      TRY(environment(*file));
    } else {
      TRY_ASSIGN(const ActivePython active, find_active_python(context_.request.python.value_or("")));
      python_ = active.program;
      for (Mount& mount : active_python_mounts(active, shown)) job_.mounts.push_back(std::move(mount));
    }
    job_.env["PATH"] = fmt::format("{}:{}", directory_of(python_), job_.env.contains("PATH") ? job_.env["PATH"] : "/usr/bin:/bin");
    add_least_environment(job_);
    return {};
  }

  [[nodiscard]] std::optional<std::string> requirements() const {
    if (context_.request.requirements) return absolute(*context_.request.requirements, context_.request.directory);
    if (!container_.requirements) return std::nullopt;
    std::string path = absolute(*container_.requirements, context_.directory);
    if (container_.requirements_implied && !exists(path)) return std::nullopt;
    return path;
  }

  static std::string absolute(const std::string& path, const std::string& directory) {
    return path.starts_with('/') || directory.empty() ? path : directory + "/" + path;
  }

  Result<void> environment(const std::string& file) {
    TRY_ASSIGN(Interpreter interpreter, find_interpreter(context_.request.python.value_or("")));
    auto environment =
        make_environment({.interpreter = std::move(interpreter), .requirements_path = file}, context_.run, context_.progress);
    if (!environment) return std::unexpected(environment.error().error);
    python_ = environment->python;
    job_.mounts = environment->mounts;
    made_.environment = std::move(*environment);
    return {};
  }

  Result<void> root() {
    python_ = context_.request.python.value_or("python3");
    RootRequest wanted;
    TRY_ASSIGN(wanted.image, read_image_name(made_.name));
    if (!wanted.image.path.empty() && wanted.image.path[0] != '/')
      wanted.image.path = absolute(wanted.image.path, context_.request.image ? context_.request.directory : context_.directory);
    TRY_ASSIGN(wanted.pull, pull_options(PullWords{}, PullOptions::Policy::missing));
    wanted.use = spec_.use;
    wanted.use.entrypoint = false;
    wanted.image_layers = spec_.use_layers;
    if (!context_.directory.empty()) wanted.lock = context_.directory + "/casemate.lock";
    wanted.environment = spec_.environment;
    wanted.user = user();
    if (const auto file = requirements()) wanted.layers.push_back({directory_of(*file), {EnvironmentLayer{*file, true}}});
    if (project_in_layers_) {
      wanted.layers.push_back({context_.directory, spec_.layers});
      PathsLayer settings;
      for (const char* name : kSettings) {
        if (exists(context_.directory + "/" + name)) settings.paths.emplace_back(name);
      }
      if (!settings.paths.empty()) wanted.layers.push_back({context_.directory, {settings}});
    }
    TRY_ASSIGN(JobRoot opened, JobRoot::open(wanted, context_.tell));
    made_.root = std::make_unique<JobRoot>(std::move(opened));
    RunRequest run;
    run.job.argv = {python_};
    run.job.cwd = spec_.working_directory.value_or("");
    TRY(made_.root->furnish(run, context_.run, context_.progress));
    job_ = std::move(run.job);
    job_.name = "pytest";
    made_.notes.insert(made_.notes.end(), made_.root->notes().begin(), made_.root->notes().end());
    return {};
  }

  [[nodiscard]] std::string user() const {
    if (!spec_.group) return spec_.user.value_or("");
    return fmt::format("{}:{}", spec_.user.value_or("0"), *spec_.group);
  }

  const TestContainer& container_;
  const ContainerSpec& spec_;
  const FurnishingContext& context_;
  Furnishing made_;
  Job job_;
  std::string python_;
  bool project_in_layers_ = false;
};

}  // namespace

Result<Furnishing> furnish(const TestContainer& container, const FurnishingContext& context) {
  return Furnisher(container, context).furnish();
}

}  // namespace casemate
