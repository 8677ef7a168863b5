// program: where the witness's program is.
#pragma once

#include <string>

#include "casemate/result.h"

namespace casemate {

/// casemate-witness, beside the program that runs. not_supported: it is not there.
Result<std::string> witness_program();

}  // namespace casemate
