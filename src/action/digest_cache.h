// digest_cache: digests of files whose times say that they are as they were: what a second run need not read.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "action/blob.h"
#include "casemate/result.h"
#include "image/file_list.h"
#include "store/hints.h"

namespace casemate {

/// Digests of the files below one directory of the host, by device, inode, size, mtime and ctime (FileStamp); a file below
/// `<store>/digests`, and a hint (store/hints.h). Safe for several threads.
class DigestCache {
 public:
  /// `store` is a store's directory, "" for a cache that lives no longer than this; `identity` is any text that says which directory.
  DigestCache(const std::string& store, std::string_view identity);

  /// The digest of a file that looks so, if it is known.
  [[nodiscard]] std::optional<BlobDigest> known(const FileStamp& stamp);
  /// Reads the open regular file from its start. It is remembered, unless its times are as young as the look: somebody could write to it
  /// once more in the same tick of the clock (git calls that racily clean). `corrupt`: written to while it was read, three times over.
  Result<BlobDigest> read(int fd);
  /// As known(), of Python's bytecode as it is without a time: one that belongs to a source of this word (action/bytecode.h).
  [[nodiscard]] std::optional<BlobDigest> known_bytecode(const FileStamp& stamp, std::uint64_t source);
  /// As read(). nullopt: it is no such bytecode, or of another source.
  Result<std::optional<BlobDigest>> read_bytecode(int fd, std::uint64_t source);
  /// Writes it if any of it is new; of many thousands only what was asked for.
  void save();

 private:
  struct Known {
    std::string hash;  // 32 bytes
    bool used = false;
  };
  struct StampHash {
    std::size_t operator()(const FileStamp& stamp) const;
  };
  void load();
  void remember(const FileStamp& stamp, const std::string& hash);

  std::string store_;
  std::string name_;
  std::mutex mutex_;  // of what is below
  std::unordered_map<FileStamp, Known, StampHash> known_;
  bool changed_ = false;
};

/// What a store keeps of digests, which only spares reading.
[[nodiscard]] HintFiles digest_files(const std::string& store);

}  // namespace casemate
