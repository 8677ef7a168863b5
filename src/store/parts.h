// parts: what the files of the store share; not for other rooms.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/lock.h"
#include "store/place.h"
#include "store/store.h"

namespace casemate {

/// What the store holds: a file by its content, or a directory by its key.
enum class EntryKind { blob, layer };

/// "blob", "layer".
[[nodiscard]] std::string_view entry_word(EntryKind kind);
/// The kernel's name of this boot (/proc/sys/kernel/random/boot_id); "" if it can't be read.
[[nodiscard]] std::string boot_id();

/// meta.json of a layer.
struct LayerMeta {
  std::string description;
  std::int64_t created = 0;  ///< Unix seconds
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
  std::string manifest;  ///< TreeSummary::digest of TreeDepth::metadata; "" until the layer's survey
  std::string boot;      ///< boot_id() at publication
};
[[nodiscard]] std::string to_json(const LayerMeta& meta);
/// corrupt for anything that to_json() does not write.
Result<LayerMeta> parse_layer_meta(std::string_view text);

/// A file of `directory` that is the sum of what the store holds, as its publishers count it: cheap, and put right at each eviction.
class Usage {
 public:
  explicit Usage(std::string path) : path_(std::move(path)) {}
  /// Adds to the count; the new sum, or nullopt if it isn't known.
  std::optional<std::uint64_t> add(std::uint64_t bytes);
  void subtract(std::uint64_t bytes);
  void set(std::uint64_t bytes);

 private:
  std::string path_;
};

/// What the files of this room share of an open store. Safe for several threads, as Store is.
struct Store::Parts {
  Place place;
  std::uint64_t max_bytes = 0;
  std::mutex surveys_mutex;
  std::vector<std::jthread> surveys;

  [[nodiscard]] std::string blob_path(std::string_view hex) const;
  [[nodiscard]] std::string entry_path(EntryKind kind, std::string_view hex) const;
  [[nodiscard]] std::string lock_path(EntryKind kind, std::string_view hex) const;

  // store.cc
  Result<LockFile> open_lock(EntryKind kind, std::string_view hex) const;
  /// A shared lock of an entry that exists; nullopt: there is none.
  Result<std::optional<LockFile>> lock_entry(EntryKind kind, std::string_view hex) const;

  // temp.cc
  [[nodiscard]] Result<std::unique_ptr<StoreTemp>> make_temp() const;
  /// Renames an entry to a fresh name in tmp/ that a sweeper takes for rubbish: needs no space on a full disk. "" if there is nothing.
  [[nodiscard]] Result<std::string> move_away(const std::string& path) const;
  /// Deletes what was moved away. What resists becomes stuck.<name>.
  Result<void> discard(const std::string& path) const;
  /// Removes temp directories that nobody holds.
  void sweep() const;
  /// Tries again to remove what could not be.
  void sweep_stuck(std::vector<Error>* problems) const;

  // layers.cc
  /// nullopt: sound (settles it if it is of an earlier boot), and `meta` is read; else what is wrong.
  [[nodiscard]] std::optional<std::string> layer_damage(std::string_view hex, LayerMeta& meta) const;
  /// Moves what lies damaged at a layer's path away; `lock` holds "make". corrupt: somebody is using it.
  Result<void> clear_damaged(std::string_view hex, LockFile& lock) const;
  /// Moves a finished layer into place and takes the lease on it.
  Result<StoreLease> publish(std::string_view hex, std::string_view description, StoreTemp& temp, LockFile& lock);

  /// Sums up a published layer and completes its meta.json, in a thread that lives no longer than this; `lease` keeps the layer from
  /// eviction meanwhile.
  void start_survey(std::string_view hex, UniqueFd lease);
  void survey(const std::string& hex) const;
  /// Waits for the surveys that are under way.
  void finish_surveys();

  // blobs.cc
  /// Renames a finished file into place.
  Result<void> publish_blob(const std::string& hex, const std::string& filled, std::uint64_t bytes) const;

  // eviction.cc
  [[nodiscard]] Result<std::vector<StoreEntry>> entries(bool ask_locks) const;
  /// Moves an entry that nobody holds to tmp/: the path to discard(). nullopt: somebody holds it.
  [[nodiscard]] Result<std::optional<std::string>> take_out(EntryKind kind, std::string_view hex) const;
  /// Removes entries, least recently used first, until the rest is at most `most` bytes; bytes freed.
  Result<std::uint64_t> evict(std::uint64_t most, std::vector<Error>* problems) const;
  /// Removes lock files of keys that have no entry.
  void sweep_locks() const;
  /// Counts a publication in, and evicts if that makes the store too large.
  void grown(std::uint64_t bytes) const;

  // verification.cc
  /// What is wrong with a layer, contents and all; records the digest of its contents if it has none yet. The caller holds a lock of it.
  [[nodiscard]] std::optional<std::string> contents_damage(std::string_view hex) const;
};

}  // namespace casemate
