// yaml: YAML 1.2 as one value, and back.
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace casemate {

/// Why something is no YAML that we read, and where.
struct YamlProblem {
  std::size_t line = 1;  ///< from 1
  std::string what;      ///< may quote the text: not yet safe for a screen
};

/// `text` is UTF-8. Scalars by the core schema (YAML 1.2.2, 10.3.2); infinities, which JSON has not, as text. One document; no merge keys
/// (YAML 1.1's "<<"), no tags but the core schema's and !!timestamp (text), no keys but scalars. Bounds: DocumentBuilder's.
std::expected<nlohmann::ordered_json, YamlProblem> parse_yaml(std::string_view text);

/// Blocks for objects, lists and texts of several lines; quoted what a reader of YAML 1.1 (PyYAML) or of 1.2 would take for something else
/// than text. Ends with a newline.
[[nodiscard]] std::string yaml_text(const nlohmann::ordered_json& value);

}  // namespace casemate
