// document: a file in JSON or YAML as one value, and back. The file is somebody's: bounded, and never believed to be well-formed.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "casemate/result.h"

namespace casemate {

/// JSON is a part of YAML 1.2, yet read by a reader of its own: quicker, and with better errors.
enum class DocumentFormat { json, yaml };

/// A document, and how it was and will be written.
struct Document {
  nlohmann::ordered_json value;
  DocumentFormat format = DocumentFormat::json;
  std::string indent = "  ";  ///< of JSON: blanks or a tab
};

/// Reads at most 64 MiB. invalid_input: "FILE:LINE: ..." for what is neither; a key that comes twice; an alias that makes a document of
/// more than 4 million values (a "billion laughs"); nesting deeper than 200. YAML scalars as its core schema has them (1.2, 10.3.2), dates
/// as text.
Result<Document> read_plan_document(const std::string& path);
Result<Document> parse_document(std::string_view text, const std::string& name, DocumentFormat format);
/// By the ending of the name, else by the first character of the text.
[[nodiscard]] DocumentFormat format_of(const std::string& path, std::string_view text);
/// What of a file is read at most, in bytes; one more tells that there is more.
inline constexpr std::size_t kMostOfDocument = 64u << 20;
/// As it is written: JSON with its indentation, or YAML whose texts of several lines are blocks. Bytes that are no UTF-8 must have been
/// replaced before.
[[nodiscard]] std::string to_text(const Document& document);

}  // namespace casemate
