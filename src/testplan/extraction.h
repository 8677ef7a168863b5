// extraction: values out of one command's output into later ones.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "testplan/models.h"

namespace casemate {

using PlanValues = std::map<std::string, std::string>;

/// At most 64 KiB. not_found: the pattern is nowhere in it; invalid_input: no pattern of RE2.
Result<std::string> extract(const Extraction& extraction, std::string_view output);
/// A {{NAME}} of a value.
struct Placeholder {
  std::size_t length = 0;
  PlanValues::const_iterator value;
};
/// The placeholder that begins at text[at], if one of `values` does.
[[nodiscard]] std::optional<Placeholder> placeholder_at(std::string_view text, std::size_t at, const PlanValues& values);
/// `text` with each placeholder replaced by its value. Others stay; for what a shell reads: with_references() (testplan/shell_values.h).
[[nodiscard]] std::string with_values(std::string_view text, const PlanValues& values);
/// The NAMEs of the {{NAME}}s in a text, those that could be a variable's (is_variable_name()).
[[nodiscard]] std::vector<std::string> value_names(std::string_view text);
/// The same of a step's command, input and environment.
[[nodiscard]] std::vector<std::string> value_names(const PlanStep& step);

}  // namespace casemate
