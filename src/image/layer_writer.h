// layer_writer: puts the entries of one image layer into a directory that will be a lower directory of an overlay. The entries are hostile:
// each path is walked from the top, no symlink is followed, nothing outside is touched.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <time.h>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// A path in a layer, in parts: no part is "", ".", ".." or longer than 255 bytes. No parts: the layer's root.
using LayerPath = std::vector<std::string>;

/// Takes a tar's name apart: a leading "/", "." parts, double and trailing slashes go. refused: a part "..", one of more than 255 bytes,
/// more than `depth` parts, or more than `bytes` in all. Bytes that are no UTF-8 stay as they are.
Result<LayerPath> parse_layer_path(std::string_view name, std::size_t depth, std::size_t bytes);

/// "a/b/c"; "." for the root.
[[nodiscard]] std::string to_string(const LayerPath& path);

/// Numbers as the tar has them, sensible or not.
struct EntryOwner {
  std::int64_t uid = 0;
  std::int64_t gid = 0;
};

/// What an entry says of itself beside its kind and contents.
struct EntryAttributes {
  unsigned mode = 0644;                       ///< 01777 of it is kept: no set-user-id, no set-group-id
  timespec modified{};                        ///< out of the file system's range: the nearest it has
  std::optional<EntryOwner> owner;            ///< nullopt: stays as made
  std::map<std::string, std::string> xattrs;  ///< set as they are: whoever calls has chosen
};

/// Writes one layer. OCI's rules (image-spec, layer.md): an entry replaces an earlier one of its name, with all below it, except that
/// directories merge; a whiteout hides what is below this layer and nothing that is in it.
class LayerWriter {
 public:
  /// `directory` (borrowed, readable) is empty, ours, and nobody else writes there meanwhile.
  explicit LayerWriter(int directory) : top_(directory) {}

  /// Makes the directory, or merges its attributes into the one that is there; they come true in finish().
  Result<void> directory(const LayerPath& path, const EntryAttributes& attributes);
  /// Makes an empty file, open for writing; close_file() must follow once its bytes are in.
  Result<UniqueFd> file(const LayerPath& path);
  /// Gives a file from file() its attributes.
  Result<void> close_file(UniqueFd file, const LayerPath& path, const EntryAttributes& attributes);
  Result<void> symlink(const LayerPath& path, const std::string& target, const EntryAttributes& attributes);
  /// A further name for a file or symlink of this layer, which is never followed. corrupt: there is none at `target`.
  Result<void> hard_link(const LayerPath& path, const LayerPath& target);
  /// Hides `path` of the layers below: a character device 0:0 (no privilege needed: Linux 5.8), or an opaque directory where this layer
  /// has one of that name, whatever the order.
  Result<void> whiteout(const LayerPath& path);
  /// Hides what the layers below have in this directory: user.overlay.opaque="y", for a mount with `userxattr`. Overlayfs does not look
  /// for it at a layer's root.
  Result<void> opaque(const LayerPath& path);
  /// Gives all directories their attributes. One without an entry of its own gets mode 0755 and time 0.
  Result<void> finish();

  /// Directories without an entry of their own: what the layers below say of them is lost.
  [[nodiscard]] std::uint64_t implied_directories() const { return implied_; }
  /// Owners or xattrs that the file system, or our user namespace, does not have.
  [[nodiscard]] std::uint64_t lost_owners() const { return lost_owners_; }
  [[nodiscard]] std::uint64_t lost_xattrs() const { return lost_xattrs_; }

 private:
  struct Directory {
    unsigned mode = 0755;
    timespec modified{};
    std::optional<EntryOwner> owner;
    bool implied = true;
  };

  enum class Missing { make, fail };
  Result<int> parent_of(const LayerPath& path, Missing missing);
  Result<UniqueFd> walk(const LayerPath& path, std::size_t parts, Missing missing);
  Result<UniqueFd> enter_or_make(int parent, const LayerPath& path, std::size_t index, Missing missing);
  Result<UniqueFd> make_directory(int parent, const LayerPath& path, std::size_t index, bool over_whiteout);
  Result<void> make_room(int parent, const LayerPath& path);
  Result<void> remember(const std::string& path, const Directory& directory);
  void forget_below(const std::string& path);
  Result<void> apply_owner(int fd, const std::string& shown, const std::optional<EntryOwner>& owner);
  void apply_xattrs(int fd, const std::map<std::string, std::string>& xattrs);
  Result<void> set_opaque(int fd, const std::string& shown);

  int top_;
  UniqueFd parent_;          // of the last entry: the next one is mostly beside it
  std::string parent_path_;  // of parent_
  std::map<std::string, Directory> directories_;
  std::size_t directory_bytes_ = 0;
  std::uint64_t implied_ = 0;
  std::uint64_t lost_owners_ = 0;
  std::uint64_t lost_xattrs_ = 0;
};

}  // namespace casemate
