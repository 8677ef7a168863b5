// options: the table of `casemate script`'s options; what arguments.cc parses and usage.cc prints.
#pragma once

#include <span>

#include "apps/script/arguments.h"
#include "command/argparse.h"

namespace casemate {

/// One option of `casemate script`.
using ScriptOption = CommandOption<ScriptRequest>;

/// All options, those of py_test_runner.py first and in its order.
[[nodiscard]] std::span<const ScriptOption> script_options();

}  // namespace casemate
