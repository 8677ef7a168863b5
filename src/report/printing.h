// printing: what a command that only tells things says on stdout, and what it says on stderr when it can't.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace casemate {

/// The exit status of casemate's own failures.
inline constexpr int kOwnFailure = 125;

/// `text` on stderr, as it is. If it can't be written (a full disk, a reader that went away) nobody can be told: that is no error.
void say(std::string_view text);

/// One line on stderr, "casemate cache: what", made printable; gives `code`.
int complain(std::string_view program, const std::string& what, int code = kOwnFailure);

/// `text` on stdout; gives `code` if it got there, or if its reader has seen enough and left (EPIPE). Else (a full disk) complains and
/// gives kOwnFailure.
int put(std::string_view program, std::string_view text, int code);

/// A document on stdout, indented by two. What is not UTF-8 becomes U+FFFD.
void print_json(const nlohmann::ordered_json& json);

/// Runs `command`, which prints with fmt::print, and gives its exit status as put() does: 0 for a reader that left before the end.
int printed(std::string_view program, const std::function<int()>& command);

}  // namespace casemate
