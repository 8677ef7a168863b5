// untrusted_json: JSON that others wrote (an interpreter in a cell, a file that anybody may have changed): how large it is inside is known
// before memory is spent on it, and a member that is missing or of another type is no exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace casemate {

/// How large JSON may be inside.
struct JsonBounds {
  std::size_t depth = 8;
  std::size_t values = 500'000;
};

/// True if `json` is within `bounds`: a line of brackets alone would take 50 times its length in memory, and what is written or freed by
/// recursion would end the stack. Says nothing about whether it is JSON.
[[nodiscard]] bool is_within(std::string_view json, const JsonBounds& bounds);

/// The object that `text` is; nullopt: it is none, or not within `bounds`.
[[nodiscard]] std::optional<nlohmann::json> untrusted_object(std::string_view text, const JsonBounds& bounds = {});

/// The member `key` of `object` if `is` (&nlohmann::json::is_string, ...) says so; null: it is missing, or something else.
[[nodiscard]] const nlohmann::json* member_if(const nlohmann::json& object, const char* key, bool (nlohmann::json::*is)() const noexcept);

/// The text of a member, at most its first `most` bytes; "" if it is no text.
[[nodiscard]] std::string text_at(const nlohmann::json& object, const char* key, std::size_t most = std::string::npos);
/// A member that is a whole number from 0; 0 if it is not.
[[nodiscard]] std::uint64_t number_at(const nlohmann::json& object, const char* key);
/// Whether a member is `true`.
[[nodiscard]] bool true_at(const nlohmann::json& object, const char* key);
/// The texts in a member that is a list: the first `most` of them, of each at most `most_bytes`; what else is in it is passed over.
[[nodiscard]] std::vector<std::string> texts_at(const nlohmann::json& object, const char* key, std::size_t most,
                                                std::size_t most_bytes = std::string::npos);

}  // namespace casemate
