// container_run: a script in a container of another executor: its packages are installed in one that is kept for later runs, as the
// document's own runner has it, but once.
#pragma once

#include <functional>
#include <string_view>

#include "apps/script/arguments.h"
#include "apps/script/report.h"
#include "apps/script/staged.h"
#include "casemate/engine.h"
#include "engine/executor.h"

namespace casemate {

/// The image that a script runs on there: the one that was named, else Python's own of the wanted version (3.11 if none is).
[[nodiscard]] std::string script_image(const ScriptRequest& request);

/// Installs and runs. `results` is the directory that gets the files; `progress` hears lines for people, `listener` the script's output.
ScriptReport run_in_container(Engine& engine, Executor& executor, const ScriptRequest& request, const Staged& staged,
                              const std::string& results, JobListener& listener, const std::function<void(std::string_view)>& progress);

/// What this failure of an executor is in the document's words.
[[nodiscard]] ScriptReport daemon_failure(const Error& error);

}  // namespace casemate
