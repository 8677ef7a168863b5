#include "session/executors.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "engine/executor.h"
#include "engine/run_job.h"
#include "report/sending_teller.h"
#include "warm/alone.h"

namespace casemate {

SessionSlots slots_of(const PytestRequest& request) {
  const std::size_t here = slots_here(request);
  if (request.remote && (!request.group_time || request.group_time->count() > 0))
    return {.cells = request.slots, .groups = request.remote_slots};
  if (request.remote) return {.cells = request.remote_slots};
  if (request.group_time && request.group_time->count() > 0) return {.groups = here};
  return {.cells = here};
}

std::size_t slots_here(const PytestRequest& request) {
  return request.slots > 0 ? request.slots : std::max(1u, std::thread::hardware_concurrency());
}

void Executors::leave_groups() { slots_ = {.cells = slots_here(request_)}; }

Result<void> Executors::add_groups(std::size_t container, const Furnishing& made) {
  auto added = engine_.add_executor(name_of_groups(container), [&](Reactor& reactor) { return alone(reactor, made); }, slots_.groups);
  if (added || !may_fall_back()) return added;
  ears_.note(added.error().what + ": the tests run here");
  leave_groups();
  return {};
}

Result<std::size_t> Executors::of(std::size_t container) {
  for (const auto& [other, furnishing] : furnished_) {
    if (can_share_parents(directives_.container(other), directives_.container(container))) return other;
  }
  const FurnishingContext context{.request = request_,
                                  .active = active_python_,
                                  .directory = directives_.directory().empty() ? request_.directory : directives_.directory(),
                                  .run = run_jobs_on(engine_),
                                  .tell = ears_.pull,
                                  .progress = ears_.progress};
  auto furnished = ears_.furnish ? ears_.furnish() : furnish(directives_.container(container), context);
  TRY_ASSIGN(Furnishing made, std::move(furnished));
  for (const std::string& note : made.notes) ears_.note(note);
  made.request.cells_ahead = slots_.cells + 1;
  if (made.elsewhere) {
    made.elsewhere->progress = ears_.progress;
    made.elsewhere->outage = [this](std::string_view line, bool stays) {
      if (stays || line.empty() || ::isatty(STDOUT_FILENO) == 1) ears_.progress(line);
    };
    const auto sending = std::make_shared<SendingTeller>(SendingTeller::Style::events, ears_.progress);
    made.elsewhere->sending = [sending](const SendingProgress& progress) { sending->tell(progress); };
  }
  const bool groups = slots_.groups > 0;
  if (groups) TRY(add_groups(container, made));
  if (!groups || slots_.cells > 0 || may_fall_back())
    TRY(engine_.add_executor(name_of_cells(container), [&](Reactor& reactor) -> Result<std::unique_ptr<Executor>> {
      auto executor = made.elsewhere && !groups ? alone(reactor, made) : make_warm_executor(reactor, made.request);
      if (executor) cells_[container] = executor->get();
      return executor;
    }));
  if (made.packages) TRY(install_packages(engine_, name_of_collecting(container), made, ears_.progress));
  furnished_.emplace(container, std::move(made));
  return container;
}

// In containers, or whatever has its place, of another executor.
Result<std::unique_ptr<WarmExecutor>> Executors::alone(Reactor& reactor, const Furnishing& made) {
  if (!store_) {
    TRY_ASSIGN(store_, Store::open());
  }
  TRY_ASSIGN(std::unique_ptr<StoreTemp> directory, store_->make_temp());
  auto others = made.elsewhere ? make_executor(reactor, *made.elsewhere) : make_native_executor(reactor);
  if (!others) return fail(ErrorCode::system, others.error().what);  // not the user's mistake
  shown_.push_back(std::move(directory));
  // What an image lacks its user is told (what_is_missing()).
  const bool on_workers = request_.remote && made.request.parent.root.empty();
  return make_alone_executor(std::move(*others), made.request, shown_.back()->path(), on_workers);
}

WarmExecutor* Executors::cells(std::size_t number) const {
  const auto found = cells_.find(number);
  return found == cells_.end() ? nullptr : found->second;
}

std::string Executors::name_of_cells(std::size_t number) { return fmt::format("warm {}", number); }
std::string Executors::name_of_groups(std::size_t number) { return fmt::format("groups {}", number); }
std::string Executors::name_of_collecting(std::size_t number) const {
  return slots_.cells > 0 ? name_of_cells(number) : name_of_groups(number);
}

}  // namespace casemate
