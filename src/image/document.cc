#include "image/document.h"

#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "image/reference.h"

namespace casemate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kDeepest = 32;
constexpr std::size_t kMostValues = 200'000;
constexpr std::uint64_t kLargestExact = 1ull << 53;

// Hears a document once before anything of it is kept, and ends with the first thing that is not as it must be. The names are the
// library's.
class Inspection {
 public:
  bool null() { return value(); }
  bool boolean(bool) { return value(); }
  bool number_integer(Json::number_integer_t) { return value(); }
  bool number_unsigned(Json::number_unsigned_t) { return value(); }
  bool number_float(Json::number_float_t, const std::string&) { return value(); }
  bool string(std::string&) { return value(); }
  bool binary(Json::binary_t&) { return value(); }
  bool start_object(std::size_t) { return open(); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) {
      problem_ = fmt::format("has the key {} twice in one object", in_quotes(name));
      return false;
    }
    return value();
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception&) {
    problem_ = fmt::format("is no JSON: byte {} does not fit", position);
    return false;
  }
  // "" while nothing is wrong.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool value() {
    if (++values_ <= kMostValues) return true;
    problem_ = fmt::format("has more than {} values", kMostValues);
    return false;
  }
  bool open() {
    if (!value()) return false;
    keys_.emplace_back();
    if (keys_.size() <= kDeepest) return true;
    problem_ = fmt::format("is nested more than {} deep", kDeepest);
    return false;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::unordered_set<std::string>> keys_;
  std::size_t values_ = 0;
  std::string problem_;
};

std::string named(const char* name) { return fmt::format("'{}'", name); }

}  // namespace

Result<Json> parse_document(std::string_view bytes, std::string_view what) {
  const auto wrong = [&](const std::string& problem) { return fail(ErrorCode::invalid_input, fmt::format("{} {}", what, problem)); };
  if (bytes.empty()) return wrong("is empty");
  if (bytes.size() > kDocumentLimit) return wrong(fmt::format("has {} bytes; at most {} are read", bytes.size(), kDocumentLimit));
  Inspection inspection;
  if (!Json::sax_parse(bytes.begin(), bytes.end(), &inspection)) return wrong(inspection.problem());
  Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (!json.is_object()) return wrong("is no JSON object");
  return json;
}

Result<Fields> Fields::of(const Json& value, std::string where) {
  if (!value.is_object()) return fail(ErrorCode::invalid_input, fmt::format("{} is no JSON object", where));
  return Fields(value, std::move(where));
}

const Json* Fields::find(const char* name) const {
  const auto field = object_->find(name);
  return field == object_->end() || field->is_null() ? nullptr : &*field;
}

std::unexpected<Error> Fields::wrong(const std::string& what) const {
  return fail(ErrorCode::invalid_input, fmt::format("{}: {}", where_, what));
}

Result<std::string> Fields::text(const char* name) const {
  if (!has(name)) return wrong(named(name) + " is missing");
  return optional_text(name);
}

Result<std::string> Fields::optional_text(const char* name) const {
  const Json* field = find(name);
  if (!field) return "";
  const auto* text = field->get_ptr<const std::string*>();
  if (!text) return wrong(named(name) + " is no text");
  if (text->find('\0') != std::string::npos) return wrong(named(name) + " has a NUL byte in it");
  return *text;
}

Result<std::uint64_t> Fields::number(const char* name) const {
  const Json* field = find(name);
  if (!field) return wrong(named(name) + " is missing");
  if (!field->is_number()) return wrong(named(name) + " is no number");
  if (field->is_number_unsigned() && field->get<std::uint64_t>() <= kLargestExact) return field->get<std::uint64_t>();
  const double rough = field->get<double>();
  if (rough < 0) return wrong(named(name) + " is negative");
  if (rough >= static_cast<double>(kLargestExact)) return wrong(named(name) + " is larger than 2^53");
  return wrong(named(name) + " is no whole number");
}

Result<const Json*> Fields::optional_list(const char* name) const {
  const Json* field = find(name);
  if (field && !field->is_array()) return wrong(named(name) + " is no list");
  return field;
}

Result<std::vector<std::string>> Fields::texts(const char* name) const {
  TRY_ASSIGN(const Json* list, optional_list(name));
  std::vector<std::string> texts;
  if (!list) return texts;
  texts.reserve(list->size());
  for (const Json& element : *list) {
    const auto* text = element.get_ptr<const std::string*>();
    if (!text) return wrong(fmt::format("entry {} of {} is no text", texts.size() + 1, named(name)));
    if (text->find('\0') != std::string::npos)
      return wrong(fmt::format("entry {} of {} has a NUL byte in it", texts.size() + 1, named(name)));
    texts.push_back(*text);
  }
  return texts;
}

Result<Fields> Fields::object(const char* name, std::string where) const {
  static const Json empty = Json::object();
  const Json* field = find(name);
  return of(field ? *field : empty, std::move(where));
}

}  // namespace casemate
