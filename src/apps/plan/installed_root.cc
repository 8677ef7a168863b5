#include "apps/plan/installed_root.h"

#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"
#include "command/executors.h"
#include "engine/run_job.h"

namespace casemate {

Result<InstalledRoot> InstalledRoot::open(PlanSettings settings, const TellPull& tell_pull) {
  InstalledRoot made(std::move(settings));
  if (made.settings_.root) {
    TRY_ASSIGN(made.root_, JobRoot::open(*made.settings_.root, tell_pull));
  }
  return made;
}

Result<Engine*> InstalledRoot::make_engine(const Tell& tell) {
  TRY_ASSIGN(engine_, Engine::create());
  TRY(engine_->cancel_on_signals());
  ExecutorChoice choice{.name = settings_.executor, .pull = settings_.pull, .progress = tell};
  choice.config = ConfigUse{.entrypoint = false, .user = !settings_.user_chosen};
  TRY(add_executor(*engine_, choice));
  return engine_.get();
}

// The job on the image's files, with what the image says of how to run it.
Result<Job> InstalledRoot::bare_root() {
  Job job = settings_.job;
  if (!root_) {
    if (job.executor.empty()) add_least_environment(job);
    return job;
  }
  RunRequest request;
  request.job = std::move(job);
  request.job.argv = {"/bin/sh"};  // an image without a command has none to give
  request.user = settings_.user;
  request.directory_chosen = !request.job.cwd.empty();
  TRY(root_->furnish(request, run_jobs_on(*engine_), Progress()));
  request.job.argv.clear();
  return std::move(request.job);
}

Result<void> InstalledRoot::install(const std::string& tool, bool again, const Tell& tell, const Tell& tell_output) {
  TRY_ASSIGN(Job base, bare_root());
  if (!root_ || !root_->store()) {
    TRY_ASSIGN(Store store, Store::open());
    store_ = std::make_unique<Store>(std::move(store));
  }
  InstallSurroundings around{.engine = *engine_, .store = store_ ? store_.get() : root_->store()};
  around.again = again;
  around.progress = tell;
  around.output = tell_output;
  auto installed = install_tool(settings_.install, tool, std::move(base), around);
  if (!installed) {
    installed_.log = std::move(installed.error().log);
    return std::unexpected(std::move(installed.error().error));
  }
  installed_ = *std::move(installed);
  return {};
}

Result<void> InstalledRoot::check_shell(const std::string& shell) {
  if (shell == "/bin/sh") return {};
  Job job = base();
  job.name = "shell";
  job.argv = {"/bin/sh", "-c", "[ -f \"$0\" ] && [ -x \"$0\" ]", shell};
  job.collect.clear();
  TRY_ASSIGN(const JobResult result, engine_->run(std::move(job)));
  if (result.outcome.kind == Outcome::Kind::exited && result.outcome.code == 1)
    return fail(ErrorCode::invalid_input,
                fmt::format("there is no program {} to run the commands, which --shell or the plan asks for", printable_name(shell)));
  return {};
}

std::string InstalledRoot::digest() const {
  const auto json = root_ ? root_->to_json() : nlohmann::ordered_json();
  return json.is_object() && json["digest"].is_string() ? json["digest"].get<std::string>() : "";
}

std::string InstalledRoot::image() const {
  const auto json = root_ ? root_->to_json() : nlohmann::ordered_json();
  return json.is_object() ? json["name"].get<std::string>() : settings_.job.image;
}

}  // namespace casemate
