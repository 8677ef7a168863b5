#include "apps/image/showing.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include <fmt/format.h>

#include "base/shell_words.h"
#include "base/terminal.h"
#include "base/units.h"
#include "command/naming.h"
#include "report/table.h"

namespace casemate {
namespace {

using Json = nlohmann::ordered_json;

// "3 hours": the largest whole unit, as one reads ages.
std::string age(std::int64_t seconds) {
  constexpr std::pair<std::int64_t, const char*> kUnits[] = {{86400 * 7, "week"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}};
  for (const auto& [length, name] : kUnits) {
    if (const std::int64_t count = seconds / length; count > 0) return fmt::format("{} {}{} ago", count, name, count == 1 ? "" : "s");
  }
  return "now";
}

std::string layer_count(const ShownImage& shown) {
  const std::size_t all = shown.image.layers.size();
  return shown.layers_there == all ? std::to_string(all) : fmt::format("{} of {}", shown.layers_there, all);
}

Json words_json(const std::vector<std::string>& words) {
  Json list = Json::array();
  for (const std::string& word : words) list.push_back(to_utf8(word));
  return list;
}

}  // namespace

Result<std::map<std::string, StoreEntry>> layers_by_key(const Store& store) {
  TRY_ASSIGN(std::vector<StoreEntry> entries, store.entries());
  std::map<std::string, StoreEntry> layers;
  for (StoreEntry& entry : entries) {
    if (entry.kind != "layer") continue;
    std::string key = entry.key;
    layers.emplace(std::move(key), std::move(entry));
  }
  return layers;
}

ShownImage look_at(const StoredImage& image, const std::map<std::string, StoreEntry>& layers) {
  ShownImage shown{.image = image, .last_used = image.pulled};
  for (const StoredLayer& layer : image.layers) {
    const auto found = layers.find(layer.key);
    shown.sizes.push_back(found == layers.end() ? std::nullopt : std::optional(found->second.bytes));
    if (found == layers.end()) continue;
    ++shown.layers_there;
    shown.bytes += found->second.bytes;
    shown.last_used = std::max(shown.last_used, found->second.last_used);
    shown.in_use = shown.in_use || found->second.in_use;
  }
  return shown;
}

Result<std::vector<ShownImage>> look_at_images(const Store& store) {
  TRY_ASSIGN(const std::vector<StoredImage> images, list_images(store));
  TRY_ASSIGN(const auto layers, layers_by_key(store));
  std::vector<ShownImage> all;
  for (const StoredImage& image : images) all.push_back(look_at(image, layers));
  std::stable_sort(all.begin(), all.end(), [](const ShownImage& a, const ShownImage& b) { return a.last_used > b.last_used; });
  return all;
}

std::string table_of(const std::vector<ShownImage>& images, std::int64_t now, bool colors) {
  Table table({{"IMAGE"},
               {"DIGEST"},
               {"PLATFORM"},
               {"LAYERS", Table::Align::right},
               {"SIZE", Table::Align::right},
               {"LAST USED", Table::Align::right},
               {"IN USE"}});
  for (const ShownImage& shown : images) {
    const StoredImage& image = shown.image;
    // Of a reference with a digest only the repository: the digest has its own column.
    ImageReference name = image.reference;
    const bool pinned = name.kind == ImageReference::Kind::registry && is_pinned(name);
    if (pinned) name.digest.clear();
    table.add({printable_name(to_text(name)) + (pinned ? "@" + short_digest(image.reference.digest) : ""), short_digest(image.digest),
               printable_name(to_text(image.platform)), layer_count(shown), format_bytes(shown.bytes),
               age(std::max<std::int64_t>(0, now - shown.last_used)), shown.in_use ? "yes" : ""},
              shown.in_use ? "32" : "");
  }
  return table.text(colors);
}

Json list_json(const ShownImage& shown) {
  const StoredImage& image = shown.image;
  return {{"name", to_utf8(to_text(image.reference))},
          {"digest", image.digest},
          {"manifest_digest", image.manifest_digest},
          {"platform", to_utf8(to_text(image.platform))},
          {"layers", image.layers.size()},
          {"layers_unpacked", shown.layers_there},
          {"bytes", shown.bytes},
          {"compressed_bytes", blob_bytes(image)},
          {"pulled", image.pulled},
          {"last_used", shown.last_used},
          {"in_use", shown.in_use}};
}

Json inspect_json(const ShownImage& shown) {
  const StoredImage& image = shown.image;
  Json json = list_json(shown);
  const ImageConfig& config = image.config;
  json["config"] = {{"env", words_json(config.env)},
                    {"working_directory", to_utf8(config.working_dir)},
                    {"entrypoint", words_json(config.entrypoint)},
                    {"cmd", words_json(config.cmd)},
                    {"user", to_utf8(config.user)}};
  json["layers"] = Json::array();
  for (std::size_t i = 0; i < image.layers.size(); ++i) {
    const StoredLayer& layer = image.layers[i];
    json["layers"].push_back({{"digest", layer.digest},
                              {"diff_id", layer.diff_id},
                              {"compressed_bytes", layer.size},
                              {"bytes", shown.sizes[i] ? Json(*shown.sizes[i]) : Json()},
                              {"key", layer.key}});
  }
  return json;
}

std::string inspect_text(const ShownImage& shown) {
  const StoredImage& image = shown.image;
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    fmt::format_to(std::back_inserter(text), "{:<11} {}\n", name, value);
  };
  line("name", printable_name(to_text(image.reference)));
  line("digest", image.digest);
  if (image.manifest_digest != image.digest) line("manifest", image.manifest_digest);
  line("platform", printable_name(to_text(image.platform)));
  line("pulled", format_moment(image.pulled));
  line("size", fmt::format("{} unpacked, {} to fetch", format_bytes(shown.bytes), format_bytes(blob_bytes(image))));
  const ImageConfig& config = image.config;
  if (!config.entrypoint.empty()) line("entrypoint", printable_name(join_shell_words(config.entrypoint)));
  if (!config.cmd.empty()) line("cmd", printable_name(join_shell_words(config.cmd)));
  if (!config.working_dir.empty()) line("directory", printable_name(config.working_dir));
  if (!config.user.empty()) line("user", printable_name(config.user));
  for (const std::string& variable : config.env) line("env", printable_name(variable));
  for (std::size_t i = 0; i < image.layers.size(); ++i) {
    const StoredLayer& layer = image.layers[i];
    line("layer", fmt::format("{}  {:>10}{}", layer.digest, format_bytes(layer.size), shown.sizes[i] ? "" : "  not unpacked now"));
  }
  return text;
}

}  // namespace casemate
