// kept_run: what --cache does around a job of a command line: looks whether its result is known, and keeps it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "action/job_inputs.h"
#include "action/result_cache.h"
#include "casemate/engine.h"
#include "casemate/job.h"
#include "casemate/outcome.h"
#include "command/remote_options.h"
#include "store/store.h"

namespace casemate {

/// What the result of a job on this engine depends on besides the job: which engine, and which of its workers. Nothing that is secret.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> engine_words(const RemoteChoice& engine);

/// One job with the digest of its inputs.
class KeptRun {
 public:
  /// Reads the inputs of the job, as it would run on `engine` (nullptr: here), and records them for `explain --why`. `store` and `job` must
  /// live as long. Errors say why results of this job can't be kept.
  static Result<KeptRun> look(const Job& job, Store& store, const RemoteChoice* engine, InputFilter without = {});
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

/// The output of another time, to who hears a run: where stdout and stderr are one place, in the order in which it came.
void pass_on(const Output& output, JobListener& listener);

}  // namespace casemate
