// workflow_command: lines in a log by which a program speaks to a runner of GitHub Actions, and how others are kept from doing so.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace casemate {

/// `text` in which no line is a workflow command: "::" at the beginning of a line (blanks before it too) becomes "\x3a:", and "##[", which
/// older commands may have anywhere in a line, "\x23#[". Everything else stays as it is. Lines end where the runner sees ends: \n, \r.
[[nodiscard]] std::string without_workflow_commands(std::string_view text);

/// The value of a command, behind the second "::": "%", CR and LF as %25, %0D, %0A.
[[nodiscard]] std::string workflow_value(std::string_view text);
/// The value of a command's property: ":" and "," are escaped too.
[[nodiscard]] std::string workflow_property(std::string_view text);

/// "::error file=tests/test_a.py,line=3,title=...::message", one line with a newline, whatever the texts hold. Empty properties are left
/// out; `line` 0 too. `level` is "error", "warning" or "notice".
[[nodiscard]] std::string annotation(std::string_view level, std::string_view file, std::uint32_t line, std::string_view title,
                                     std::string_view message);

}  // namespace casemate
