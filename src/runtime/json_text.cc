#include "runtime/json_text.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include "base/counted_bytes.h"
#include "base/terminal.h"
#include "runtime/spec_fields.h"

namespace casemate::runtime {
namespace {

constexpr std::size_t kMostValues = 5'000'000;

// Builds a document from what the parser says. The library's own builder looks for each key among all before it, which takes quadratic time
// in objects that keep their order. The names are the library's.
class Builder {
 public:
  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(Json::number_integer_t value) { return put(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return put(value); }
  bool number_float(Json::number_float_t value, const std::string& written) {
    if (written.find_first_of(".eE") == std::string::npos) return end(fmt::format("{} does not fit in 64 bits", named(written)));
    return put(value);
  }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) {
    keys_.emplace_back();
    return open(Json::object());
  }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_object() {
    keys_.pop_back();
    return end_array();
  }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) return end(fmt::format("the key '{}' is there twice in one object", named(name)));
    key_ = std::move(name);
    return true;
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception& exception) {
    position_ = position;
    problem_ = exception.what();
    return false;
  }

  Json take() { return std::move(document_); }
  // What was wrong; with the library's words if `position` is set.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] std::size_t position() const { return position_; }

 private:
  bool end(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  // Containers above the one that grows stay where they are in memory: only the innermost is added to.
  Json* place(Json value) {
    if (open_.empty()) return &(document_ = std::move(value));
    if (open_.back()->is_array()) {
      auto& list = open_.back()->get_ref<Json::array_t&>();
      return &list.emplace_back(std::move(value));
    }
    auto& members = open_.back()->get_ref<Json::object_t&>();
    return &members.emplace_back(std::move(key_), std::move(value)).second;
  }
  bool put(Json value) {
    if (++values_ > kMostValues) return end(fmt::format("more than {} values", kMostValues));
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (++values_ > kMostValues) return end(fmt::format("more than {} values", kMostValues));
    if (open_.size() >= kDeepestValue) return end(fmt::format("nested more than {} deep", kDeepestValue));
    open_.push_back(place(std::move(value)));
    return true;
  }

  Json document_;
  std::vector<Json*> open_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::string key_;
  std::size_t values_ = 0;
  std::size_t position_ = 0;
  std::string problem_;
};

// "unexpected '}'; expected string literal" of the library's line about it.
std::string reason(std::string_view said) {
  const std::size_t dash = said.find(" - ");
  std::string text(dash == std::string_view::npos ? said.substr(std::min(said.size(), said.find("] ") + 2)) : said.substr(dash + 3));
  const std::size_t last = text.find("; last read: ");
  if (last != std::string::npos) {
    const std::size_t expected = text.rfind("; expected ");
    text.erase(last, expected == std::string::npos || expected < last ? std::string::npos : expected - last);
  }
  return printable_line(text);
}

// NaN, Infinity or -Infinity, if that is what ends about `at`: Python's json.dump writes them.
std::string_view python_number(std::string_view text, std::size_t at) {
  for (const std::string_view word : {"-Infinity", "NaN", "Infinity"}) {
    for (std::size_t back = 1; back <= 2 && back <= at; ++back) {
      if (text.substr(at - back).starts_with(word)) return word;
    }
  }
  return "";
}

}  // namespace

Result<Json> json_from(std::string_view text, const std::string& name) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const auto wrong = [&](std::size_t at, const std::string& problem) {
    const std::string_view before = text.substr(0, std::min(at, text.size()));
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
    return fail(ErrorCode::invalid_input,
                fmt::format("{}:{}:{}: {}", printable_name(name), std::count(before.begin(), before.end(), '\n') + 1,
                            std::max<std::size_t>(column, 1), problem));
  };
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return fail(ErrorCode::invalid_input, fmt::format("{}: is empty", printable_name(name)));
  Builder builder;
  const char* furthest = text.data();
  if (Json::sax_parse(CountedBytes(text.data(), &furthest), CountedBytes(text.data() + text.size(), nullptr), &builder))
    return builder.take();
  if (builder.position() == 0) return wrong(static_cast<std::size_t>(furthest - text.data()), builder.problem());
  if (const std::string_view number = python_number(text, builder.position()); !number.empty())
    return wrong(builder.position(), fmt::format("{} is no JSON: write null, or a text", number));
  return wrong(builder.position(), "is no JSON: " + reason(builder.problem()));
}

}  // namespace casemate::runtime
