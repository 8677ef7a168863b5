#include "apps/script/container_run.h"

#include <fmt/format.h>

#include "apps/script/interpreter_root.h"
#include "base/terminal.h"
#include "command/container_packages.h"
#include "sys/fd.h"

namespace casemate {
namespace {

Job base_job(const ScriptRequest& request) {
  Job job;
  job.executor = request.executor;
  job.image = script_image(request);
  job.limits = request.limits;
  job.network = request.network;
  job.cwd = "/app";
  return job;
}

struct Installed {
  std::optional<JobResult> result;
  std::optional<Job> next;
};

Result<Installed> install(Engine& engine, Executor& executor, const ScriptRequest& request, const std::string& path,
                          const std::string& key) {
  Job job = packages_job(base_job(request), "python3", path);
  Installed installed;
  bool over = false;
  JobListener nobody;
  TRY(executor.keep(std::move(job), key, nobody, [&](std::optional<JobResult> result, std::optional<Job> next) {
    installed = {std::move(result), std::move(next)};
    over = true;
  }));
  while (!over) TRY(engine.turn(std::chrono::milliseconds(1000)));
  return installed;
}

ScriptReport not_installed(const std::optional<JobResult>& result) {
  const Outcome outcome = result ? result->outcome : Outcome{Outcome::Kind::lost};
  if (outcome.kind == Outcome::Kind::lost) return daemon_failure({ErrorCode::system, outcome.detail, 0, "docker daemon"});
  const std::string why = outcome.detail.empty() ? words(outcome) : outcome.detail;
  ScriptReport report = failure(
      ScriptErrorType::environment_setup_failed,
      Error{ErrorCode::refused, fmt::format("The requirements could not be installed in the container: {}", printable_line(why)), 0, ""});
  report.installer_log = result->output.merged;
  return report;
}

// The job's own command once its packages are there.
Job script_job(Job job, const ScriptRequest& request, const Staged& staged, const std::string& results) {
  job.name = printable_name(staged.script);
  job.argv = {"python3", "/app/" + staged.script};
  job.argv.insert(job.argv.end(), request.script_arguments.begin(), request.script_arguments.end());
  job.env = request.environment;
  job.env.emplace("PYTHONUNBUFFERED", "1");
  job.env.emplace("PYTHONDONTWRITEBYTECODE", "1");
  job.network = request.network;
  job.limits = request.limits;
  Mount app;
  app.kind = Mount::Kind::overlay;
  app.target = "/app";
  app.lower = {staged.directory};
  app.owned = true;
  job.mounts = {std::move(app)};
  job.collect = {"/app"};
  job.collect_to = results;
  return job;
}

}  // namespace

std::string script_image(const ScriptRequest& request) {
  if (request.image && request.image->kind != ImageReference::Kind::host) return to_text(*request.image);
  const std::string named = image_for_version(request.python_version);
  return named.empty() ? "docker://docker.io/library/python:3.11-slim" : named;
}

ScriptReport daemon_failure(const Error& error) {
  return failure(ScriptErrorType::docker_daemon_error,
                 Error{error.code, fmt::format("The runner could not communicate with the Docker daemon: {}", error.what),
                       error.errno_value, error.where});
}

ScriptReport run_in_container(Engine& engine, Executor& executor, const ScriptRequest& request, const Staged& staged,
                              const std::string& results, JobListener& listener, const std::function<void(std::string_view)>& progress) {
  const auto requirements = read_file(staged.requirements);
  if (!requirements) return failure(ScriptErrorType::runner_internal_error, requirements.error());
  const auto key = packages_key(staged.requirements);
  if (!key) return failure(ScriptErrorType::environment_setup_failed, key.error());
  Job job = base_job(request);
  EnvironmentSummary summary{request.python_version, *key, false, "none"};
  if (wants_packages(*requirements)) {
    progress("environment: installing packages in a container");
    auto installed = install(engine, executor, request, staged.requirements, summary.key);
    if (!installed) return daemon_failure(installed.error());
    if (!installed->next) return not_installed(installed->result);
    summary.cached = !installed->result;
    summary.installer = "pip";
    job = std::move(*installed->next);
  }
  progress(fmt::format("run: {}", printable_name(staged.script)));
  auto result = engine.run(script_job(std::move(job), request, staged, results), &listener);
  if (!result) {
    if (result.error().where == "docker daemon") return daemon_failure(result.error());
    return failure(ScriptErrorType::runner_internal_error, result.error());
  }
  const Outcome outcome = result->outcome;
  ScriptReport report;
  if (outcome.kind == Outcome::Kind::setup_failed && outcome.step == "get the image") {
    report = failure(ScriptErrorType::environment_setup_failed, Error{ErrorCode::not_found, outcome.detail, 0, ""});
  } else if (outcome.kind == Outcome::Kind::lost) {
    report = daemon_failure({ErrorCode::system, outcome.detail, 0, "docker daemon"});
    report.result = std::move(*result);
  } else {
    conclude(report, std::move(*result), request.limits);
  }
  report.environment = std::move(summary);
  report.image = ImageSummary{script_image(request), ""};
  return report;
}

}  // namespace casemate
