#include "apps/explain/explain.h"

#include <iterator>
#include <optional>

#include <sched.h>

#include <fmt/format.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "apps/explain/why.h"
#include "base/directories.h"
#include "base/terminal.h"
#include "base/units.h"
#include "cell/plan.h"
#include "command/job_root.h"
#include "command/run_arguments.h"
#include "command/staged_inputs.h"
#include "command/work_layer.h"
#include "report/printing.h"
#include "report/pull_progress.h"
#include "report/table.h"
#include "sys/cgroup.h"
#include "sys/seccomp.h"

namespace casemate {
namespace {

constexpr const char* kProgram = "casemate explain";

using Json = nlohmann::ordered_json;

std::vector<std::string> namespace_names(std::uint64_t flags) {
  constexpr std::pair<std::uint64_t, const char*> kNames[] = {{CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mount"}, {CLONE_NEWPID, "pid"},
                                                              {CLONE_NEWIPC, "ipc"},   {CLONE_NEWUTS, "uts"},  {CLONE_NEWNET, "net"}};
  std::vector<std::string> names;
  for (const auto& [flag, name] : kNames) {
    if (flags & flag) names.emplace_back(name);
  }
  names.emplace_back("cgroup");  // unshared by enter_cgroups
  return names;
}

/// A limit, its value, and who holds it on this host.
struct HeldLimit {
  std::string name;
  std::string value;
  std::string held_by;
};

std::vector<HeldLimit> held_limits(const Limits& limits, const CgroupSupport& support) {
  std::vector<HeldLimit> rows;
  const auto by = [&](bool controller, const char* otherwise) {
    return controller ? std::string("cgroup") : fmt::format("{} ({})", otherwise, support.reason);
  };
  if (limits.memory_bytes) rows.push_back({"memory", format_bytes(*limits.memory_bytes), by(support.memory, "watchdog")});
  if (limits.pids)
    rows.push_back({"pids", std::to_string(*limits.pids), support.pids ? "cgroup and RLIMIT_NPROC" : by(false, "RLIMIT_NPROC")});
  if (limits.cpus) rows.push_back({"cpus", fmt::format("{}", *limits.cpus), support.cpu ? "cgroup" : "nothing: the job will be refused"});
  if (limits.wall) rows.push_back({"wall time", format_duration(*limits.wall), "engine timer"});
  if (limits.cpu_time) rows.push_back({"cpu time", format_duration(*limits.cpu_time), "watchdog in init and RLIMIT_CPU"});
  if (limits.output_bytes) rows.push_back({"output", format_bytes(*limits.output_bytes), "engine"});
  if (limits.disk_bytes) rows.push_back({"disk", format_bytes(*limits.disk_bytes), "size of each tmpfs"});
  if (limits.disk_inodes) rows.push_back({"inodes", std::to_string(*limits.disk_inodes), "nr_inodes of each tmpfs"});
  if (limits.open_files) rows.push_back({"open files", std::to_string(*limits.open_files), "RLIMIT_NOFILE"});
  if (limits.file_bytes) rows.push_back({"file size", format_bytes(*limits.file_bytes), "RLIMIT_FSIZE"});
  rows.push_back({"core dumps", "0", "RLIMIT_CORE"});
  return rows;
}

std::string map_words(const std::vector<HostFacts::IdMap>& map) {
  std::string text;
  for (const auto& row : map)
    text += fmt::format("{}{}-{} are {}-{} of the host", text.empty() ? "" : ", ", row.inside, row.inside + row.count - 1, row.outside,
                        row.outside + row.count - 1);
  return text;
}

Json steps_json(const std::vector<Step>& steps, const Plan& plan) {
  Json list = Json::array();
  for (const Step& step : steps) list.push_back({{"op", word(step.op)}, {"words", to_utf8(describe(step, plan))}});
  return list;
}

Json plan_json(const Job& job, const Plan& plan, const HostFacts& host, const CgroupSupport& support) {
  Json object;
  object["command"] = Json::array();
  for (const std::string& part : job.argv) object["command"].push_back(to_utf8(part));
  object["image"] = job.image;
  object["namespaces"] = namespace_names(plan.namespaces);
  object["uid_map"] = map_words(host.uid_map);
  object["gid_map"] = map_words(host.gid_map);
  object["host_trees"] = Json::array();
  for (const Source& source : plan.sources) {
    object["host_trees"].push_back({{"path", to_utf8(source.path)},
                                    {"read_only", source.read_only},
                                    {"owners_shifted", source.idmapped},
                                    {"opened_by", host.privileged ? "engine" : "cell"}});
  }
  object["limits"] = Json::array();
  for (const HeldLimit& row : held_limits(job.limits, support))
    object["limits"].push_back({{"limit", row.name}, {"value", row.value}, {"held_by", row.held_by}});
  object["cell"] = steps_json(plan.cell, plan);
  object["job"] = steps_json(plan.job, plan);
  object["seccomp"] = describe(plan.profile);
  return object;
}

void add_steps(std::string& text, const std::vector<Step>& steps, const Plan& plan) {
  int number = 0;
  for (const Step& step : steps) fmt::format_to(std::back_inserter(text), "  {:>3}  {}\n", ++number, describe(step, plan));
}

std::string plan_text(const Job& job, const Plan& plan, const HostFacts& host, const CgroupSupport& support) {
  std::string text;
  const auto to = std::back_inserter(text);
  fmt::format_to(to, "Command:    ");
  for (const std::string& part : job.argv) fmt::format_to(to, " {}", printable_name(part));
  fmt::format_to(to, "\nImage:       {}\n", printable_name(job.image));
  fmt::format_to(to, "Namespaces:  {}\n", fmt::join(namespace_names(plan.namespaces), " "));
  fmt::format_to(to, "User ids:    {}\n", map_words(host.uid_map));
  fmt::format_to(to, "Group ids:   {}\n", map_words(host.gid_map));
  fmt::format_to(to, "\nShown of the host ({}):\n", host.privileged ? "opened by the engine" : "opened by the cell's first process");
  for (const Source& source : plan.sources)
    fmt::format_to(to, "  {}{}{}\n", printable_name(source.path), source.read_only ? "  read-only" : "  WRITABLE",
                   source.idmapped ? ", owners shifted" : "");
  fmt::format_to(to, "\nLimits:\n");
  for (const HeldLimit& row : held_limits(job.limits, support))
    fmt::format_to(to, "  {:<11} {:<12} held by {}\n", row.name, row.value, row.held_by);
  fmt::format_to(to, "\nThe cell's first process (pid 1, the init):\n");
  add_steps(text, plan.cell, plan);
  fmt::format_to(to, "\nThe job's process:\n");
  add_steps(text, plan.job, plan);
  fmt::format_to(to, "\nSystem calls (profile {}):\n", plan.profile == Profile::strict ? "strict" : "default");
  for (const std::string& line : describe(plan.profile)) fmt::format_to(to, "  {}\n", line);
  return text;
}

// Nothing is run and nothing is fetched unless --pull says so: what is not there is told.
Result<JobRoot> open_root(RunRequest& request) {
  PullDisplay display = PullDisplay::on_stderr(request.json);
  if (!request.root->policy_chosen) request.root->pull.policy = PullOptions::Policy::never;
  request.root->lock_grows = false;
  auto opened = JobRoot::open(*request.root, display.teller());
  if (!opened) {
    Error error = opened.error();
    if (error.code == ErrorCode::not_found && !request.root->policy_chosen &&
        request.root->image.kind != ImageReference::Kind::root_directory)
      error.what += fmt::format("; explain gets none by itself: 'casemate image pull {}' first, or --pull missing",
                                printable_name(to_text(request.root->image)));
    return std::unexpected(std::move(error));
  }
  JobRoot root = std::move(*opened);
  const RunJob run = [](const Job&, const auto&) -> Result<JobResult> {
    return fail(ErrorCode::not_supported, "explain runs nothing, and this layer is yet to be made by a command: 'casemate run' makes it");
  };
  TRY(root.furnish(request, run, [](std::string_view) {}));
  return root;
}

// Needs the inputs as the job would have them.
int explain_why(RunRequest& request, JobRoot* root) {
  std::optional<Store> own;
  Store* store = root ? root->store() : nullptr;
  if (!store) {
    auto opened = Store::open();
    if (!opened) return complain(kProgram, opened.error().what);
    store = &own.emplace(std::move(*opened));
  }
  const std::vector<std::string> below = root ? root->at(request.job.cwd) : std::vector<std::string>();
  std::optional<StagedInputs> staged;
  if (request.inputs.empty()) {
    if (const auto layered = add_work_layer(request, "", below); !layered) return complain(kProgram, layered.error().what);
  } else {
    auto made = StagedInputs::make(request, *store, below);
    if (!made) return complain(kProgram, made.error().what);
    staged = std::move(*made);
  }
  return tell_why(request.job, *store, request.remote ? &*request.remote : nullptr, request.json);
}

}  // namespace

int explain_main(const std::vector<std::string>& arguments) {
  ParsedRun parsed = parse_run(arguments, kProgram);
  if (parsed.stop) {
    if (parsed.exit_status == 0) return put(kProgram, parsed.text + "\n", 0);
    say(printable_line(parsed.text) + "\n");
    return parsed.exit_status;
  }
  if (parsed.request.why && is_of_tests(parsed.request.job.argv)) return tell_why_of_tests(parsed.request.job.argv, parsed.request.json);
  // Its layers must not go while the plan is made of them.
  std::optional<JobRoot> root;
  if (parsed.request.root) {
    auto opened = open_root(parsed.request);
    if (!opened) return complain(kProgram, opened.error().what);
    root = std::move(*opened);
  }
  if (parsed.request.why) return explain_why(parsed.request, root ? &*root : nullptr);
  // The copies of the inputs are made when the job is run; here stands where they would lie.
  const std::string staged = parsed.request.inputs.empty() ? "" : cache_directory() + "/tmp/<this run>/inputs";
  const std::vector<std::string> below = root ? root->at(parsed.request.job.cwd) : std::vector<std::string>();
  if (const auto layered = add_work_layer(parsed.request, staged, below); !layered) return complain(kProgram, layered.error().what);
  Job& job = parsed.request.job;
  HostFacts host = read_host_facts();
  resolve_sources(job, host);
  const auto plan = compile(job, host);
  if (!plan) return complain(kProgram, plan.error().what);
  const CgroupSupport support = open_cgroups()->support();
  if (parsed.request.json)
    return put(kProgram, plan_json(job, *plan, host, support).dump(2, ' ', false, Json::error_handler_t::replace) + "\n", 0);
  return put(kProgram, plan_text(job, *plan, host, support), 0);
}

}  // namespace casemate
