// printing: what a command that only tells things says on stdout, and what it says on stderr when it can't.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace casemate {

/// The exit status of casemate's own failures.
inline constexpr int kOwnFailure = 125;

/// One line on stderr, "casemate cache: what", made printable; gives `code`.
int complain(std::string_view program, const std::string& what, int code = kOwnFailure);

/// A document on stdout, indented by two. What is not UTF-8 becomes U+FFFD.
void print_json(const nlohmann::ordered_json& json);

/// Runs `command`, which prints with fmt::print, and gives its exit status if all that it printed got out; else (a full disk, a closed
/// pipe) complains and gives kOwnFailure.
int printed(std::string_view program, const std::function<int()>& command);

}  // namespace casemate
