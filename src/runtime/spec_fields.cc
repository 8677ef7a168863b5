#include "runtime/spec_fields.h"

#include <cmath>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate::runtime {
namespace {

std::unexpected<Error> invalid(std::string_view place, std::string_view problem) {
  return fail(ErrorCode::invalid_input, place.empty() ? std::string(problem) : fmt::format("{}: {}", place, problem));
}

std::string below(const std::string& where, std::string_view key) { return where.empty() ? named(key) : where + "." + named(key); }

// Recursion ends at kDeepestValue, whatever the value is.
Result<void> check_below(const Json& value, const std::string& where, std::size_t depth) {
  if (depth > kDeepestValue) return invalid(where, fmt::format("is nested more than {} deep", kDeepestValue));
  if (value.is_number_float() && !std::isfinite(value.get<double>()))
    return invalid(
        where, fmt::format("must be a finite number, is {}, which JSON can't hold", std::isnan(value.get<double>()) ? "NaN" : "infinite"));
  if (value.is_binary() || value.is_discarded()) return invalid(where, "must be a text, a number, true, false, null, a list or an object");
  if (const auto* text = value.get_ptr<const std::string*>(); text && to_utf8(*text) != *text) return invalid(where, "must be UTF-8");
  if (value.is_array()) {
    for (std::size_t at = 0; at < value.size(); ++at) {
      if (value[at].is_structured() || value[at].is_string() || value[at].is_number_float() || value[at].is_binary())
        TRY(check_below(value[at], fmt::format("{}[{}]", where, at), depth + 1));
    }
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.get_ref<const Json::object_t&>()) {
      if (to_utf8(key) != key) return invalid(below(where, key), "must have a name that is UTF-8");
      TRY(check_below(member, below(where, key), depth + 1));
    }
  }
  return {};
}

}  // namespace

std::string named(std::string_view name) {
  constexpr std::size_t kMost = 200;
  std::string text = printable_name(name.substr(0, kMost));
  if (name.size() > kMost) text += "...";
  return text;
}

std::string_view kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return value.get_ref<const std::string&>().empty() ? "an empty text" : "a text";
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      break;
  }
  return "something else";
}

std::string problem_of_text(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return "must have no NUL byte in it";
  if (to_utf8(text) != text) return "must be UTF-8";
  return "";
}

Result<void> check_value(const Json& value, const std::string& where) { return check_below(value, where, 0); }

Result<SpecFields> SpecFields::of(const Json& value, std::string where, std::string_view name) {
  if (!value.is_object()) return invalid(where, fmt::format("{} must be an object, is {}", name, kind_of(value)));
  return SpecFields(value, std::move(where));
}

const Json* SpecFields::find(std::string_view key) const {
  for (const auto& [name, value] : object_->get_ref<const Json::object_t&>()) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

std::string SpecFields::place(std::string_view key) const { return below(where_, key); }

std::unexpected<Error> SpecFields::wrong(std::string_view key, std::string_view must) const {
  const Json* value = find(key);
  return invalid(place(key), fmt::format("must be {}, is {}", must, value ? kind_of(*value) : "missing"));
}

Result<std::string> SpecFields::text(const char* key) const {
  TRY_ASSIGN(std::optional<std::string> text, optional_text(key));
  if (!text || text->empty()) return wrong(key, "a text that is not empty");
  return std::move(*text);
}

Result<std::optional<std::string>> SpecFields::optional_text(const char* key) const {
  const Json* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_string()) return wrong(key, "a text");
  const std::string& text = value->get_ref<const std::string&>();
  if (const std::string problem = problem_of_text(text); !problem.empty()) return invalid(place(key), problem);
  return text;
}

Result<bool> SpecFields::flag(const char* key, bool usual) const {
  const Json* value = find(key);
  if (!value) return usual;
  if (!value->is_boolean()) return wrong(key, "true or false");
  return value->get<bool>();
}

Result<NamedTexts> SpecFields::named_texts(const char* key) const {
  NamedTexts texts;
  const Json* value = find(key);
  if (!value) return texts;
  if (!value->is_object()) return wrong(key, "an object of texts");
  for (const auto& [name, text] : value->get_ref<const Json::object_t&>()) {
    const std::string where = below(place(key), name);
    if (name.empty()) return invalid(place(key), "has a name that is empty");
    if (const std::string problem = problem_of_text(name); !problem.empty()) return invalid(where, "its name " + problem);
    if (!text.is_string()) return invalid(where, fmt::format("must be a text, is {}", kind_of(text)));
    const std::string& written = text.get_ref<const std::string&>();
    if (const std::string problem = problem_of_text(written); !problem.empty()) return invalid(where, problem);
    texts.emplace_back(name, written);
  }
  return texts;
}

Result<NamedTexts> SpecFields::variables(const char* key) const {
  TRY_ASSIGN(NamedTexts texts, named_texts(key));
  for (const auto& [name, text] : texts) {
    if (name.find('=') != std::string::npos) return invalid(below(place(key), name), "a variable's name can't have '=' in it");
  }
  return texts;
}

Result<Json> SpecFields::values(const char* key) const {
  const Json* value = find(key);
  if (!value) return Json::object();
  if (!value->is_object()) return wrong(key, "an object");
  TRY(check_value(*value, place(key)));
  return *value;
}

Result<std::vector<std::string>> SpecFields::texts(const char* key) const {
  std::vector<std::string> texts;
  const Json* value = find(key);
  if (!value) return texts;
  if (!value->is_array() && !value->is_string()) return wrong(key, "a list of texts");
  const auto take = [&](const Json& one, const std::string& where) -> Result<void> {
    if (!one.is_string() || one.get_ref<const std::string&>().empty())
      return invalid(where, fmt::format("must be a text that is not empty, is {}", kind_of(one)));
    const std::string& text = one.get_ref<const std::string&>();
    if (const std::string problem = problem_of_text(text); !problem.empty()) return invalid(where, problem);
    texts.push_back(text);
    return {};
  };
  if (value->is_string()) TRY(take(*value, place(key)));
  for (std::size_t at = 0; value->is_array() && at < value->size(); ++at) TRY(take((*value)[at], fmt::format("{}[{}]", place(key), at)));
  return texts;
}

}  // namespace casemate::runtime
