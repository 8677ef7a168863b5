#include "command/job_root.h"

#include <fmt/format.h>

#include "base/terminal.h"
#include "command/work_layer.h"
#include "image/project_layers.h"

namespace casemate {
namespace {

constexpr const char* kDefaultHome = "/root";

std::unexpected<Error> invalid(std::string what) { return fail(ErrorCode::invalid_input, std::move(what)); }

}  // namespace

void add_least_environment(Job& job) {
  job.env.emplace("PATH", kDefaultPath);
  job.env.emplace("HOME", kDefaultHome);
}

Result<JobRoot> JobRoot::open(const RootRequest& request, const TellPull& tell) {
  JobRoot made(request);
  if (request.is_plain_host()) {
    made.root_.notes = request.notes;
    return made;
  }
  TRY_ASSIGN(made.store_, Store::open());
  TRY_ASSIGN(PinnedRoot opened, open_pinned_root(*made.store_, request.image, request.pull, request.lock, request.lock_grows, tell));
  made.root_ = std::move(opened.root);
  made.root_.notes.insert(made.root_.notes.begin(), request.notes.begin(), request.notes.end());
  if (!opened.note.empty()) made.root_.notes.push_back(std::move(opened.note));
  if (!request.image_layers && !made.root_.is_host()) TRY(drop_layers(made.root_, *made.store_));
  return made;
}

Result<void> JobRoot::add_groups(const RunJob& run, const Progress& progress) {
  for (const LayerGroup& group : request_.layers)
    TRY(add_layers(root_, group.layers, LayerContext{*store_, group.directory, run, progress}));
  return {};
}

Result<void> JobRoot::set_environment(Job& job) const {
  if (request_.environment.empty()) return {};
  Job below;
  if (request_.use.env) below.env = image_environment(root_);
  add_least_environment(below);
  for (const auto& [name, value] : request_.environment) {
    if (job.env.contains(name)) continue;
    TRY_ASSIGN(job.env[name], expand_value(value, below.env));
  }
  return {};
}

Result<void> JobRoot::set_user(Job& job, const std::string& typed) const {
  const std::string& wanted = typed.empty() ? request_.user : typed;
  if (wanted.empty() || (root_.is_host() && !typed.empty())) return {};  // on the host the command line's is in the job already
  auto user = resolve_user(root_, wanted);
  if (!user) return invalid(fmt::format("user {}: {}", in_quotes(wanted), user.error().what));
  job.user = *user;
  return {};
}

Result<void> JobRoot::furnish(RunRequest& request, const RunJob& run, const Progress& progress) {
  Job& job = request.job;
  TRY(add_groups(run, progress));
  if (request_.entrypoint && !request_.entrypoint->empty()) job.argv.insert(job.argv.begin(), *request_.entrypoint);
  TRY(set_environment(job));
  TRY(put_root(job, root_));
  TRY(set_user(job, request.user));
  ConfigUse use = request_.use;
  use.user = use.user && request.user.empty() && request_.user.empty();
  if (!root_.is_host()) {
    if (job.argv.empty() && !use.entrypoint)
      return invalid(fmt::format("no command; write: casemate run --image {} -- COMMAND [ARGUMENT...]", printable_name(root_.image)));
    TRY(take_config(job, root_, use));
  }
  if (root_.is_host()) job.env.merge(image_environment(root_));  // what layers of packages say
  if (job.cwd.empty()) job.cwd = root_.is_host() ? "/app" : "/";
  // What comes in and goes out needs a directory of its own.
  const bool own_directory = !request.inputs.empty() || !request.outputs.empty();
  if (job.cwd == "/" && own_directory && !request.directory_chosen) job.cwd = "/app";
  add_least_environment(job);
  return {};
}

std::vector<std::string> JobRoot::at(std::string_view path) const { return directories_at(root_.layers, path); }

nlohmann::ordered_json JobRoot::to_json() const {
  if (root_.is_host()) return nullptr;
  nlohmann::ordered_json json = {{"name", to_utf8(root_.image)}, {"digest", nullptr}};
  if (!root_.digest.empty()) json["digest"] = root_.digest;
  return json;
}

}  // namespace casemate
