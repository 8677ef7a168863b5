#include "command/staged_inputs.h"

#include "command/work_layer.h"
#include "image/staging.h"

namespace casemate {

Result<StagedInputs> StagedInputs::make(RunRequest& request, Store& store, const std::vector<std::string>& below) {
  StagedInputs made;
  TRY_ASSIGN(made.temp_, store.make_temp());
  TRY_ASSIGN(Staging staging, Staging::create(made.temp_->path() + "/inputs", request.job.cwd));
  for (const std::string& input : request.inputs) TRY(staging.add("--inputs", input, true));
  made.skipped_ = staging.take_skipped();
  TRY(give_to(request.job.user, staging.directory()));
  TRY(add_work_layer(request, staging.directory(), below));
  return made;
}

}  // namespace casemate
