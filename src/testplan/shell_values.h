// shell_values: values of other commands where a shell reads them.
#pragma once

#include <string>
#include <string_view>

#include "testplan/extraction.h"

namespace casemate {

/// A command line with each {{NAME}} that is in `values` as a reference to the variable NAME, which is in its environment: the shell puts
/// the value there as one piece of text and never reads it as commands, whether the place is bare, within quotes, in a substitution, in
/// arithmetic or in a here-document (POSIX.1-2017, Shell Command Language, 2.2 and 2.7.4). In a here-document whose delimiter is quoted the
/// value itself stands, or, if the delimiter is in it, the placeholder. Others stay. What another program reads as commands again
/// (`sh -c '... {{NAME}}'`) is that program's.
[[nodiscard]] std::string with_references(std::string_view command, const PlanValues& values);

}  // namespace casemate
