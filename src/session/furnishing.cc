#include "session/furnishing.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "action/job_action.h"
#include "base/terminal.h"
#include "command/callers_environment.h"
#include "command/container_packages.h"
#include "command/naming.h"
#include "image/interpreter.h"
#include "image/project_layers.h"
#include "image/project_requirements.h"
#include "session/bounds.h"
#include "session/collector.h"
#include "sys/fd.h"

extern char** environ;

namespace casemate {
namespace {

// What a test may use when nobody says: a suite's heavier tests have to fit.
constexpr std::uint64_t kMemory = 2ull << 30;
constexpr std::uint32_t kPids = 512;
constexpr const char* kUsersHome = "/home/user";  // of who is not root, on the host
constexpr std::uint64_t kDisk = 1ull << 30;

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Limits fork_limits(const ContainerSpec& container) {
  Limits limits = default_limits();
  limits.memory_bytes = container.limits.memory_bytes.value_or(kMemory);
  limits.pids = container.limits.pids.value_or(kPids);
  limits.disk_bytes = container.limits.disk_bytes.value_or(kDisk);
  if (container.limits.cpus) limits.cpus = container.limits.cpus;
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

// Virtual environments right in a project, as paths of a root that the project lies in.
std::vector<std::string> environments_in(const std::string& project) {
  std::vector<std::string> found;
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(project, problem)) {
    const std::string path = entry.path().string();
    if (exists(path + "/pyvenv.cfg") || exists(path + "/conda-meta")) found.push_back("/" + entry.path().filename().string());
  }
  return found;
}

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// One interpreter collects and runs, so what was meant for one of them is for both.
std::vector<std::string> typed_arguments(const PytestRequest& request) {
  std::vector<std::string> typed = request.pytest_arguments;
  for (const auto* more : {&request.pytest_collect_arguments, &request.pytest_test_arguments})
    typed.insert(typed.end(), more->begin(), more->end());
  if (request.collect_from_module) typed.insert(typed.end(), {"--pyargs", *request.collect_from_module});
  return typed;
}

class Furnisher {
 public:
  Furnisher(const TestContainer& container, const FurnishingContext& context)
      : container_(container), spec_(container.container), context_(context) {}

  Result<Furnishing> furnish() {
    const bool host = !spec_.image;
    made_.notes = spec_.notes;
    project_in_layers_ = !spec_.layers.empty();
    job_.name = "pytest";
    if (context_.request.executor == "docker") {
      TRY(elsewhere());
    } else if (host && spec_.layers.empty()) {
      TRY(plain_host());
    } else {
      TRY(root());
    }
    if (!project_in_layers_) show_project();
    if (spec_.working_directory) job_.cwd = *spec_.working_directory;
    for (const Mount& mount : spec_.mounts) job_.mounts.push_back(mount);
    job_.network = spec_.network.value_or(Network::none);
    job_.limits = fork_limits(spec_);
    WarmRequest& request = made_.request;
    request.fork = job_;
    request.parent = std::move(job_);
    request.parent.limits = parent_limits(request.fork.limits);
    if (request.fork.network == Network::outbound) request.parent.network = Network::none;
    request.parent.argv = {python_};
    if (!context_.request.immortal) request.parent.env["CASEMATE_MORTAL"] = "1";
    add_arguments(request.parent.argv);
    // What cells are made of is what an engine is sent.
    if (context_.request.remote) TRY(send());
    return std::move(made_);
  }

 private:
  // What no worker can hold or show is told before anything is made.
  Result<void> send() {
    const RemoteChoice& remote = *context_.request.remote;
    Job job = made_.request.parent;
    job.limits = made_.request.fork.limits;
    TRY(check_action_job(job, {.image_as_property = remote.image_as_property}));
    const Network network = made_.request.fork.network;
    if (network != Network::none)
      made_.notes.push_back(
          fmt::format("--network {}: which networks tests reach is the engine's to say", network == Network::host ? "host" : "outbound"));
    made_.elsewhere = ExecutorChoice{.name = "remote", .remote = remote};
    return {};
  }

  // Where pytest runs and the project lies: its own place on the host.
  void show_project() {
    if (made_.elsewhere) {
      job_.mounts.push_back({.kind = Mount::Kind::bind, .source = project_, .target = project_, .owned = true});
    } else {
      job_.mounts.push_back({.kind = Mount::Kind::overlay, .target = project_, .lower = {project_}, .owned = true});
    }
    job_.cwd = context_.request.directory;
  }

  // pytest's, in the order in which it may be taken back: ours, then what was typed.
  void add_arguments(std::vector<std::string>& argv) const {
    const std::vector<std::string> typed = typed_arguments(context_.request);
    if (!project_in_layers_ && spec_.working_directory) return add_arguments_from_elsewhere(argv);
    if (project_in_layers_ && made_.request.parent.cwd == "/") {
      // It would take a directory that was named for the root, rather than "/".
      argv.emplace_back("--rootdir=/");
      for (const std::string& path : outside_) argv.push_back("--ignore=" + path);
    }
    argv.insert(argv.end(), typed.begin(), typed.end());
  }

  // What pytest would find where casemate was started, for one that is started in another directory.
  void add_arguments_from_elsewhere(std::vector<std::string>& argv) const {
    const std::string& directory = context_.request.directory;
    argv.push_back("--rootdir=" + pytest_root(directory, context_.request.pytest_arguments));
    bool named = false;
    for (const std::string& typed : typed_arguments(context_.request)) {
      const bool path = !typed.starts_with('-') && exists(absolute(typed.substr(0, typed.find("::")), directory));
      argv.push_back(path ? absolute(typed, directory) : typed);
      named |= path;
    }
    if (!named) argv.push_back(directory);
  }

  // What of the root pytest should not walk through, where the project lies in it.
  void find_outside(const std::vector<std::string>& below) {
    std::vector<std::string> over = made_.root->at("/");
    if (over.size() >= below.size()) over.resize(over.size() - below.size());  // topmost first
    outside_ = outside_project(spec_.image ? below : std::vector<std::string>{""}, over);
    // Of an environment only what looks like tests was copied, and pytest can't tell what it is.
    for (const std::string& path : environments_in(context_.directory)) outside_.push_back(path);
  }

  Result<void> plain_host() {
    take_callers_environment(job_);
    const auto before = job_.env;
    for (const auto& [name, value] : spec_.environment) {
      TRY_ASSIGN(job_.env[name], expand_value(value, before));
    }
    if (const std::string wanted = user_words(spec_); !wanted.empty()) {
      auto known = resolve_user(Root(), wanted);
      if (!known) return fail(ErrorCode::invalid_input, fmt::format("user '{}': {}", printable_line(wanted), known.error().what));
      job_.user = *known;
    }
    // root's HOME is root's alone.
    if (job_.user.uid != 0 && !job_.env.contains("HOME")) {
      job_.env["HOME"] = kUsersHome;
      job_.mounts.push_back({.kind = Mount::Kind::overlay, .target = kUsersHome, .owned = true});
    }
    std::vector<std::string> shown = default_host_paths();
    shown.push_back(project_);
    if (const auto file = requirements()) {
      TRY(environment(*file));
    } else {
      if (!context_.active) {
        TRY_ASSIGN(context_.active, find_active_python(context_.request.python.value_or("")));
      }
      const ActivePython& active = *context_.active;
      python_ = active.program;
      for (Mount& mount : active_python_mounts(active, shown)) job_.mounts.push_back(std::move(mount));
      keep_user_site(job_, active);
    }
    // An environment that is activated leads PATH already.
    const std::string first = directory_of(python_) + ":";
    const std::string path = job_.env.contains("PATH") ? job_.env["PATH"] : "/usr/bin:/bin";
    job_.env["PATH"] = path.starts_with(first) ? path : first + path;
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

  std::unexpected<Error> not_there(std::string_view what) const {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} can't be had with --executor {}; leave one of them out", what, context_.request.executor));
  }

  // What a container of another executor is made of. Only that knows what its image says.
  Result<void> elsewhere() {
    ExecutorChoice choice{.name = context_.request.executor};
    if (!spec_.image)
      return fail(ErrorCode::invalid_input, fmt::format("--executor {} needs an image: --image docker://python:3.12-slim, or `image` in a "
                                                        "directive",
                                                        choice.name));
    TRY_ASSIGN(const ImageReference image, read_image_name(container_.name()));
    if (image.kind != ImageReference::Kind::registry && image.kind != ImageReference::Kind::docker_daemon)
      return not_there(
          fmt::format("image {} (only docker://NAME and docker-daemon:NAME are the daemon's to get)", printable_name(container_.name())));
    if (!spec_.layers.empty() || !spec_.use_layers) return not_there("layers (`layers`, `added_layers`, `use` without \"layers\")");
    for (const auto& [name, value] : spec_.environment) {
      if (value.find("$prev{") != std::string::npos)
        return not_there(fmt::format("$prev{{}} in the variable {}, which is the image's to know,", printable_name(name)));
      TRY_ASSIGN(job_.env[name], expand_value(value, {}));
    }
    choice.config = spec_.use;
    choice.config->entrypoint = false;
    choice.user = user_words(spec_);
    if (!choice.user.empty()) job_.env.emplace("HOME", "/tmp");  // /root is root's alone
    python_ = context_.request.python.value_or("python3");
    job_.image = to_text(image);
    job_.cwd = "";
    made_.packages = requirements();
    if (made_.packages && project_selection(*made_.packages))
      return not_there("packages of a pyproject.toml (a file of requirements can be)");
    made_.elsewhere = std::move(choice);
    return {};
  }

  Result<void> root() {
    python_ = context_.request.python.value_or("python3");
    RootRequest wanted;
    TRY_ASSIGN(wanted.image, read_image_name(container_.name()));
    if (!wanted.image.path.empty() && wanted.image.path[0] != '/')
      wanted.image.path = absolute(wanted.image.path, context_.request.image ? context_.request.directory : context_.directory);
    PullWords words;
    words.verify_tls = context_.request.verify_tls;
    TRY_ASSIGN(wanted.pull, pull_options(words, PullOptions::Policy::missing));
    wanted.use = spec_.use;
    wanted.use.entrypoint = false;
    wanted.image_layers = spec_.use_layers;
    for (const char* name : {"/maelstrom-container-tags.lock", "/casemate.lock"}) {  // the second counts, if there are two
      if (!context_.directory.empty() && exists(context_.directory + name)) wanted.lock = context_.directory + name;
    }
    wanted.environment = spec_.environment;
    wanted.user = user_words(spec_);
    if (const auto file = requirements()) wanted.layers.push_back({directory_of(*file), {EnvironmentLayer{*file, true}}});
    if (project_in_layers_) {
      wanted.layers.push_back({context_.directory, spec_.layers});
      PathsLayer settings;
      for (const char* name : kSettingsFiles) {
        if (exists(context_.directory + "/" + name)) settings.paths.emplace_back(name);
      }
      if (!settings.paths.empty()) wanted.layers.push_back({context_.directory, {settings}});
    }
    TRY_ASSIGN(JobRoot opened, JobRoot::open(wanted, context_.tell));
    made_.root = std::make_unique<JobRoot>(std::move(opened));
    const std::vector<std::string> below = made_.root->at("/");
    RunRequest run;
    run.job.argv = {python_};
    run.job.cwd = spec_.working_directory.value_or("");
    TRY(made_.root->furnish(run, context_.run, context_.progress));
    job_ = std::move(run.job);
    job_.name = "pytest";
    if (project_in_layers_) {
      if (!spec_.image && !spec_.working_directory) job_.cwd = "/";  // where layers lie
      find_outside(below);
    }
    made_.notes.insert(made_.notes.end(), made_.root->notes().begin(), made_.root->notes().end());
    return {};
  }

  const TestContainer& container_;
  const ContainerSpec& spec_;
  const FurnishingContext& context_;
  std::string project_ = project_directory(context_.request.directory, context_.request.pytest_arguments);
  std::vector<std::string> outside_;
  Furnishing made_;
  Job job_;
  std::string python_;
  bool project_in_layers_ = false;
};

// For somebody whose interpreter can't import pytest.
std::string without_pytest(const Furnishing& furnishing, const TestContainer& container, const std::string& directory) {
  const std::string& python = furnishing.request.parent.argv[0];
  if (container.requirements_implied)
    return fmt::format("{} has no pytest, and there is no {} in {}: write one with pytest in it", printable_name(container.name()),
                       *container.requirements, printable_name(directory));
  if (container.requirements) return fmt::format("pytest is not among the packages of {}: add it", printable_name(*container.requirements));
  if (container.container.image)
    return fmt::format("{} has no pytest: list it in a file of requirements, and name that in the directive or with --requirements",
                       printable_name(container.name()));
  return fmt::format("{} has no pytest: install it there, activate the environment that has it, or name packages with --requirements",
                     printable_name(python));
}

}  // namespace

Result<Furnishing> furnish(const TestContainer& container, const FurnishingContext& context) {
  return Furnisher(container, context).furnish();
}

Result<void> install_packages(Engine& engine, const std::string& executor, const Furnishing& furnishing, const Progress& progress) {
  const std::string& file = *furnishing.packages;
  TRY_ASSIGN(const std::string text, read_file(file));
  TRY_ASSIGN(std::string key, packages_key(file));
  if (!wants_packages(text)) return {};
  progress("environment: installing packages in a container");
  Job base;
  base.executor = executor;
  base.image = furnishing.request.parent.image;
  base.limits = furnishing.request.parent.limits;
  base.limits.disk_bytes.reset();
  TRY_ASSIGN(const Engine::Kept kept, engine.keep(packages_job(std::move(base), furnishing.request.parent.argv[0], file), std::move(key)));
  if (kept.next) return {};
  const std::string said = kept.result ? last_words(*kept.result) : "";
  const std::string why = said.empty() ? words(kept.result ? kept.result->outcome : Outcome{Outcome::Kind::cancelled})
                                       : said.substr(said.rfind('\n') == std::string::npos ? 0 : said.rfind('\n') + 1);
  return fail(ErrorCode::refused, fmt::format("the packages of {} can't be installed in {}: {}", printable_name(file),
                                              printable_name(furnishing.request.parent.image), printable_line(why)));
}

std::string what_is_missing(const Furnishing& furnishing, const TestContainer& container, const std::string& directory,
                            const JobResult& ended) {
  const Outcome& outcome = ended.outcome;
  if (outcome.kind == Outcome::Kind::setup_failed && outcome.code == ENOENT && outcome.step.starts_with("execve"))
    return fmt::format("{} has no {}; choose an image that has one, or name it with --python", printable_name(container.name()),
                       printable_name(outcome.step.substr(outcome.step.find(' ') + 1)));
  const bool no_pytest = ended.output.err.starts_with("pytest cannot be imported") && ended.output.err.contains("No module named 'pytest'");
  return no_pytest ? without_pytest(furnishing, container, directory) : "";
}

}  // namespace casemate
