// extraction: values out of one command's output into later ones.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "testplan/models.h"

namespace casemate {

using PlanValues = std::map<std::string, std::string>;

/// At most 64 KiB. not_found: the pattern is nowhere in it; invalid_input: no pattern of RE2.
Result<std::string> extract(const Extraction& extraction, std::string_view output);
/// `text` with each {{NAME}} that is in `values` replaced, quoted for a shell where `quoted`. Others stay.
[[nodiscard]] std::string with_values(std::string_view text, const PlanValues& values, bool quoted);
/// The NAMEs of the {{NAME}}s in a text, those that could be a variable's (is_variable_name()).
[[nodiscard]] std::vector<std::string> value_names(std::string_view text);
/// The same of a step's command, input and environment.
[[nodiscard]] std::vector<std::string> value_names(const PlanStep& step);

}  // namespace casemate
