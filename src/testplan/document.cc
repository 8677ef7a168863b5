#include "testplan/document.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/counted_bytes.h"
#include "base/terminal.h"
#include "sys/fd.h"
#include "testplan/document_builder.h"
#include "testplan/yaml.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

std::size_t line_at(std::string_view text, std::size_t offset) {
  return 1 + static_cast<std::size_t>(
                 std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text.size())), '\n'));
}

std::unexpected<Error> wrong(const std::string& name, std::size_t line, std::string_view what) {
  return fail(ErrorCode::invalid_input, fmt::format("{}:{}: {}", printable_name(name), line, printable_line(what)));
}

// Drives a DocumentBuilder by nlohmann's parser, which says nothing of keys that come twice and has no bounds.
class JsonEvents : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return builder_.scalar(nullptr); }
  bool boolean(bool value) override { return builder_.scalar(value); }
  bool number_integer(number_integer_t value) override { return builder_.scalar(value); }
  bool number_unsigned(number_unsigned_t value) override { return builder_.scalar(value); }
  bool number_float(number_float_t value, const string_t&) override { return builder_.scalar(value); }
  bool string(string_t& value) override { return builder_.scalar(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return builder_.begin(Json::object()); }
  bool key(string_t& value) override { return builder_.key(std::move(value)); }
  bool end_object() override { return builder_.end(); }
  bool start_array(std::size_t) override { return builder_.begin(Json::array()); }
  bool end_array() override { return builder_.end(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& problem) override {
    position_ = position;
    std::string_view what = problem.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ...": the place we say ourselves.
    if (const auto end = what.find("column "); end != std::string_view::npos) {
      if (const auto colon = what.find(": ", end); colon != std::string_view::npos) what.remove_prefix(colon + 2);
    } else if (const auto bracket = what.find("] "); bracket != std::string_view::npos) {
      what.remove_prefix(bracket + 2);
    }
    problem_ = "no JSON: " + std::string(what);
    return false;
  }

  DocumentBuilder builder_;
  std::size_t position_ = 0;
  std::string problem_;
};

Result<Json> parse_json(std::string_view text, const std::string& name) {
  JsonEvents events;
  const char* furthest = text.data();
  const bool good = Json::sax_parse(CountedBytes(text.data(), &furthest), CountedBytes(text.data() + text.size(), nullptr), &events);
  if (!events.problem_.empty()) return wrong(name, line_at(text, events.position_ == 0 ? 0 : events.position_ - 1), events.problem_);
  if (!good) return wrong(name, line_at(text, static_cast<std::size_t>(furthest - text.data())), events.builder_.problem());
  return events.builder_.take();
}

// Where `text` stops being UTF-8, if it does.
std::optional<std::size_t> first_bad_byte(std::string_view text) {
  const std::string clean = to_utf8(text);
  if (clean == text) return std::nullopt;
  const auto differ = std::mismatch(text.begin(), text.end(), clean.begin(), clean.end());
  return static_cast<std::size_t>(differ.first - text.begin());
}

// Of the first line that has any: one to eight blanks, or a tab.
std::string indent_of(std::string_view text) {
  const auto line = text.find('\n');
  if (line == std::string_view::npos) return "  ";
  const std::string_view rest = text.substr(line + 1);
  if (rest.starts_with('\t')) return "\t";
  const std::size_t blanks = std::min(rest.find_first_not_of(' '), rest.size());
  return blanks >= 1 && blanks <= 8 ? std::string(blanks, ' ') : "  ";
}

}  // namespace

DocumentFormat format_of(const std::string& path, std::string_view text) {
  if (path.ends_with(".json")) return DocumentFormat::json;
  if (path.ends_with(".yaml") || path.ends_with(".yml")) return DocumentFormat::yaml;
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '{' ? DocumentFormat::json : DocumentFormat::yaml;
}

Result<Document> parse_document(std::string_view text, const std::string& name, DocumentFormat format) {
  if (text.size() > kMostOfDocument) return fail(ErrorCode::invalid_input, fmt::format("{}: is larger than 64 MiB", printable_name(name)));
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return fail(ErrorCode::invalid_input, fmt::format("{}: is empty", printable_name(name)));
  if (const auto bad = first_bad_byte(text)) return wrong(name, line_at(text, *bad), "a byte that is no UTF-8");
  Document document{.value = {}, .format = format, .indent = "  "};
  if (format == DocumentFormat::json) {
    TRY_ASSIGN(document.value, parse_json(text, name));
    document.indent = indent_of(text);
  } else {
    auto value = parse_yaml(text);
    if (!value) return wrong(name, value.error().line, value.error().what);
    document.value = std::move(*value);
  }
  return document;
}

Result<Document> read_plan_document(const std::string& path) {
  TRY_ASSIGN(const std::string text, read_file(path, kMostOfDocument + 1));
  return parse_document(text, path, format_of(path, text));
}

std::string to_text(const Document& document) {
  if (document.format == DocumentFormat::yaml) return yaml_text(document.value);
  return document.value.dump(static_cast<int>(document.indent.size()), document.indent.empty() ? ' ' : document.indent[0], false,
                             Json::error_handler_t::replace) +
         "\n";
}

}  // namespace casemate
