// plan_sequence: cases that run one after the other in one context (or each in its own), from its set-up to its tear-down.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "casemate/engine.h"
#include "casemate/outcome.h"
#include "engine/context.h"
#include "testplan/extraction.h"
#include "testplan/models.h"
#include "testplan/plan_progress.h"
#include "testplan/task.h"

namespace casemate {

/// Driven by run_plan(): begin(), then proceed() after each turn of the engine, until done(). The destructor ends what runs.
class PlanSequence {
 public:
  PlanSequence(PlanProgress& progress, std::vector<std::size_t> cases) : progress_(progress), cases_(std::move(cases)) {}
  PlanSequence(const PlanSequence&) = delete;
  PlanSequence& operator=(const PlanSequence&) = delete;
  ~PlanSequence() { context_.reset(); }  // before the task, whose frames hear it
  void begin();
  /// Goes on with what has come; true if anything had.
  bool proceed();
  [[nodiscard]] bool done() const { return life_ && life_->done(); }

 private:
  // What callbacks bring; theirs as well, for they may come after us.
  struct Brought {
    Arrival arrival;
    std::optional<JobResult> ended;
    std::optional<Result<std::unique_ptr<Context>>> opened;
    std::optional<Result<JobResult>> collected;
  };
  // Whose output a command's is.
  struct Heard {
    std::optional<std::size_t> index;  // of a case; nullopt: nobody hears it
    std::size_t step = 0;
  };
  // A service that a step started.
  struct Service {
    std::string step;             // its id
    std::string name;             // as_service()'s
    std::optional<int> expected;  // unset: any
    bool ended = false;
  };
  // What a case or step needs and hasn't.
  struct Lack {
    std::string why;  // "" if all is there
    PlanStatus status = PlanStatus::skipped;
  };
  // The steps that a step may look back on.
  struct Before {
    const PlanCase* one = nullptr;  // nullptr: set-up or tear-down
    const CaseResult* ended = nullptr;
    const StepResult* last = nullptr;  // the last command's
  };

  PlanTask<bool> life();
  PlanTask<bool> open_fresh();
  PlanTask<bool> close();
  PlanTask<std::vector<StepResult>> global_steps(const std::vector<PlanStep>& steps, bool all);

  PlanTask<bool> one_case(std::size_t index);
  PlanTask<CaseResult> attempts(std::size_t index);
  PlanTask<CaseResult> attempt(std::size_t index, bool heard);
  PlanTask<std::string> catch_up(std::size_t index);
  PlanTask<bool> collect(std::size_t index, const CaseResult& ended);

  PlanTask<StepResult> step(const PlanStep& step, Heard heard, Before before);
  PlanTask<bool> hear_services(const std::vector<PlanStep>& steps, std::vector<StepResult>& results);
  PlanTask<std::string> hear_service(Service& service, StepResult* result);
  PlanTask<bool> say_ended_services();
  PlanTask<bool> try_step(const PlanStep& step, Heard heard, StepResult& result);
  PlanTask<Lack> missing(const std::vector<PlanDependency>& needs);
  PlanTask<std::vector<bool>> present(const std::vector<std::string>& files);
  PlanTask<std::vector<std::string>> contents(const std::vector<ExpectedContent>& files);
  PlanTask<JobResult> command(ContextCommand command, Heard heard);
  PlanTask<JobResult> look(std::string script, std::uint64_t most = 64 << 10);

  Result<void> take_from_others(const PlanStep& step, const Before& before, StepResult& result);
  void take_own(const PlanStep& step, StepResult& result) const;
  void remember(const StepResult& result);
  [[nodiscard]] bool alive() const { return context_ && context_->alive(); }

  PlanProgress& progress_;
  std::vector<std::size_t> cases_;
  std::shared_ptr<Brought> brought_ = std::make_shared<Brought>();
  std::unique_ptr<Context> context_;
  std::string open_problem_;       // why there is no context
  std::string setup_problem_;      // why this context is of no use
  std::vector<StepResult> setup_;  // of this context
  std::set<std::size_t> present_;  // cases that ran in this context, and passed
  PlanValues values_;              // that steps have given, the latest of each name
  std::vector<Service> running_;   // that this context's steps started
  bool has_services_ = false;
  bool crowded_ = false;  // a command hit the limit on processes: those that are left may take all the places
  unsigned opened_ = 0, lost_ = 0, started_services_ = 0;
  std::optional<PlanTask<bool>> life_;  // last: it ends first
};

}  // namespace casemate
