// json_text: JSON that a user wrote by hand or by program, with the place of what is wrong in it.
#pragma once

#include <string>
#include <string_view>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// The document that `text` is, a byte order mark before it or not. invalid_input: "NAME:LINE:COLUMN: what is wrong" (from 1; columns count
/// bytes) for what is no JSON (NaN and Infinity, which Python writes, among it), a key twice in one object, a whole number beyond 64 bits,
/// more than 64 levels, more than 5,000,000 values. Linear time, whatever the objects' sizes.
Result<Json> json_from(std::string_view text, const std::string& name);

}  // namespace casemate::runtime
