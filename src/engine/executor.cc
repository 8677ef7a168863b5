#include "engine/executor.h"

namespace casemate {

Result<void> Executor::open(Job /*job*/, OpenedContext /*opened*/) {
  return fail(ErrorCode::not_supported, "this executor has no contexts that stay between commands");
}

Result<void> Executor::keep(Job /*job*/, std::string /*key*/, JobListener& /*listener*/, KeptRoot /*kept*/) {
  return fail(ErrorCode::not_supported, "this executor can't keep what a job changed of its root");
}

}  // namespace casemate
