// kept_run: what --cache does around a run: looks whether its result is known, and keeps it.
#pragma once

#include <optional>
#include <string>

#include "action/job_inputs.h"
#include "action/result_cache.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "store/store.h"

namespace casemate {

/// One job with the digest of its inputs.
class KeptRun {
 public:
  /// Reads the inputs of the job and records them for `explain --why`. `store` must live as long. Errors say why results of this job can't
  /// be kept.
  static Result<KeptRun> look(const Job& job, Store& store);
  /// The result, if it is known; its files are delivered then.
  Result<std::optional<KeptResult>> find();
  /// Keeps it; "" or why that was not done, in words for a person.
  std::string keep(const JobResult& result);

 private:
  KeptRun(const Job& job, Store& store, JobInputs inputs) : job_(&job), results_(store), inputs_(std::move(inputs)) {}
  const Job* job_;
  ResultCache results_;
  JobInputs inputs_;
};

}  // namespace casemate
