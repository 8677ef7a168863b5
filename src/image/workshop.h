// workshop: the one host directory that a cell which builds an environment may write to: the installer's cache, the new tree, a temp
// directory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "store/store.h"
#include "sys/fd.h"

namespace casemate {

/// A bench for one build in a directory with a cache. One directory, since uv links files from its cache into the tree, and links can't
/// cross mounts. The destructor removes the bench; benches of killed processes go when the next one is made.
class Workshop {
 public:
  /// Where a cell sees path().
  static constexpr std::string_view kInCell = "/casemate/workshop";

  /// Its cache is kept and shared by all builds of one `domain`, so nothing may run with it that a package brought along. "": <store>/uv,
  /// for programs of the host alone. Else <store>/uv-images/<digest of domain>: the programs of an image can write what they want into a
  /// cache, so each has its own. The least recently used beyond eight go when one more is made.
  static Result<std::unique_ptr<Workshop>> shared(Store& store, std::string_view domain = "");
  /// One for this build alone, its cache with it.
  static Result<std::unique_ptr<Workshop>> own(Store& store);
  ~Workshop();
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }           ///< on the host; has cache/ in it
  [[nodiscard]] std::string bench() const { return path_ + "/" + bench_; }  ///< on the host; private to this build
  [[nodiscard]] std::string tree() const { return bench() + "/tree"; }      ///< on the host: the environment, empty at first
  [[nodiscard]] std::string bench_in_cell() const { return std::string(kInCell) + "/" + bench_; }
  [[nodiscard]] std::string tree_in_cell() const { return bench_in_cell() + "/tree"; }
  [[nodiscard]] std::string temp_in_cell() const { return bench_in_cell() + "/temp"; }
  /// To be asked when code that may be hostile has run with the workshop writable, before any of these paths is used again. refused: tree()
  /// is not the directory that it was, or tree() or cache/ is reached by a symlink now. True until such code runs again.
  [[nodiscard]] Result<void> check_names() const;
  /// Moves what is in tree() into the empty `directory` on the same file system. Goes by the directory that was opened when the workshop
  /// was made, never by its path: code in the cell can rename what lies in a workshop. Fails as check_names() does.
  Result<void> hand_over(const std::string& directory);

 private:
  Workshop(std::string path, std::string bench) : path_(std::move(path)), bench_(std::move(bench)) {}
  Result<void> furnish();

  std::string path_;
  std::string bench_;
  UniqueFd path_fd_;
  UniqueFd tree_fd_;                 // since before any cell saw it
  UniqueFd lock_;                    // flock of the bench: it is in use
  std::unique_ptr<StoreTemp> temp_;  // own(): removes everything
};

/// What uv keeps below the store for later builds: packages downloaded and unpacked. No part of the store's size: layers share its files.
struct InstallerCache {
  std::uint64_t bytes = 0;  ///< those that layers share included
  bool cleared = false;     ///< by clear_installer_cache()
};

/// Walks it: about 2 ms for 1,000 files.
Result<InstallerCache> look_at_installer_cache(const Store& store);
/// Removes it unless an environment is being built with it; `bytes` is what it held. Layers keep the files that they share with it.
Result<InstallerCache> clear_installer_cache(const Store& store);

}  // namespace casemate
