#include "image/catalogue.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "image/document.h"
#include "image/layer_cache.h"
#include "sys/fd.h"

namespace casemate {
namespace {

using Json = nlohmann::json;
using Kind = ImageReference::Kind;

// What a config may be, and a line for each of kMostLayers layers.
constexpr std::size_t kRecordLimit = kDocumentLimit;
constexpr std::uint64_t kVersion = 1;
constexpr std::string_view kWhat = "the record";

constexpr std::array<std::pair<Kind, const char*>, 5> kKinds{{{Kind::registry, "registry"},
                                                              {Kind::oci_layout, "oci"},
                                                              {Kind::oci_archive, "oci-archive"},
                                                              {Kind::docker_archive, "docker-archive"},
                                                              {Kind::docker_daemon, "docker-daemon"}}};

std::string directory_of(const Store& store) { return store.directory() + "/images"; }

std::string path_of(const Store& store, const ImageReference& reference, const Platform& platform) {
  return fmt::format("{}/{}.json", directory_of(store), sha256_hex(to_text(reference) + '\n' + to_text(platform)));
}

Json json_of(const Platform& platform) {
  return {{"os", platform.os}, {"architecture", platform.architecture}, {"variant", platform.variant}};
}

Json json_of(const ImageReference& reference) {
  const auto* const kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& known) { return known.first == reference.kind; });
  return {{"kind", kind == kKinds.end() ? "" : kind->second},
          {"name", reference.name},
          {"tag", reference.tag},
          {"digest", reference.digest},
          {"path", reference.path}};
}

Json json_of(const Descriptor& descriptor) {
  return {{"media_type", descriptor.media_type}, {"digest", descriptor.digest}, {"size", descriptor.size}};
}

Json json_of(const ImageConfig& config) {
  return {{"platform", json_of(config.platform)}, {"env", config.env}, {"working_dir", config.working_dir},
          {"entrypoint", config.entrypoint},      {"cmd", config.cmd}, {"user", config.user}};
}

Result<Platform> read_platform(const Fields& parent, const char* name) {
  TRY_ASSIGN(const Fields fields, parent.object(name, name));
  Platform platform;
  TRY_ASSIGN(platform.os, fields.text("os"));
  TRY_ASSIGN(platform.architecture, fields.text("architecture"));
  TRY_ASSIGN(platform.variant, fields.text("variant"));
  return platform;
}

Result<ImageReference> read_reference(const Fields& parent) {
  TRY_ASSIGN(const Fields fields, parent.object("reference", "reference"));
  ImageReference reference;
  TRY_ASSIGN(const std::string word, fields.text("kind"));
  const auto* const kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& known) { return known.second == word; });
  if (kind == kKinds.end()) return fields.wrong("kind is unknown");
  reference.kind = kind->first;
  TRY_ASSIGN(reference.name, fields.text("name"));
  TRY_ASSIGN(reference.tag, fields.text("tag"));
  TRY_ASSIGN(reference.digest, fields.text("digest"));
  TRY_ASSIGN(reference.path, fields.text("path"));
  return reference;
}

Result<std::string> read_digest(const Fields& fields, const char* name) {
  TRY_ASSIGN(std::string digest, fields.text(name));
  TRY(check_digest(digest));
  return digest;
}

Result<Descriptor> read_descriptor(const Fields& parent, const char* name) {
  TRY_ASSIGN(const Fields fields, parent.object(name, name));
  Descriptor descriptor;
  TRY_ASSIGN(descriptor.media_type, fields.text("media_type"));
  TRY_ASSIGN(descriptor.digest, fields.text("digest"));
  TRY_ASSIGN(descriptor.size, fields.number("size"));
  if (!descriptor.digest.empty()) TRY(check_digest(descriptor.digest));
  return descriptor;
}

Result<ImageConfig> read_config(const Fields& parent) {
  TRY_ASSIGN(const Fields fields, parent.object("config", "config"));
  ImageConfig config;
  TRY_ASSIGN(config.platform, read_platform(fields, "platform"));
  TRY_ASSIGN(config.env, fields.texts("env"));
  TRY_ASSIGN(config.working_dir, fields.text("working_dir"));
  TRY_ASSIGN(config.entrypoint, fields.texts("entrypoint"));
  TRY_ASSIGN(config.cmd, fields.texts("cmd"));
  TRY_ASSIGN(config.user, fields.text("user"));
  return config;
}

Result<std::vector<StoredLayer>> read_layers(const Fields& parent) {
  TRY_ASSIGN(const Json* list, parent.optional_list("layers"));
  if (!list || list->size() > kMostLayers) return parent.wrong("layers are missing or too many");
  const bool keep_owners = keeps_owners();
  std::vector<StoredLayer> layers;
  for (const Json& entry : *list) {
    TRY_ASSIGN(const Fields fields, Fields::of(entry, "a layer"));
    StoredLayer layer;
    TRY_ASSIGN(layer.digest, read_digest(fields, "digest"));
    TRY_ASSIGN(layer.diff_id, read_digest(fields, "diff_id"));
    TRY_ASSIGN(layer.size, fields.number("size"));
    layer.key = image_layer_key(layer.diff_id, keep_owners);
    layers.push_back(std::move(layer));
  }
  return layers;
}

Result<ImageRecord> read_record(std::string_view text) {
  TRY_ASSIGN(const Json json, parse_document(text, kWhat));
  TRY_ASSIGN(const Fields fields, Fields::of(json, std::string(kWhat)));
  TRY_ASSIGN(const std::uint64_t version, fields.number("version"));
  if (version != kVersion) return fields.wrong("it is of another version");
  ImageRecord record;
  TRY_ASSIGN(record.image.reference, read_reference(fields));
  TRY_ASSIGN(record.image.digest, read_digest(fields, "digest"));
  TRY_ASSIGN(record.image.manifest_digest, read_digest(fields, "manifest_digest"));
  TRY_ASSIGN(record.image.platform, read_platform(fields, "platform"));
  TRY_ASSIGN(record.image.config, read_config(fields));
  TRY_ASSIGN(record.image.layers, read_layers(fields));
  for (const StoredLayer& layer : record.image.layers) record.image.config.diff_ids.push_back(layer.diff_id);
  TRY_ASSIGN(const std::uint64_t pulled, fields.number("pulled"));
  record.image.pulled = static_cast<std::int64_t>(pulled);
  TRY_ASSIGN(record.manifest, read_descriptor(fields, "manifest_blob"));
  TRY_ASSIGN(record.config, read_descriptor(fields, "config_blob"));
  TRY_ASSIGN(record.origin, fields.text("origin"));
  return record;
}

// Whatever is named as a record, sound or not.
std::vector<std::string> record_files(const Store& store) {
  std::vector<std::string> paths;
  const std::string directory = directory_of(store);
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), &::closedir);
  if (!open) return paths;
  while (const dirent* entry = ::readdir(open.get())) {
    if (std::string_view(entry->d_name).ends_with(".json")) paths.push_back(fmt::format("{}/{}", directory, entry->d_name));
  }
  return paths;
}

Result<ImageRecord> read_record_file(const std::string& path) {
  TRY_ASSIGN(const std::string text, read_file(path, kRecordLimit));
  return parse_image_record(text);
}

}  // namespace

std::string to_json(const ImageRecord& record) {
  const StoredImage& image = record.image;
  Json layers = Json::array();
  for (const StoredLayer& layer : image.layers) {
    layers.push_back({{"digest", layer.digest}, {"diff_id", layer.diff_id}, {"size", layer.size}});
  }
  const Json json = {{"version", kVersion},
                     {"reference", json_of(image.reference)},
                     {"digest", image.digest},
                     {"manifest_digest", image.manifest_digest},
                     {"platform", json_of(image.platform)},
                     {"config", json_of(image.config)},
                     {"layers", std::move(layers)},
                     {"pulled", image.pulled},
                     {"manifest_blob", json_of(record.manifest)},
                     {"config_blob", json_of(record.config)},
                     {"origin", record.origin}};
  // A path that is not UTF-8 comes back as another one, and its record is never found: such an image is read anew each time.
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return text + sha256_hex(text) + "\n";
}

bool ImageRecord::operator==(const ImageRecord& other) const { return to_json(*this) == to_json(other); }

Result<ImageRecord> parse_image_record(std::string_view text) {
  const std::size_t end = text.find('\n') + 1;  // the first line, and its digest
  if (end == 0 || text.substr(end) != sha256_hex(text.substr(0, end)) + "\n")
    return fail(ErrorCode::corrupt, "the record of an image is damaged: its digest is wrong");
  auto record = read_record(text.substr(0, end));
  if (!record) return fail(ErrorCode::corrupt, fmt::format("the record of an image is damaged: {}", record.error().what));
  return record;
}

std::optional<ImageRecord> find_record(const Store& store, const ImageReference& reference, const Platform& platform) {
  auto record = read_record_file(path_of(store, reference, platform));
  if (!record || record->image.reference != reference || record->image.platform != platform) return std::nullopt;
  return std::move(*record);
}

std::vector<ImageRecord> all_records(const Store& store) {
  std::vector<ImageRecord> records;
  for (const std::string& path : record_files(store)) {
    auto record = read_record_file(path);
    if (record && path == path_of(store, record->image.reference, record->image.platform)) records.push_back(std::move(*record));
  }
  const auto name_of = [](const ImageRecord& record) { return to_text(record.image.reference) + '\n' + to_text(record.image.platform); };
  std::sort(records.begin(), records.end(), [&](const auto& one, const auto& other) { return name_of(one) < name_of(other); });
  return records;
}

std::optional<ImageRecord> find_any_record(const Store& store, const ImageReference& reference, const Platform& platform) {
  auto found = find_record(store, reference, platform);
  if (found || !is_pinned(reference)) return found;
  for (ImageRecord& record : all_records(store)) {
    const StoredImage& image = record.image;
    if (image.reference.kind == reference.kind && image.reference.name == reference.name && image.platform == platform &&
        (image.digest == reference.digest || image.manifest_digest == reference.digest))
      return std::move(record);
  }
  return std::nullopt;
}

std::vector<std::string> remove_damaged_records(const Store& store) {
  std::vector<std::string> removed;
  for (const std::string& path : record_files(store)) {
    const auto record = read_record_file(path);
    if (record || record.error().errno_value == ENOENT) continue;
    if (::unlink(path.c_str()) == 0) removed.push_back(path.substr(path.rfind('/') + 1));
  }
  return removed;
}

Result<void> write_record(Store& store, const ImageRecord& record) {
  const std::string path = path_of(store, record.image.reference, record.image.platform);
  TRY_ASSIGN(const std::unique_ptr<StoreTemp> temp, store.make_temp());
  const std::string fresh = temp->path() + "/record";
  const auto failed = [](int error) {
    const bool full = error == ENOSPC || error == EDQUOT;
    return fail(full ? ErrorCode::exhausted : ErrorCode::system,
                fmt::format("can't write the record of an image: {}", std::strerror(error)), error);
  };
  TRY_ASSIGN(const UniqueFd file, open_file(fresh, O_WRONLY | O_CREAT | O_EXCL, 0600));
  if (auto written = write_all(file.get(), to_json(record)); !written) return failed(written.error().errno_value);
  if (::rename(fresh.c_str(), path.c_str()) == 0) return {};
  if (errno != ENOENT || (::mkdir(directory_of(store).c_str(), 0700) < 0 && errno != EEXIST)) return failed(errno);
  if (::rename(fresh.c_str(), path.c_str()) < 0) return failed(errno);
  return {};
}

Result<bool> remove_record(const Store& store, const ImageRecord& record) {
  const std::string path = path_of(store, record.image.reference, record.image.platform);
  if (::unlink(path.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  return fail_errno("remove " + path);
}

Result<ImageReference> absolute(const ImageReference& reference) {
  if (reference.path.empty()) return reference;
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(reference.path.c_str(), nullptr), &std::free);
  ImageReference found = reference;
  if (real) {
    found.path = real.get();
    return found;
  }
  if (errno != ENOENT && errno != ENOTDIR) return fail_errno("find its path");
  std::error_code problem;  // what is gone may still be on record
  const std::filesystem::path path = std::filesystem::absolute(reference.path, problem);
  if (problem) return fail_errno("find its path", problem.value());
  found.path = path.lexically_normal();
  return found;
}

Result<std::string> file_identity(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return fail(ErrorCode::not_found, "there is no such file", errno);
    return fail_errno("look at it");
  }
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::invalid_input, "it is no regular file");
  return fmt::format("{}:{} {} {}.{:09} {}.{:09}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
}

}  // namespace casemate
