#include "testplan/document_builder.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/terminal.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostDepth = 200;
constexpr std::size_t kMostValues = 4'000'000;
constexpr std::size_t kMostTextBytes = 256u << 20;  // a file's own are at most 64 MiB: only aliases come so far

}  // namespace

bool DocumentBuilder::wrong(std::string problem) {
  if (problem_.empty()) problem_ = std::move(problem);
  return false;
}

bool DocumentBuilder::count(std::size_t values, std::size_t bytes) {
  values_ += values;
  bytes_ += bytes;
  if (values_ > kMostValues) return wrong("more than 4 million values");
  if (bytes_ > kMostTextBytes) return wrong("more than 256 MiB of text");
  return true;
}

bool DocumentBuilder::wants_key() const { return !open_.empty() && open_.back().value.is_object() && !open_.back().has_key; }

bool DocumentBuilder::put(Json value) {
  if (open_.empty()) {
    whole_ = std::move(value);
    return true;
  }
  Open& parent = open_.back();
  if (parent.value.is_array()) {
    parent.value.get_ref<Json::array_t&>().push_back(std::move(value));
    return true;
  }
  // Straight to the end: an object that keeps its order looks through all its keys to put one, and `keys` has done that.
  parent.value.get_ref<Json::object_t&>().emplace_back(std::move(parent.key), std::move(value));
  parent.has_key = false;
  return true;
}

bool DocumentBuilder::scalar(Json value) { return scalar(std::move(value), 0); }

bool DocumentBuilder::scalar(Json value, std::size_t anchor) {
  if (!problem_.empty()) return false;
  const std::size_t bytes = value.is_string() ? value.get_ref<const std::string&>().size() : 0;
  return count(1, bytes) && (anchor == 0 || remember(anchor, value, 1, bytes)) && put(std::move(value));
}

bool DocumentBuilder::begin(Json empty, std::size_t anchor) {
  if (!problem_.empty()) return false;
  if (open_.size() >= kMostDepth) return wrong(fmt::format("nested deeper than {}", kMostDepth));
  open_.push_back({.value = std::move(empty), .anchor = anchor, .values_before = values_, .bytes_before = bytes_});
  return count(1, 0);
}

bool DocumentBuilder::end() {
  if (!problem_.empty()) return false;
  if (open_.empty()) return wrong("more ends than beginnings");
  Open closed = std::move(open_.back());
  open_.pop_back();
  if (closed.anchor != 0 && !remember(closed.anchor, closed.value, values_ - closed.values_before, bytes_ - closed.bytes_before))
    return false;
  return put(std::move(closed.value));
}

bool DocumentBuilder::key(std::string name) {
  if (!problem_.empty()) return false;
  Open& object = open_.back();
  if (!object.keys.insert(name).second) return wrong(fmt::format("the key '{}' comes twice", printable_name(name)));
  const std::size_t bytes = name.size();
  object.key = std::move(name);
  object.has_key = true;
  return count(0, bytes);
}

bool DocumentBuilder::remember(std::size_t anchor, const Json& value, std::size_t values, std::size_t bytes) {
  if (!count(values, bytes)) return false;  // the copy is kept
  named_[anchor] = {.value = value, .values = values, .bytes = bytes};
  return true;
}

bool DocumentBuilder::alias(std::size_t anchor) {
  if (!problem_.empty()) return false;
  const auto found = named_.find(anchor);
  if (found == named_.end()) return wrong("an alias within what it names");
  return count(found->second.values, found->second.bytes) && put(found->second.value);
}

}  // namespace casemate
