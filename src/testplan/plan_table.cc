#include "testplan/plan_table.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/nearest.h"
#include "base/terminal.h"
#include "base/units.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::size_t kMostProblems = 20;
constexpr std::size_t kMostNotes = 50;
constexpr milliseconds kYear = std::chrono::hours(24 * 365);

std::string shown(const Json& value) {
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  std::string text = value.is_string() ? value.get_ref<const std::string&>() : value.dump();
  if (text.size() > 80) text = to_utf8(text.substr(0, 77)) + "...";
  return "'" + text + "'";
}

}  // namespace

void ReadingLog::problem(const std::string& place, std::string_view what) {
  if (problems.size() >= kMostProblems) {
    ++more_problems;
    return;
  }
  problems.push_back(
      fmt::format("{}: {}{}{}", printable_name(name), printable_name(place), place.empty() ? "" : ": ", printable_name(what)));
}

void ReadingLog::note(const std::string& place, std::string_view what) {
  if (notes.size() >= kMostNotes) {
    ++more_notes;
    return;
  }
  notes.push_back(fmt::format("{}{}{}", printable_name(place), place.empty() ? "" : ": ", printable_name(what)));
}

Result<void> ReadingLog::result() const {
  if (problems.empty()) return {};
  std::string text;
  for (const std::string& problem : problems) text += (text.empty() ? "" : "\n") + problem;
  if (more_problems > 0) text += fmt::format("\n{}: and {} more problems", printable_name(name), more_problems);
  return fail(ErrorCode::invalid_input, std::move(text));
}

std::string place_of(std::string_view pointer) {
  std::string place;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::string_view part = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(part.size());
    if (!part.empty() && std::isdigit(static_cast<unsigned char>(part.front())) != 0) {
      place += fmt::format("[{}]", part);
    } else {
      place += (place.empty() ? "" : ".") + std::string(part);
    }
  }
  return place;
}

std::string below(std::string_view pointer, std::string_view name) { return fmt::format("{}/{}", pointer, name); }
std::string below(std::string_view pointer, std::size_t index) { return fmt::format("{}/{}", pointer, index); }

std::optional<std::string> text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  return std::nullopt;
}

bool is_variable_name(std::string_view name) {
  const auto letter = [](char byte) { return std::isalpha(static_cast<unsigned char>(byte)) != 0 || byte == '_'; };
  return !name.empty() && letter(name.front()) && std::all_of(name.begin(), name.end(), [&](char byte) {
    return letter(byte) || std::isdigit(static_cast<unsigned char>(byte)) != 0;
  });
}

PlanTable::Member PlanTable::find(Names names) const {
  asked_.insert(asked_.end(), names.begin(), names.end());
  for (const std::string_view name : names) {
    const auto found = object_.find(name);
    if (found != object_.end() && !found->is_null()) return {&*found, name};
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> PlanTable::unknown_keys(Names more) const {
  std::vector<std::pair<std::string, std::string>> unknown;
  std::vector<std::string_view> missing;  // what is there is not what somebody meant who wrote another key
  std::copy_if(asked_.begin(), asked_.end(), std::back_inserter(missing), [&](std::string_view name) { return !object_.contains(name); });
  for (const auto& [key, value] : object_.items()) {
    const auto is_key = [&key = key](std::string_view name) { return name == key; };
    if (std::any_of(asked_.begin(), asked_.end(), is_key) || std::any_of(more.begin(), more.end(), is_key)) continue;
    unknown.emplace_back(key, nearest(key, missing));
  }
  return unknown;
}

void PlanTable::note_misspelt(Names more) const {
  for (const auto& [key, meant] : unknown_keys(more)) {
    if (!meant.empty()) note(key, fmt::format("is not known, did you mean '{}'?", meant));
  }
}

void PlanTable::problem(std::string_view name, std::string_view what) const {
  log_.problem(place_of(name.empty() ? pointer_ : below(pointer_, name)), what);
}
void PlanTable::note(std::string_view name, std::string_view what) const {
  log_.note(place_of(name.empty() ? pointer_ : below(pointer_, name)), what);
}

void PlanTable::is_no(std::string_view name, const Json& value, std::string_view wanted) const {
  problem(name, fmt::format("{} is no {}", shown(value), wanted));
}

std::string PlanTable::text(Names names) const {
  const Member member = find(names);
  if (!member) return "";
  auto text = text_of(*member.value);
  if (!text) is_no(member.name, *member.value, "text");
  if (text && text->find('\0') != std::string::npos) {
    problem(member.name, "has a NUL in it");
    return "";
  }
  return std::move(text).value_or("");
}

std::optional<std::int64_t> PlanTable::whole(Names names, std::int64_t least, std::int64_t most) const {
  const Member member = find(names);
  if (!member) return std::nullopt;
  const Json& value = *member.value;
  std::optional<std::int64_t> number;
  if (value.is_number_integer() && !(value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX})) {
    number = value.get<std::int64_t>();
  } else if (value.is_string()) {  // "0": YAML of those who quote everything
    const auto& text = value.get_ref<const std::string&>();
    const bool digits = !text.empty() && text.size() < 10 &&
                        std::all_of(text.begin(), text.end(), [](unsigned char byte) { return std::isdigit(byte) != 0; });
    if (digits) number = std::stoll(text);
  }
  if (!number || *number < least || *number > most) {
    is_no(member.name, value, fmt::format("whole number from {} to {}", least, most));
    return std::nullopt;
  }
  return number;
}

std::optional<bool> PlanTable::truth(Names names) const {
  const Member member = find(names);
  if (!member) return std::nullopt;
  if (member.value->is_boolean()) return member.value->get<bool>();
  const std::string word = ascii_lower(text_of(*member.value).value_or(""));
  if (word == "true" || word == "yes" || word == "on" || word == "1") return true;
  if (word == "false" || word == "no" || word == "off" || word == "0") return false;
  is_no(member.name, *member.value, "true or false");
  return std::nullopt;
}

std::optional<milliseconds> PlanTable::seconds(Names names) const {
  const Member member = find(names);
  if (!member) return std::nullopt;
  std::optional<milliseconds> duration;
  if (member.value->is_number()) {
    const auto number = member.value->get<double>();
    if (std::isfinite(number) && number > 0 && number <= 1e9) duration = milliseconds(static_cast<std::int64_t>(std::ceil(number * 1000)));
  } else if (member.value->is_string()) {
    if (const auto parsed = parse_duration(member.value->get_ref<const std::string&>())) duration = *parsed;
  }
  if (!duration || duration->count() <= 0 || *duration > kYear) {
    is_no(member.name, *member.value, "number of seconds over 0, at most a year");
    return std::nullopt;
  }
  return duration;
}

std::vector<std::string> PlanTable::texts(Names names) const {
  std::vector<std::string> all;
  for (const std::string_view name : names) {
    const Member member = find({name});
    if (!member) continue;
    const auto take = [&](const Json& value) {
      auto text = text_of(value);
      if (!text) {
        is_no(name, value, "text");
      } else if (!text->empty()) {
        all.push_back(*std::move(text));
      }
    };
    if (member.value->is_array()) {
      std::for_each(member.value->begin(), member.value->end(), take);
    } else {
      take(*member.value);
    }
  }
  return all;
}

std::map<std::string, std::string> PlanTable::environment(Names names) const {
  std::map<std::string, std::string> made;
  const Member member = find(names);
  if (!member) return made;
  const auto put = [&](std::string name, const Json& value) {
    auto text = value.is_null() ? std::string() : text_of(value);
    if (name.empty() || name.contains('=') || name.contains('\0')) {
      problem(member.name, fmt::format("'{}' is no name of a variable", name));
    } else if (name.starts_with("casemate_")) {
      problem(member.name, fmt::format("'{}' begins with casemate_, as only variables of our own do", name));
    } else if (!text) {
      problem(member.name, fmt::format("the value of '{}' is no text", name));
    } else if (text->contains('\0')) {
      problem(member.name, fmt::format("the value of '{}' has a NUL in it", name));
    } else {
      made[std::move(name)] = *std::move(text);
    }
  };
  if (member.value->is_object()) {
    for (const auto& [name, value] : member.value->items()) put(name, value);
  } else if (member.value->is_array()) {
    for (const Json& entry : *member.value) {
      const std::string text = entry.is_string() ? entry.get<std::string>() : "";
      const auto equals = text.find('=');
      if (equals == std::string::npos) {
        is_no(member.name, entry, "NAME=VALUE");
      } else {
        put(text.substr(0, equals), Json(text.substr(equals + 1)));
      }
    }
  } else {
    is_no(member.name, *member.value, "object of names and values");
  }
  return made;
}

}  // namespace casemate
