#include <algorithm>
#include <charconv>
#include <istream>
#include <optional>
#include <streambuf>
#include <utility>

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "testplan/document_builder.h"
#include "testplan/yaml.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

// yaml-cpp keeps the tokens of a flow collection, a hundred bytes each, until it ends.
constexpr std::ptrdiff_t kMostFlowIndicators = 4'000'000;

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char byte) { return byte >= '0' && byte <= '9'; });
}

// Drops a sign; true if it was a minus.
bool drop_sign(std::string_view& text) {
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  return minus;
}

std::optional<Json> based(std::string_view digits, int base) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || problem != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return Json(value);
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_core_float(std::string_view text) {
  drop_sign(text);
  const std::size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view power = text.substr(e + 1);
    drop_sign(power);
    if (!all_digits(power)) return false;
    text = text.substr(0, e);
  }
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return all_digits(text);
  const std::string_view whole = text.substr(0, dot), part = text.substr(dot + 1);
  return (whole.empty() || all_digits(whole)) && (part.empty() ? !whole.empty() : all_digits(part));
}

std::optional<Json> core_number(std::string_view text) {
  if (text.starts_with("0o")) return based(text.substr(2), 8);
  if (text.starts_with("0x")) return based(text.substr(2), 16);
  if (!is_core_float(text)) return std::nullopt;
  std::string_view digits = text;
  const bool minus = drop_sign(digits);
  if (all_digits(digits)) {
    std::int64_t negative = 0;
    if (minus && std::from_chars(text.data(), text.data() + text.size(), negative).ec == std::errc()) return Json(negative);
    if (!minus) {
      if (auto value = based(digits, 10)) return value;
    }
  }
  double value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (problem != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return Json(minus ? -value : value);
}

bool is_null(std::string_view text) { return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL"; }

Json core_value(const std::string& text) {
  if (is_null(text)) return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (auto number = core_number(text)) return *std::move(number);
  return text;
}

// Ends yaml-cpp's parser from within one of its events; never leaves this file.
struct Stopped {};

class YamlEvents : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    at(mark);
    if (documents_++ > 0) stop("a second document: a plan is one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    at(mark);
    if (builder_.wants_key()) stop("a key that is empty");
    must(builder_.scalar(nullptr, anchor));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    at(mark);
    if (builder_.wants_key()) stop("an alias as a key");
    must(builder_.alias(anchor));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    at(mark);
    const std::string_view kind = known_tag(tag);
    if (builder_.wants_key()) {
      if (kind == "?" && value == "<<") stop("a merge key (<<): YAML 1.2 has none; write its keys out");
      if (anchor != 0) stop("a key with an anchor");
      must(builder_.key(value));
      return;
    }
    const bool text = kind == "!" || kind == "str" || kind == "timestamp";
    must(builder_.scalar(text ? Json(value) : core_value(value), anchor));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, Json::array());
  }
  void OnSequenceEnd() override { must(builder_.end()); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    begin(mark, tag, anchor, Json::object());
  }
  void OnMapEnd() override { must(builder_.end()); }

  DocumentBuilder builder_;
  YamlProblem problem_;

 private:
  void at(const YAML::Mark& mark) { problem_.line = static_cast<std::size_t>(std::max(0, mark.line)) + 1; }
  [[noreturn]] void stop(std::string what) {
    problem_.what = std::move(what);
    throw Stopped{};
  }
  void must(bool good) {
    if (!good) stop(builder_.problem());
  }
  void begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Json empty) {
    at(mark);
    known_tag(tag);
    if (builder_.wants_key()) stop("a key that is a list or an object");
    must(builder_.begin(std::move(empty), anchor));
  }
  std::string_view known_tag(const std::string& tag) {
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    std::string_view kind = tag;
    if (kind.starts_with(kCore)) kind.remove_prefix(kCore.size());
    for (const std::string_view known : {"", "?", "!", "str", "int", "float", "bool", "null", "timestamp", "seq", "map"}) {
      if (kind == known) return kind;
    }
    stop(fmt::format("the tag '{}', which is none of YAML's core schema; write the value without it", tag));
  }

  std::size_t documents_ = 0;
};

// What a std::istream reads from, without a copy.
class TextBuffer : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // is read only: nothing is ever put back that was not there
    setg(begin, begin, begin + text.size());
  }
};

// Control characters that YAML has not (YAML 1.2.2, 5.1): yaml-cpp would take a NUL for UTF-16, and EOT for the end.
std::optional<YamlProblem> bad_character(std::string_view text) {
  std::size_t line = 1;
  for (const char byte : text) {
    const auto code = static_cast<unsigned char>(byte);
    if (code == '\n') ++line;
    if (code < 0x20 && code != '\n' && code != '\r' && code != '\t')
      return YamlProblem{line, fmt::format("the control character 0x{:02x}; in YAML write it as \"\\x{:02x}\"", code, code)};
  }
  return std::nullopt;
}

}  // namespace

std::expected<Json, YamlProblem> parse_yaml(std::string_view text) {
  if (auto bad = bad_character(text)) return std::unexpected(*std::move(bad));
  if (std::count_if(text.begin(), text.end(), [](char byte) { return std::string_view("[]{},").contains(byte); }) > kMostFlowIndicators)
    return std::unexpected(YamlProblem{1, "more than 4 million brackets and commas"});
  YamlEvents events;
  try {
    TextBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(events)) {
    }
  } catch (const Stopped&) {
    return std::unexpected(std::move(events.problem_));
  } catch (const YAML::Exception& problem) {
    return std::unexpected(YamlProblem{static_cast<std::size_t>(std::max(0, problem.mark.line)) + 1, "no YAML: " + problem.msg});
  }
  return events.builder_.take();
}

}  // namespace casemate
