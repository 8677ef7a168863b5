// Verification: is what lies in the store what was put there?
#include <cerrno>
#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/parts.h"
#include "store/tree.h"

namespace casemate {
namespace {

std::string contents_path(const std::string& layer) { return layer + "/contents"; }

// "" if sound or gone meanwhile.
std::string blob_damage(const std::string& path, std::string_view hex) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return errno == ENOENT ? "" : fmt::format("can't be read: {}", std::strerror(errno));
  const auto found = sha256_hex_of_fd(fd.get());
  if (!found) return found.error().what;
  return *found == hex ? "" : "its bytes are not those it is named by";
}

}  // namespace

std::optional<std::string> Store::Parts::contents_damage(std::string_view hex) const {
  const std::string path = entry_path(EntryKind::layer, hex);
  LayerMeta meta;
  if (auto damage = layer_damage(hex, meta)) return damage;
  const auto metadata = summarize_tree(path + "/tree", TreeDepth::metadata);
  if (!metadata) return metadata.error().what;
  if (meta.manifest.empty())
    survey(std::string(hex));
  else if (metadata->digest != meta.manifest)
    return "names, sizes, modes or times of its files are not as published";
  const auto contents = summarize_tree(path + "/tree", TreeDepth::contents);
  if (!contents) return contents.error().what;
  if (contents->unreadable != 0) return std::nullopt;  // files of other owners: their metadata must do
  const std::string recorded_path = contents_path(path);
  const auto recorded = read_file(recorded_path, 4096);
  if (recorded) return *recorded == contents->digest + "\n" ? std::nullopt : std::optional<std::string>("bytes of its files have changed");
  if (recorded.error().errno_value != ENOENT) return recorded.error().what;
  // Not recorded is no damage: the next verify() will try again.
  const auto temp = make_temp();
  if (!temp) return std::nullopt;
  const std::string fresh = (*temp)->path() + "/contents";
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file && write_all(file.get(), contents->digest + "\n") && ::fsync(file.get()) == 0) ::rename(fresh.c_str(), recorded_path.c_str());
  return std::nullopt;
}

Result<std::vector<StoreDamage>> Store::verify() {
  parts_->finish_surveys();
  TRY_ASSIGN(const std::vector<StoreEntry> all, parts_->entries(false));
  std::vector<StoreDamage> damages;
  for (const StoreEntry& entry : all) {
    const bool is_blob = entry.kind == entry_word(EntryKind::blob);
    const EntryKind kind = is_blob ? EntryKind::blob : EntryKind::layer;
    const std::string hex = is_blob ? entry.key.substr(7) : entry.key;
    StoreDamage damage{entry.kind, entry.key, ""};
    if (is_blob) {
      damage.what = blob_damage(parts_->blob_path(hex), hex);
    } else {
      TRY_ASSIGN(const std::optional<LockFile> lock, parts_->lock_entry(kind, hex));  // nobody evicts it while we read
      if (lock) damage.what = parts_->contents_damage(hex).value_or("");
    }
    if (damage.what.empty()) continue;
    const auto away = parts_->take_out(kind, hex);
    damage.removed = away && *away;
    if (damage.removed) static_cast<void>(parts_->discard(**away));
    damages.push_back(std::move(damage));
  }
  return damages;
}

}  // namespace casemate
