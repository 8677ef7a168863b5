// json: plain Python data as JSON values and back: what the models of the library take and give.
#pragma once

#include <string>

#include <nanobind/nanobind.h>
#include <nlohmann/json.hpp>

namespace casemate::python {

/// How many containers may lie in each other: a list that contains itself ends here.
inline constexpr int kMostDepth = 100;

/// None, bool, int, finite float, str, os.PathLike (as its str), list, tuple (as a list), and dict or another Mapping with str keys, as a
/// JSON value. All else, an int beyond 64 bits, text that is not Unicode (lone surrogates), and what is nested deeper than kMostDepth is
/// thrown as a Failure (invalid_input) that names its place: `place` is what `value` itself is called, its parts are "place.key[3]".
nlohmann::ordered_json json_of(nanobind::handle value, const std::string& place);

/// The reverse. Objects become dicts in their order. Text that is not UTF-8 gets U+FFFD.
nanobind::object object_of(const nlohmann::ordered_json& json);

/// UTF-8 as a str, with U+FFFD for what is none.
nanobind::object text_object(std::string_view text);

}  // namespace casemate::python
