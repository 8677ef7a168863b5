// Layers: directory trees published whole under a key that says what they were made from.
#include <cerrno>
#include <ctime>
#include <memory>
#include <stop_token>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "base/digest.h"
#include "base/terminal.h"
#include "base/untrusted_json.h"
#include "store/parts.h"
#include "store/tree.h"
#include "sys/thread.h"

namespace casemate {
namespace {

constexpr std::size_t kMetaLimit = 64 << 10;

Result<void> check_key(std::string_view key) {
  if (is_sha256_hex(key)) return {};
  return fail(ErrorCode::invalid_input, fmt::format("'{}' is no layer key: it must be 64 lower-case hex digits", printable_name(key)));
}

// Where a layer says that its files have been looked over since the boot that published it.
std::string settled_path(const std::string& layer) { return layer + "/settled"; }

}  // namespace

std::string to_json(const LayerMeta& meta) {
  const nlohmann::json json = {{"version", 1},
                               {"description", to_utf8(meta.description)},
                               {"created", meta.created},
                               {"bytes", meta.bytes},
                               {"files", meta.files},
                               {"manifest", meta.manifest.empty() ? "" : "sha256:" + meta.manifest},
                               {"boot", to_utf8(meta.boot)}};
  return json.dump() + "\n";
}

Result<LayerMeta> parse_layer_meta(std::string_view text) {
  const auto damaged = [] { return fail(ErrorCode::corrupt, "meta.json is damaged"); };
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return damaged();
  for (const char* name : {"version", "created", "bytes", "files"}) {
    if (!member_if(json, name, &nlohmann::json::is_number_unsigned)) return damaged();
  }
  for (const char* name : {"description", "manifest", "boot"}) {
    if (!member_if(json, name, &nlohmann::json::is_string)) return damaged();
  }
  LayerMeta meta;
  meta.description = printable_name(json["description"].get<std::string>());
  meta.created = static_cast<std::int64_t>(json["created"].get<std::uint64_t>());
  meta.bytes = json["bytes"].get<std::uint64_t>();
  meta.files = json["files"].get<std::uint64_t>();
  meta.boot = json["boot"].get<std::string>();
  const std::string manifest = json["manifest"].get<std::string>();
  if (json["version"] != 1 || meta.created < 0) return damaged();
  if (!manifest.empty() && (!manifest.starts_with("sha256:") || !is_sha256_hex(std::string_view(manifest).substr(7)))) return damaged();
  if (!manifest.empty()) meta.manifest = manifest.substr(7);
  return meta;
}

std::optional<std::string> Store::Parts::layer_damage(std::string_view hex, LayerMeta& meta) const {
  const std::string path = entry_path(EntryKind::layer, hex);
  const auto text = read_file(path + "/meta.json", kMetaLimit);
  if (!text) return "meta.json can't be read: " + text.error().what;
  auto parsed = parse_layer_meta(*text);
  if (!parsed) return parsed.error().what;
  meta = std::move(*parsed);
  struct stat info{};
  if (::lstat((path + "/tree").c_str(), &info) < 0 || !S_ISDIR(info.st_mode)) return "its tree is missing";
  if (meta.boot == boot_id() || ::access(settled_path(path).c_str(), F_OK) == 0) return std::nullopt;
  if (meta.manifest.empty()) return "it was cut off from its survey by a reboot";
  const auto tree = summarize_tree(path + "/tree", TreeDepth::metadata);
  if (!tree) return tree.error().what;
  if (tree->digest != meta.manifest) return "files are not as they were published (a power loss?)";
  const UniqueFd mark(::open(settled_path(path).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  return std::nullopt;
}

Result<std::optional<StoreLease>> Store::layer(std::string_view key) {
  TRY(check_key(key));
  const std::string path = parts_->entry_path(EntryKind::layer, key);
  {
    TRY_ASSIGN(std::optional<LockFile> lock, parts_->lock_entry(EntryKind::layer, key));
    if (!lock) return std::nullopt;
    LayerMeta meta;
    if (!parts_->layer_damage(key, meta)) {
      ::utimensat(AT_FDCWD, (path + "/meta.json").c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
      UniqueFd lease = lock->take();
      // Its maker was killed, or is at it: twice does no harm.
      if (meta.manifest.empty()) parts_->start_survey(key, UniqueFd(::fcntl(lease.get(), F_DUPFD_CLOEXEC, 0)));
      return StoreLease(path + "/tree", std::move(lease));
    }
  }
  TRY_ASSIGN(const std::optional<std::string> away, parts_->take_out(EntryKind::layer, key));
  if (away) static_cast<void>(parts_->discard(*away));
  return std::nullopt;
}

Result<StoreLease> Store::Parts::publish(std::string_view hex, std::string_view description, StoreTemp& temp, LockFile& lock) {
  const std::string filled = temp.path() + "/layer";
  LayerMeta meta;
  meta.description = printable_name(description.substr(0, 4096));
  meta.created = std::time(nullptr);
  meta.boot = boot_id();
  {
    TRY_ASSIGN(const UniqueFd file, open_file(filled + "/meta.json", O_WRONLY | O_CREAT | O_EXCL, 0600));
    if (auto written = write_all(file.get(), to_json(meta)); !written)
      return place.failure("write a layer's meta.json", written.error().errno_value);
  }
  TRY(lock.lock(LockFile::Part::use, LockFile::Mode::shared));
  const std::string path = entry_path(EntryKind::layer, hex);
  if (::rename(filled.c_str(), path.c_str()) < 0) {
    const std::string layers = place.directory + "/layers";
    if (errno != ENOENT) return place.failure("put a layer into " + layers, errno);
    if (::mkdir(layers.c_str(), 0700) < 0 && errno != EEXIST) return place.failure("make the directory " + layers, errno);
    if (::rename(filled.c_str(), path.c_str()) < 0) return place.failure("put a layer into " + layers, errno);
  }
  lock.unlock(LockFile::Part::make);
  UniqueFd lease = lock.take();
  start_survey(hex, UniqueFd(::fcntl(lease.get(), F_DUPFD_CLOEXEC, 0)));
  return StoreLease(path + "/tree", std::move(lease));
}

void Store::Parts::survey(const std::string& hex) const {
  const std::string path = entry_path(EntryKind::layer, hex) + "/meta.json";
  const auto text = read_file(path, kMetaLimit);
  auto meta = text ? parse_layer_meta(*text) : std::unexpected(text.error());
  const auto tree = summarize_tree(entry_path(EntryKind::layer, hex) + "/tree", TreeDepth::metadata);
  const auto temp = make_temp();
  if (!meta || !tree || !temp) return;  // it stays without one: good for this boot
  meta->bytes = tree->bytes;
  meta->files = tree->files;
  meta->manifest = tree->digest;
  const std::string fresh = (*temp)->path() + "/meta.json";
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || !write_all(file.get(), to_json(*meta)) || ::rename(fresh.c_str(), path.c_str()) < 0) return;
  grown(tree->bytes);
}

void Store::Parts::start_survey(std::string_view hex, UniqueFd lease) {
  const auto held = std::make_shared<UniqueFd>(std::move(lease));
  const auto work = [this, hex = std::string(hex), held](const std::stop_token&) { survey(hex); };
  const std::lock_guard guard(surveys_mutex);
  if (auto started = start_thread(work)) {
    surveys.push_back(std::move(*started));
  } else {  // no more threads for us
    survey(std::string(hex));
  }
}

void Store::Parts::finish_surveys() {
  std::vector<std::jthread> under_way;
  const std::lock_guard guard(surveys_mutex);
  under_way.swap(surveys);  // joined as it goes
}

Result<void> Store::Parts::clear_damaged(std::string_view hex, LockFile& lock) const {
  const std::string path = entry_path(EntryKind::layer, hex);
  struct stat info{};
  for (int attempt = 0; ::lstat(path.c_str(), &info) == 0; ++attempt) {
    if (attempt == 100)
      return fail(ErrorCode::corrupt, fmt::format("{} is damaged and in use: try again when no other casemate runs", path));
    TRY_ASSIGN(const bool alone, lock.try_lock(LockFile::Part::use, LockFile::Mode::exclusive));
    if (!alone) {
      ::usleep(10'000);  // most likely somebody who is just finding out that it is damaged
      continue;
    }
    const auto away = move_away(path);
    lock.unlock(LockFile::Part::use);
    if (!away) return std::unexpected(away.error());
    static_cast<void>(discard(*away));
  }
  return {};
}

Result<StoreLease> Store::make_layer(std::string_view key, std::string_view description,
                                     const std::function<Result<void>(const std::string& directory)>& fill, bool* created,
                                     const std::function<void()>& waiting) {
  TRY(check_key(key));
  if (created) *created = false;
  bool told = false;
  for (;;) {
    TRY_ASSIGN(std::optional<StoreLease> there, layer(key));
    if (there) return std::move(*there);
    TRY_ASSIGN(LockFile lock, parts_->open_lock(EntryKind::layer, key));
    TRY_ASSIGN(const bool mine, lock.try_lock(LockFile::Part::make, LockFile::Mode::exclusive));
    if (!mine) {
      if (waiting && !told) waiting();
      told = true;
      TRY(lock.lock(LockFile::Part::make, LockFile::Mode::exclusive));
    }
    if (!lock.current()) continue;
    TRY_ASSIGN(there, layer(key));  // made while we waited for the lock
    if (there) return std::move(*there);
    TRY(parts_->clear_damaged(key, lock));
    auto made = [&]() -> Result<StoreLease> {
      TRY_ASSIGN(const std::unique_ptr<StoreTemp> temp, parts_->make_temp());
      const std::string tree = temp->path() + "/layer/tree";
      if (::mkdir((temp->path() + "/layer").c_str(), 0700) < 0 || ::mkdir(tree.c_str(), 0755) < 0 || ::chmod(tree.c_str(), 0755) < 0)
        return parts_->place.failure("make the directory " + tree, errno);
      TRY(fill(tree));
      return parts_->publish(key, description, *temp, lock);
    }();
    if (made && created) *created = true;
    if (!made) {
      if (auto alone = lock.try_lock(LockFile::Part::both, LockFile::Mode::exclusive); alone && *alone) lock.remove();
    }
    return made;
  }
}

}  // namespace casemate
