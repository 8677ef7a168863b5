#include "apps/run/kept_run.h"

#include <fmt/format.h>

#include "action/input_history.h"
#include "base/shell_words.h"
#include "store/place.h"

namespace casemate {

Result<KeptRun> KeptRun::look(const Job& job, Store& store) {
  InputTrees trees(store.directory());
  TRY_ASSIGN(JobInputs inputs, inputs_of(job, trees));
  TRY_ASSIGN(const std::string here, absolute_path("."));
  InputHistory(store.directory()).record(here, job.argv, inputs);
  return KeptRun(job, store, std::move(inputs));
}

Result<std::optional<KeptResult>> KeptRun::find() { return results_.find(inputs_.action, job_->collect_to); }

std::string KeptRun::keep(const JobResult& result) {
  if (std::string why = why_not_kept(result); !why.empty()) return result.outcome.succeeded() ? why : "";
  const auto kept = results_.keep(inputs_.action, result, job_->collect_to, fmt::format("result: {}", join_shell_words(job_->argv)));
  return kept ? "" : kept.error().what;
}

}  // namespace casemate
