// Theory of operation. Each group of cases is a sequence (plan_sequence.h): a task that waits for what its context brings. Callbacks of
// contexts only note what came; the loop here lets sequences go on after a turn of the engine, so that they may end a context without being
// called by it. Nothing blocks but the end of a context.
#include "testplan/plan_run.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "testplan/plan_order.h"
#include "testplan/plan_progress.h"
#include "testplan/plan_sequence.h"

namespace casemate {
namespace {

using Clock = std::chrono::system_clock;

std::int64_t now_ms() { return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch()).count(); }

Result<void> run_groups(PlanProgress& progress, std::vector<std::vector<std::size_t>> groups) {
  const std::size_t most = std::max(1U, progress.options.parallel);
  std::deque<std::vector<std::size_t>> waiting(std::make_move_iterator(groups.begin()), std::make_move_iterator(groups.end()));
  std::vector<std::unique_ptr<PlanSequence>> running;
  for (;;) {
    std::erase_if(running, [](const auto& sequence) { return sequence->done(); });
    while (running.size() < most && !waiting.empty() && progress.goes_on()) {
      running.push_back(std::make_unique<PlanSequence>(progress, std::move(waiting.front())));
      waiting.pop_front();
      running.back()->begin();
    }
    if (running.empty() && (waiting.empty() || !progress.goes_on())) return {};
    bool went_on = false;
    for (const auto& sequence : running) went_on |= sequence->done() || sequence->proceed();
    if (!went_on) TRY(progress.engine.turn(std::chrono::seconds(60)));
  }
}

// The beginning of an id, of characters that mean nothing to anybody.
std::string as_file_name(std::string_view id) {
  constexpr std::size_t kMost = 100;
  std::string name(id.substr(0, kMost));
  for (char& byte : name) {
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '-' ||
                       byte == '_' || byte == '.';
    if (!plain) byte = '_';
  }
  return name;
}

}  // namespace

std::string case_directory(const TestPlan& plan, std::size_t index) {
  return fmt::format("{:03}-{}", index + 1, as_file_name(plan.cases[index].id));
}

std::string step_directory(const PlanCase& one, std::size_t at) { return fmt::format("{:02}-{}", at + 1, as_file_name(one.steps[at].id)); }

Result<PlanResult> run_plan(Engine& engine, const TestPlan& plan, const PlanRunOptions& options, PlanListener& listener) {
  const auto began = std::chrono::steady_clock::now();
  PlanProgress progress(engine, plan, options, listener);
  progress.result.started_ms = now_ms();
  progress.result.executor = options.base.executor.empty() ? "native" : options.base.executor;
  progress.result.image = options.base.image;
  std::vector<std::vector<std::size_t>> groups;
  if (options.parallel > 1)
    groups = case_groups(plan, progress.order, options.times);
  else if (!progress.order.empty())
    groups.push_back(progress.order);
  TRY(run_groups(progress, std::move(groups)));
  if (progress.refused) return std::unexpected(*progress.refused);
  progress.close();
  progress.result.took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began);
  return std::move(progress.result);
}

}  // namespace casemate
