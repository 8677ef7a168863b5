// guard: keeps a program under test, which runs as the same user, out of the memory of the interpreters that judge it.
#pragma once

#include <string>
#include <vector>

#include "casemate/result.h"
#include "image/environment.h"
#include "image/interpreter.h"
#include "store/store.h"

namespace casemate {

/// `command`, run by an interpreter that makes itself not dumpable first (prctl(2), PR_SET_DUMPABLE), if it is `python SCRIPT...`; else as
/// it is. The script sees nothing of it.
[[nodiscard]] std::vector<std::string> guarded(std::vector<std::string> command, const std::string& python);

/// The same environment in a layer of its own, made once: each Python that is started from it makes itself not dumpable before it reads
/// a line of anybody's code, whoever starts it and with what variables (not with -S). Programs that it starts are dumpable.
Result<StoreLease> guarded_environment(const Environment& environment, const Interpreter& interpreter, Store& store);

}  // namespace casemate
