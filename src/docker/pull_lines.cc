#include "docker/pull_lines.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/untrusted_json.h"

namespace casemate {
namespace {

constexpr std::size_t kMostLayers = 1000;
constexpr std::size_t kMostError = 1000;
constexpr std::uint64_t kMostBytes = 1ull << 50;  // that a layer is believed to have

}  // namespace

bool PullLines::take(const nlohmann::json& object) {
  const std::string error = text_at(object, "error", kMostError);
  if (!error.empty()) {
    error_ = error;
    return false;
  }
  const std::string id = text_at(object, "id", 100);
  const std::string status = text_at(object, "status", 100);
  const bool begins = status == "Pulling fs layer" || status == "Already exists" || status == "Downloading" || status == "Waiting";
  if (id.empty() || (!begins && !layers_.contains(id))) return false;
  if (layers_.size() >= kMostLayers && !layers_.contains(id)) return false;
  Layer& layer = layers_[id];
  if (status == "Downloading") {
    if (const nlohmann::json* const detail = member_if(object, "progressDetail", &nlohmann::json::is_object)) {
      layer.total = std::min(std::max(layer.total, number_at(*detail, "total")), kMostBytes);
      layer.current = std::min(number_at(*detail, "current"), layer.total);
    }
  } else if (status == "Pull complete" || status == "Already exists") {
    layer.done = true;
    layer.current = layer.total;
  } else if (status == "Download complete" || status == "Verifying Checksum" || status == "Extracting") {
    layer.current = layer.total;
  }
  return true;
}

void PullLines::finish() {
  for (auto& [id, layer] : layers_) layer = {.done = true, .current = layer.total, .total = layer.total};
}

std::string PullLines::line() const {
  std::uint64_t current = 0;
  std::uint64_t total = 0;
  for (const auto& [id, layer] : layers_) {
    current += layer.current;
    total += layer.total;
  }
  std::string text = "pulling " + printable_line(name_);
  if (layers_.empty()) return text;
  const auto done = std::count_if(layers_.begin(), layers_.end(), [](const auto& row) { return row.second.done; });
  text += fmt::format(": {} of {} layers", done, layers_.size());
  if (total >= 1'000'000) {
    text += fmt::format(", {} of {} MB", current / 1'000'000, total / 1'000'000);
  } else if (total > 0) {
    text += fmt::format(", {} of {} kB", current / 1000, total / 1000);
  }
  return text;
}

}  // namespace casemate
