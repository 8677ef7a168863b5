#include "base/untrusted_json.h"

#include <cstring>

namespace casemate {
namespace {

using Json = nlohmann::json;

}  // namespace

bool is_within(std::string_view json, const JsonBounds& bounds) {
  std::size_t depth = 0;
  std::size_t values = 0;
  const char* at = json.data();
  const char* const end = at + json.size();
  while (at != end) {
    switch (*at++) {
      case '"':
        // To the quote that no odd number of backslashes precedes.
        for (;;) {
          const auto* quote = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)));
          if (!quote) return true;  // no JSON: the parser says so
          const char* before = quote;
          while (before != at && before[-1] == '\\') --before;
          at = quote + 1;
          if ((quote - before) % 2 == 0) break;
        }
        break;
      case '[':
      case '{':
        if (++depth > bounds.depth) return false;
        break;
      case ']':
      case '}':
        if (depth == 0) return true;  // no JSON either
        --depth;
        break;
      case ',':
        if (++values > bounds.values) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

std::optional<Json> untrusted_object(std::string_view text, const JsonBounds& bounds) {
  if (!is_within(text, bounds)) return std::nullopt;
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

const Json* member_if(const Json& object, const char* key, bool (Json::*is)() const noexcept) {
  const auto found = object.find(key);
  return found != object.end() && ((*found).*is)() ? &*found : nullptr;
}

std::string text_at(const Json& object, const char* key, std::size_t most) {
  const Json* text = member_if(object, key, &Json::is_string);
  return text ? text->get_ref<const std::string&>().substr(0, most) : "";
}

std::uint64_t number_at(const Json& object, const char* key) {
  const Json* number = member_if(object, key, &Json::is_number_unsigned);
  return number ? number->get<std::uint64_t>() : 0;
}

bool true_at(const Json& object, const char* key) {
  const Json* flag = member_if(object, key, &Json::is_boolean);
  return flag && flag->get<bool>();
}

std::vector<std::string> texts_at(const Json& object, const char* key, std::size_t most, std::size_t most_bytes) {
  std::vector<std::string> texts;
  const Json* list = member_if(object, key, &Json::is_array);
  if (!list) return texts;
  for (const Json& text : *list) {
    if (texts.size() < most && text.is_string()) texts.push_back(text.get_ref<const std::string&>().substr(0, most_bytes));
  }
  return texts;
}

}  // namespace casemate
