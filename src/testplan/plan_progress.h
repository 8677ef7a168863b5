// plan_progress: what the contexts of one run share: what came of each case, why no more are begun, values that cases take of others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "casemate/engine.h"
#include "casemate/result.h"
#include "testplan/kept_output.h"
#include "testplan/models.h"
#include "testplan/plan_run.h"

namespace casemate {

/// One run of a plan. Entirely passive: sequences (plan_sequence.h) ask and tell it.
class PlanProgress {
 public:
  PlanProgress(Engine& engine, const TestPlan& plan, const PlanRunOptions& options, PlanListener& listener);

  Engine& engine;
  const TestPlan& plan;
  const PlanRunOptions& options;
  PlanListener& listener;
  PlanResult result;
  std::optional<Error> refused;  ///< the options make no sense: run_plan()'s error

  [[nodiscard]] bool cancelled() const { return cancelled_ || engine.cancelled_by_signal() != 0; }
  /// A command was ended by somebody: the run is.
  void cancel() { cancelled_ = true; }
  /// Who runs commands has gone (kExecutorGone): the run ends as if it were cancelled, for this reason.
  void lose(const std::string& why);
  /// No more cases, for this reason.
  void stop(std::string why);
  [[nodiscard]] bool goes_on() const { return !cancelled() && stopped_.empty() && !refused; }

  /// Why a case or step can't be run yet, for a result that it needs: "needs 'a', which failed"; "" if all passed. `own`: of the case that
  /// asks. Ids of set-up steps count as passed.
  [[nodiscard]] std::string lacks(const std::vector<PlanDependency>& needs, const PlanCase* own, const CaseResult* own_result) const;
  /// What all cases but `index` that it needs, also through others, are, in the run's order.
  [[nodiscard]] std::vector<std::size_t> needed_by(std::size_t index) const;

  /// A case ended: tells the listener, gives its values to others, bounds what is kept of its output.
  void finish(std::size_t index, CaseResult ended);
  /// It ended in an earlier run.
  void resume(std::size_t index);
  /// Its outputs are those that others take their values of.
  void take_values(std::size_t index, const CaseResult& ended);
  /// Whether any step of the plan gives that value.
  [[nodiscard]] bool is_value(const std::string& name) const { return variables_.contains(name); }
  /// The value of an Extraction of another case; not_found if that has no output.
  [[nodiscard]] Result<std::string> value_of(const Extraction& value) const;
  /// Puts the steps of a set-up or tear-down into `kept`, unless worse ones are there.
  static void keep_worst(std::vector<StepResult>& kept, const std::vector<StepResult>& now);
  /// What services wrote since: into `kept`, where it is empty.
  static void add_output(std::vector<StepResult>& kept, const std::vector<StepResult>& now);
  /// Gives all that was not run its reason.
  void close();

  std::vector<std::size_t> order;

 private:
  struct Place {
    std::size_t index = 0;
    std::optional<std::size_t> step;
  };
  std::unordered_map<std::string_view, Place> places_;
  std::vector<std::vector<std::size_t>> needs_;
  std::unordered_map<std::string_view, std::vector<const Extraction*>> wanted_;  // by Extraction::of
  std::unordered_map<const Extraction*, Result<std::string>> values_;
  std::set<std::string_view> variables_;  // of all extractions
  std::string stopped_;
  KeptOutput kept_;
  bool cancelled_ = false;
};

}  // namespace casemate
