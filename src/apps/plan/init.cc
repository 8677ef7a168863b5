#include "apps/plan/init.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "apps/plan/execution.h"
#include "apps/plan/installed_root.h"
#include "apps/plan/results_directory.h"
#include "base/terminal.h"
#include "command/executors.h"
#include "report/printing.h"
#include "report/pull_progress.h"
#include "testplan/document.h"
#include "testplan/first_plan.h"

namespace casemate {
namespace {

Result<FirstPlan> asked(const PlanRequest& request, const PlanSettings& settings) {
  const auto tell = [](std::string_view line) { say(fmt::format("{}\n", printable_line(line))); };
  PullDisplay display = PullDisplay::on_stderr(false, request.color);
  TRY_ASSIGN(InstalledRoot root, InstalledRoot::open(settings, display.teller()));
  display.clear();
  TRY_ASSIGN(Engine* const engine, root.make_engine(tell));
  if (auto installed = root.install(request.tool, request.flags.install_again, tell, InstalledRoot::Tell()); !installed) {
    say(end_of_log(root.log(), ""));
    return std::unexpected(installed.error());
  }
  const FirstPlanRequest wanted{.tool = request.tool,
                                .install = root.installed().used,
                                .image = request.flags.root.image.value_or(""),
                                .in_docker = settings.executor == "docker"};
  return first_plan(wanted, ask_in_cells(*engine, root.base()));
}

// A plan is completed by hand.
Result<void> check_free(const std::string& path) {
  struct stat info;
  if (path.empty() || path.starts_with("/dev/") || ::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return fail(ErrorCode::invalid_input, fmt::format("{} is there already: name another file, or remove it", printable_name(path)));
}

Result<int> write_first_plan(const PlanRequest& request) {
  TRY(check_free(request.output_file));
  if (!request.output_file.empty()) TRY(check_writable(request.output_file));
  TRY_ASSIGN(const PlanSettings settings, plan_settings(request.flags, {}, {}, "", request.tool));
  TRY(need_executor(settings.executor));
  auto made = asked(request, settings);
  // What the user gave was right; the tool or its source is not.
  if (!made) return refuse_plan(request, made.error(), kOwnFailure);
  for (const std::string& note : made->notes) say(fmt::format("note: {}\n", printable_line(note)));
  const std::string& path = request.output_file;
  const Document document{std::move(made->document), path.ends_with(".json") ? DocumentFormat::json : DocumentFormat::yaml};
  if (path.empty()) return put(kPlanProgram, to_text(document), 0);
  TRY(write_whole(path, to_text(document)));
  say(fmt::format("'casemate plan run {}' runs it\n", printable_name(path)));
  return 0;
}

}  // namespace

int init_plan(const PlanRequest& request) {
  const auto done = write_first_plan(request);
  return done ? *done : refuse_plan(request, done.error(), status_of(done.error()));
}

}  // namespace casemate
