#include "apps/plan/run_keeper.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "apps/plan/case_record.h"
#include "base/terminal.h"
#include "base/units.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::uint64_t kLongestFile = 16u << 20;
constexpr std::uint64_t kMostFiles = 256u << 20;  // bytes of a run's files that the database keeps

}  // namespace

void RunKeeper::case_started(std::size_t index) {
  if (directory_) directory_->begin_case(plan_, index);
  const TestCase test = test_result(told_, plan_.cases[index], CaseResult()).test;
  events_.started(test);
}

void RunKeeper::case_finished(std::size_t index, const CaseResult& result) {
  if (!recording_) {
    keep(index, result, {});
    return tell(index, result);
  }
  CaseResult compared = result;
  compared.difference = compare_case(plan_.cases[index], *recording_, mode_, normaliser_, compared);
  keep(index, compared, {});
  tell(index, compared);
  for (StepResult& step : compared.steps) step.out = step.err = "";
  compared_[index] = std::move(compared);
}

void RunKeeper::resumed(std::size_t index, const CaseResult& result, std::vector<PlanArtifact> files) {
  keep(index, result, std::move(files));
  tell(index, result);
}

void RunKeeper::note(std::string_view line) {
  notes_.emplace_back(line);
  events_.note(line);
}

void RunKeeper::settle(PlanResult& result) const {
  for (const auto& [index, compared] : compared_) {
    CaseResult& one = result.cases[index];
    one.status = compared.status;
    one.reason = compared.reason;
    one.difference = compared.difference;
    for (std::size_t at = 0; at < one.steps.size() && at < compared.steps.size(); ++at) {
      one.steps[at].status = compared.steps[at].status;
      one.steps[at].reason = compared.steps[at].reason;
    }
  }
}

void RunKeeper::keep(std::size_t index, const CaseResult& result, std::vector<PlanArtifact> files) {
  Result<void> kept = keep_in_directory(index, result, files);
  if (auto added = add_to_history(index, result, std::move(files)); kept && !added) kept = added;
  if (kept || !trouble_.empty()) return;
  trouble_ = fmt::format("not all of this run could be kept: {}", kept.error().what);
  notes_.push_back(trouble_);
}

Result<void> RunKeeper::keep_in_directory(std::size_t index, const CaseResult& result, const std::vector<PlanArtifact>& files) {
  if (!directory_) return {};
  TRY(directory_->end_case(plan_, index, result, normaliser_));
  for (const PlanArtifact& file : files) {
    TRY_ASSIGN(const std::string bytes, history_->read(file.digest));
    TRY(directory_->add_file(plan_, index, file.path, bytes));
  }
  return {};
}

// `files`: kept before; else those in the directory.
Result<void> RunKeeper::add_to_history(std::size_t index, const CaseResult& result, std::vector<PlanArtifact> files) {
  if (!history_) return {};
  TRY_ASSIGN(CaseRecord record, record_of(plan_.cases[index], result, *history_));
  if (directory_ && files.empty()) {
    for (const ResultsDirectory::File& file : directory_->files(plan_, index)) {
      if (file.bytes > kLongestFile || kept_files_ + file.bytes > kMostFiles) {
        if (!std::exchange(files_left_out_, true))
          note(fmt::format("the database keeps files of at most {}, and {} of a run: others, as {} of '{}', are in --output alone",
                           format_bytes(kLongestFile), format_bytes(kMostFiles), printable_name(file.cell),
                           printable_name(plan_.cases[index].id)));
        continue;
      }
      TRY_ASSIGN(const std::string bytes, read_file(file.host, kLongestFile));
      TRY_ASSIGN(std::string digest, history_->keep(bytes));
      kept_files_ += bytes.size();
      files.push_back({plan_.cases[index].id, "", "file", file.cell, std::move(digest), bytes.size()});
    }
  }
  std::move(files.begin(), files.end(), std::back_inserter(record.artifacts));
  return history_->add_case(run_, record.row, record.artifacts);
}

void RunKeeper::tell(std::size_t index, const CaseResult& result) {
  unsigned attempts = 1;
  for (const StepResult& step : result.steps) attempts = std::max(attempts, step.attempts);
  events_.finished(test_result(told_, plan_.cases[index], result), attempts);
}

}  // namespace casemate
