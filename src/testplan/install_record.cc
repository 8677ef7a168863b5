#include "testplan/install_record.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/terminal.h"
#include "sys/fd.h"

namespace casemate {
namespace {

constexpr std::size_t kMostRecord = 1 << 20;
constexpr std::size_t kMostLog = 64 << 20;

std::string record_key(const std::string& key) { return sha256_hex("casemate installation record 1\n" + key); }

Result<void> write(const std::string& path, std::string_view text) {
  TRY_ASSIGN(const UniqueFd file, open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
  return write_all(file.get(), text);
}

}  // namespace

std::string root_identity(const Job& base, const Store* store) {
  std::string text = fmt::format("{} {}\n", base.executor, base.image);
  for (const std::string& layer : base.root) {
    text += layer;
    struct stat info{};
    // Layers of the store are named for what is in them.
    if (!(store && layer.starts_with(store->directory() + "/")) && ::stat(layer.c_str(), &info) == 0)
      text += fmt::format(" {}:{} {}.{:09}", info.st_dev, info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
    text += '\n';
  }
  return text;
}

std::optional<InstallRecord> find_record(Store& store, const std::string& key) {
  const auto lease = store.layer(record_key(key));
  if (!lease || !*lease) return std::nullopt;
  const auto text = read_file((*lease)->path() + "/record.json", kMostRecord);
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  InstallRecord record;
  const auto string = [](const nlohmann::json& value) { return value.is_string() ? value.get<std::string>() : std::string(); };
  const auto strings = [&](const char* name, std::vector<std::string>& into) {
    if (const auto list = json.find(name); list != json.end() && list->is_array()) {
      for (const auto& each : *list) into.push_back(string(each));
    }
  };
  record.strategy = string(json.value("strategy", nlohmann::json()));
  record.source = string(json.value("source", nlohmann::json()));
  record.version = string(json.value("version", nlohmann::json()));
  strings("packages", record.packages);
  strings("notes", record.notes);
  if (record.strategy.empty()) return std::nullopt;
  if (auto log = read_file((*lease)->path() + "/log", kMostLog)) record.log = std::move(*log);
  return record;
}

Result<void> keep_record(Store& store, const std::string& key, const std::string& description, const InstallRecord& record) {
  const auto fill = [&](const std::string& directory) -> Result<void> {
    nlohmann::json notes = nlohmann::json::array();
    for (const std::string& note : record.notes) notes.push_back(to_utf8(note));
    const nlohmann::json json = {{"strategy", record.strategy},
                                 {"packages", record.packages},
                                 {"source", to_utf8(record.source)},
                                 {"version", to_utf8(record.version)},
                                 {"notes", notes}};
    TRY(write(directory + "/record.json", json.dump(1)));
    return write(directory + "/log", record.log);
  };
  TRY(store.make_layer(record_key(key), description, fill));
  return {};
}

void drop_record(Store& store, const std::string& key) {
  // Held by somebody or not there: both leave nothing to do here.
  static_cast<void>(store.remove(record_key(key)));
}

}  // namespace casemate
