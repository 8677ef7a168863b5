// staged_inputs: copies of what --inputs names, so that a command may change its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "casemate/result.h"
#include "command/run_arguments.h"
#include "store/store.h"

namespace casemate {

/// The copies; removed with this.
class StagedInputs {
 public:
  /// Copies `request`'s inputs, makes them the user's, and puts the layer over them (add_work_layer) into its job. `below` are the image's
  /// directories at that place.
  static Result<StagedInputs> make(RunRequest& request, Store& store, const std::vector<std::string>& below);
  /// What was left out, one line each.
  [[nodiscard]] const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  std::unique_ptr<StoreTemp> temp_;
  std::vector<std::string> skipped_;
};

}  // namespace casemate
