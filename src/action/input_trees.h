// input_trees: an action's inputs as immutable trees, made of the host's directories and of layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "action/digest_cache.h"
#include "action/input_directory.h"
#include "casemate/result.h"

namespace casemate {

/// How many entries it may have: 0.7 KB of memory each.
inline constexpr std::size_t kMostInputs = 1'000'000;

/// A tree that was made of files.
struct InputTree {
  InputDirectoryPtr top;
  /// What an action can't have, one line each ("/app/run.sock: a socket"), the first ten and how many more: FIFOs, sockets, devices,
  /// mount points. Of the store's layers also what we may not read, for nobody can change that.
  std::vector<std::string> left_out;
};

struct InputRules;

/// What trees are made without, as if it were not there.
struct InputFilter {
  std::set<std::string> names;  ///< of files and directories, wherever they are: "__pycache__"
  std::set<std::string> paths;  ///< of the host, absolute

  [[nodiscard]] bool empty() const { return names.empty() && paths.empty(); }
};

/// Makes trees. The same names and contents give the same digests whatever the times, owners, order, machine; of modes the owner's x bit
/// counts. No symlink is followed, no mount point crossed (sys/path.h). Safe for several threads.
///
/// Errors, each naming the path: `refused` for what can't be read, `invalid_input` for names and targets of links that are not UTF-8, which
/// REAPI has no way to say, `exhausted` beyond kMostInputs and kDeepestInput, `corrupt` for a file that somebody keeps writing to.
class InputTrees {
 public:
  /// `store`: a store's directory, where digests are kept for the next run; "" keeps none. `without`: of the store's layers its names
  /// count. `read`, if given, hears of each file of a directory that had to be read, in the thread that does it.
  explicit InputTrees(std::string store = "", InputFilter without = {}, std::function<void(std::uint64_t bytes)> read = {})
      : store_(std::move(store)), without_(std::move(without)), read_(std::move(read)) {}

  /// All below a directory of the host, as it is now.
  Result<InputTree> directory(const std::string& path);
  /// The same without what may not be read, which is in `left_out`: of a directory of the system's.
  Result<InputTree> readable(const std::string& path);
  /// A Python interpreter's prefix without what runs_without() says; `packages` as there. Made once, kept as long as this.
  Result<InputTree> interpreter(const std::string& prefix, bool packages);
  /// As readable(), but nothing is read: for a file's content stand its size and time of modification. No input for others than us.
  Result<InputTree> stamps(const std::string& path);
  /// A regular file of the host; `path` may be a symlink to it.
  Result<InputDirectory::File> file(const std::string& path);
  /// Layers, topmost first, as overlayfs merges them: the topmost entry wins, directories add up, whiteouts and opaque directories hide
  /// what is below. Those of the store don't change: made once, kept as long as this, and in the store.
  Result<InputTree> layers(const std::vector<std::string>& paths);
  /// Whether `path` is a layer of the store.
  [[nodiscard]] bool is_kept(const std::string& path) const;

 private:
  std::shared_ptr<DigestCache> cache_of(const std::string& identity);

  Result<InputTree> walk(const std::vector<std::string>& paths, const InputRules& rules, DigestCache& cache);

  std::string store_;
  InputFilter without_;
  std::function<void(std::uint64_t)> read_;
  std::mutex mutex_;  // of caches_
  std::map<std::string, std::shared_ptr<DigestCache>> caches_;
  std::mutex layers_mutex_;  // held while layers are read: who wants the same ones waits instead of reading them too
  std::map<std::vector<std::string>, InputTree> layers_;
  std::map<std::string, InputTree> interpreters_;  // under the same lock
};

}  // namespace casemate
