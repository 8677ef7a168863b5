// archive: files into a container before it runs, and out of it after, as the Engine API's archives.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "casemate/result.h"
#include "docker/container_spec.h"
#include "docker/tar.h"
#include "engine/collect.h"
#include "engine/lower.h"
#include "sys/path.h"

namespace casemate {

/// The archive of an upload, for PUT /containers/ID/archive?path=/, made while it is sent. Directories of the host are merged as an overlay
/// merges them; FIFOs, sockets and devices are left out. A file that changes while it is read is cut off or filled up with zeros.
class UploadArchive {
 public:
  /// system, not_found: what is to be sent can't be read.
  static Result<std::unique_ptr<UploadArchive>> open(const ContainerSpecBody::Upload& upload);
  /// The next piece, "" at the end.
  Result<std::string> next();

 private:
  struct Frame {
    std::string path;  // relative to the target, "" is it
    LayerSet layers;
    std::vector<std::string> names;
    std::size_t at = 0;
  };
  explicit UploadArchive(const ContainerSpecBody::Upload& upload) : upload_(upload), lower_(upload.lower) {}
  Result<std::string> entry();
  std::string visit(Frame& frame, const std::string& name);
  TarEntry head_of(const struct stat& info, const std::string& path) const;

  ContainerSpecBody::Upload upload_;
  LowerLayers lower_;
  std::vector<Frame> frames_;
  UniqueFd file_;
  std::uint64_t left_ = 0;     // of file_
  std::uint64_t padding_ = 0;  // behind it
  bool ended_ = false;
};

/// Puts entries of archives into a directory of ours, where an overlay's upper layer would have them. Nothing is written outside it, no
/// symlink followed, nothing written over but what an earlier archive of the same run put there. What can't be kept is remembered.
class StagedTree {
 public:
  /// `directory` is open, empty, and nobody else writes there.
  StagedTree(UniqueFd directory, const CollectOptions& bounds) : root_(std::move(directory)), bounds_(bounds) {}

  /// What GET /containers/ID/archive?path=PATH answers, for the place PATH (relative; its last part is the archive's top). A reader for it;
  /// one at a time. Its feed() is an Error where a file is over the bounds: oversized() has it, and the archive has to be asked for
  /// in smaller parts.
  TarReader reader(const std::string& place);
  /// The path of the file that ended the last reader for its size, with that; "" none.
  [[nodiscard]] const std::string& oversized() const { return oversized_; }
  /// Entries that came so far.
  [[nodiscard]] std::uint64_t entries() const { return entries_; }
  /// More came than the bounds allow: readers end with an Error.
  [[nodiscard]] bool full() const { return entries_ > bounds_.max_entries + 1; }

  /// Something that is there and can't be had: stands as a socket (what archives leave out), or as an empty file of that size.
  void put_socket(const std::string& path);
  void put_oversized(const std::string& path, const TarEntry& entry);
  void put_directory(const std::string& path);
  /// What the job removed: a character device 0:0 (Linux 5.8 makes it for anybody).
  void put_whiteout(const std::string& path);
  /// Something with that kind, mode and link target and no more, for what was there before.
  void put_outline(const std::string& path, const TarEntry& entry);
  /// After all has been put there: directories get their modes and times.
  void finish();
  [[nodiscard]] bool has(const std::string& path) const;
  [[nodiscard]] int fd() const { return root_.get(); }
  /// The first thing that went wrong: "", or one line.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  Result<void> begin(const TarEntry& entry);
  Result<void> bytes(std::string_view piece);
  Result<void> end();
  // The directory that `path` lies in, made if need be, and its last part.
  Attempt<std::pair<UniqueFd, std::string>> parent(const std::string& path) const;
  void failed(const std::string& path, int errno_value);

  UniqueFd root_;
  CollectOptions bounds_;
  std::string place_;  // of the reader
  UniqueFd file_;
  std::string path_;  // of file_
  TarEntry entry_;
  struct Directory {
    std::string path;
    std::uint32_t mode = 0;
    timespec modified{};
  };
  std::vector<Directory> directories_;  // as they have to be in the end
  std::uint64_t entries_ = 0;
  std::uint64_t total_ = 0;
  std::string oversized_;
  std::string problem_;
};

/// Names in `lower` (host directories, topmost first) that `staged` lacks get whiteouts there: for directories that came out as a whole.
/// `place` is theirs in `staged`.
void add_missing(StagedTree& staged, const std::vector<std::string>& lower, const std::string& place);

}  // namespace casemate
