// store: casemate's cache on disk: blobs (content-addressed files) and layers (directories published whole). See docs/design/store.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// A blob or layer in use: while this lives (a shared lock), no casemate evicts it. Movable.
class StoreLease {
 public:
  StoreLease() = default;
  StoreLease(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  /// Absolute path of the blob file or layer directory.
  [[nodiscard]] const std::string& path() const { return path_; }
  explicit operator bool() const { return static_cast<bool>(lock_); }

 private:
  std::string path_;
  UniqueFd lock_;
};

/// One thing that the store keeps, for `casemate cache`.
struct StoreEntry {
  std::string kind;  ///< "blob" or "layer"
  std::string key;
  std::uint64_t bytes = 0;
  std::int64_t last_used = 0;  ///< Unix seconds
  bool in_use = false;
  std::string description;  ///< layers: what it is, for people ("environment: pandas, numpy for Python 3.11.7")
};

/// What verify() found wrong.
struct StoreDamage {
  std::string kind;
  std::string key;
  std::string what;
  bool removed = false;  ///< it was taken out, so that it is made again when next wanted; false: somebody is using it
};

/// One cache directory. Several processes (and threads) may have it open at once. Layout: blobs/sha256/<2>/<62>,
/// layers/<key>/{tree/,meta.json}, locks/, tmp/<pid>.<random>/ with tmp/<pid>.<random>.lock beside it.
class Store {
 public:
  struct Options {
    std::string directory;                  ///< "": cache_directory()
    std::uint64_t max_bytes = 20ull << 30;  ///< least recently used entries that nobody holds go, down to 90 % of this, when a publish
                                            ///< passes it; $CASEMATE_CACHE_SIZE overrides
  };
  /// Makes the directories (0700), removes temp directories of processes that no longer live. About eight system calls where there is
  /// nothing to do. refused: the directory can't be written or is open to other users; invalid_input: $CASEMATE_CACHE_SIZE is no size.
  static Result<Store> open(const Options& options);
  static Result<Store> open() { return open(Options()); }
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  [[nodiscard]] const std::string& directory() const;
  /// The limit in force, in bytes.
  [[nodiscard]] std::uint64_t max_bytes() const;

  /// Puts bytes in; the key is "sha256:<hex>". Atomic: temp, fsync, rename. Already there: nothing is written.
  Result<std::string> put_blob(std::string_view bytes);
  /// The same from an open regular file, all of it, wherever its offset is.
  Result<std::string> put_blob_of_fd(int fd);
  /// A blob, leased. `verify` re-reads it: a flipped byte is `corrupt` and the blob is removed. nullopt: not there.
  Result<std::optional<StoreLease>> blob(std::string_view key, bool verify = false);

  /// Takes in the file `path`, which must lie on the store's file system, as the blob `key`: by rename, so that `path` is gone. The caller
  /// has verified its bytes. Where the blob is there already, the file is removed.
  Result<void> adopt_blob(const std::string& path, std::string_view key);

  /// A layer by key ([0-9a-f]{64}), leased; touches its last use. nullopt: not there, or it was damaged and has been moved away.
  /// Never waits for somebody who is making it. The lease's path is its tree.
  Result<std::optional<StoreLease>> layer(std::string_view key);
  /// Makes a layer once: under an exclusive lock of the key, calls `fill` with an empty temp directory (0755) on the store's file system,
  /// then renames it into place. Two callers at once: one fills, the other waits and gets the result. A failed or killed fill leaves
  /// nothing. `created`, if given, says who made it. `waiting` is called once if another process is at it. Files are not fsynced: a layer
  /// that a power loss damaged is noticed at its first use after the reboot, and made again; its
  /// files are counted by a thread of ours after this has returned, which ~Store joins (both: docs/design/store.md).
  Result<StoreLease> make_layer(std::string_view key, std::string_view description,
                                const std::function<Result<void>(const std::string& directory)>& fill, bool* created = nullptr,
                                const std::function<void()>& waiting = {});

  /// A fresh private directory on the store's file system, removed with all its contents when the owner goes; after SIGKILL by the next
  /// open().
  Result<std::unique_ptr<class StoreTemp>> make_temp();

  /// Removes a blob ("sha256:<hex>") or a layer (64 hex digits). Bytes freed; nullopt: somebody holds it, or there is none.
  Result<std::optional<std::uint64_t>> remove(std::string_view key);

  /// Whether there is a blob or a layer of this key, sound or not. Does not disturb anybody.
  [[nodiscard]] bool has(std::string_view key) const;

  /// All entries, in no order. Does not disturb anybody.
  Result<std::vector<StoreEntry>> entries() const;
  /// Removes entries nobody holds, least recently used first, until the rest is at most `max_bytes`. Bytes freed. What can't be removed
  /// (files of other owners) is out of the cache all the same, stays below tmp/ and is told in `problems`, if given.
  Result<std::uint64_t> prune(std::uint64_t max_bytes, std::vector<Error>* problems = nullptr);
  /// Re-reads everything: blobs against their names; layers against the manifest of their publication (names, modes, sizes, times) and
  /// against the digest of their contents, which the first verify() of a layer records. Damaged entries that nobody holds are removed.
  Result<std::vector<StoreDamage>> verify();

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// A temp directory of the store; see Store::make_temp().
class StoreTemp {
 public:
  /// `lock` holds `path`.lock exclusively.
  StoreTemp(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  ~StoreTemp();
  StoreTemp(const StoreTemp&) = delete;
  StoreTemp& operator=(const StoreTemp&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Removes it now, to learn whether that worked. What can't be removed stays below tmp/ as stuck.<name> until a prune() that may.
  Result<void> remove();

 private:
  std::string path_;
  UniqueFd lock_;
};

}  // namespace casemate
