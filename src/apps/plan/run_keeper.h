// run_keeper: who hears a plan run: keeps each case in the database and in files as soon as it has ended, compares it where that was asked
// for, and tells the displays.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/plan/plan_events.h"
#include "apps/plan/recording.h"
#include "apps/plan/results_directory.h"
#include "store/plan_history.h"
#include "testplan/plan_run.h"
#include "testplan/plan_sinks.h"

namespace casemate {

/// Outlives the run. What can't be kept is told once, as a note: the run goes on.
class RunKeeper final : public PlanListener {
 public:
  RunKeeper(const TestPlan& plan, const Normaliser& normaliser, PlanEvents& events, PlanReportRun told)
      : plan_(plan), normaliser_(normaliser), events_(events), told_(std::move(told)) {}

  void keep_in(PlanHistory& history, std::string run) {
    history_ = &history;
    run_ = std::move(run);
  }
  void write_to(const ResultsDirectory& directory) { directory_ = &directory; }
  void compare_with(const Recording& recording, CompareMode mode) {
    recording_ = &recording;
    mode_ = mode;
  }

  void case_started(std::size_t index) override;
  void case_finished(std::size_t index, const CaseResult& result) override;
  void note(std::string_view line) override;
  /// A case that ended in an earlier run, with the files that were kept of it.
  void resumed(std::size_t index, const CaseResult& result, std::vector<PlanArtifact> files);

  /// Puts what comparing came to into the result of the whole.
  void settle(PlanResult& result) const;
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// Why not all of the run could be kept (a full disk): the first reason, "" if there is none.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] const PlanReportRun& told() const { return told_; }

 private:
  void keep(std::size_t index, const CaseResult& result, std::vector<PlanArtifact> files);
  Result<void> keep_in_directory(std::size_t index, const CaseResult& result, const std::vector<PlanArtifact>& files);
  Result<void> add_to_history(std::size_t index, const CaseResult& result, std::vector<PlanArtifact> files);
  void tell(std::size_t index, const CaseResult& result);

  const TestPlan& plan_;
  const Normaliser& normaliser_;
  PlanEvents& events_;
  PlanReportRun told_;
  PlanHistory* history_ = nullptr;
  std::string run_;
  const ResultsDirectory* directory_ = nullptr;
  const Recording* recording_ = nullptr;
  CompareMode mode_ = CompareMode::exact;
  std::map<std::size_t, CaseResult> compared_;  // without outputs
  std::vector<std::string> notes_;
  std::uint64_t kept_files_ = 0;
  std::string trouble_;
  bool files_left_out_ = false;
};

}  // namespace casemate
