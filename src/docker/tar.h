// tar: the archives that the Engine API takes and gives (pax interchange format, pax(1p); Go's archive/tar writes them), piece by piece.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <time.h>

#include "casemate/result.h"

namespace casemate {

/// One entry's head.
struct TarEntry {
  enum class Type { file, hard_link, symlink, character, block, directory, fifo, other };
  Type type = Type::file;
  std::string path;         ///< as the archive has it: any bytes but NUL, absolute or not, ".." or not
  std::string link_target;  ///< symlink, hard_link
  std::uint64_t size = 0;   ///< file: bytes that follow
  std::uint32_t mode = 0;   ///< 07777 of it
  std::uint32_t uid = 0, gid = 0;
  timespec modified{};
};

/// Reads an archive in any pieces; what it says is hostile, and bounded: heads of 1 MiB at most.
class TarReader {
 public:
  /// `begin` hears each entry; then `bytes` gets a file's contents in pieces, and `end` follows every entry. Their errors end the reading.
  struct Hears {
    std::function<Result<void>(const TarEntry&)> begin;
    std::function<Result<void>(std::string_view)> bytes;
    std::function<Result<void>()> end;
  };
  explicit TarReader(Hears hears) : hears_(std::move(hears)) {}
  /// corrupt: what is no archive.
  Result<void> feed(std::string_view bytes);
  /// corrupt: the archive broke off.
  [[nodiscard]] Result<void> finish() const;

 private:
  enum class Part { head, extension, body, padding, done };
  Result<void> head();
  Result<void> extended();
  Result<void> start_entry();
  Result<void> end_entry();

  Hears hears_;
  Part part_ = Part::head;
  std::string block_;   // of a head or an extension, as far as it has come
  char extension_ = 0;  // 'x', 'g', 'L', 'K'
  std::uint64_t left_ = 0;
  std::uint64_t padding_ = 0;
  TarEntry entry_;
  bool has_path_ = false, has_link_ = false, has_size_ = false, has_time_ = false;  // of extensions, for the next entry
  TarEntry extended_;
};

/// The head of an entry, with pax records before it where ustar has no room. A file's `size` bytes and tar_padding() follow.
[[nodiscard]] std::string tar_head(const TarEntry& entry);
/// Zeros to the next full block after `size` bytes.
[[nodiscard]] std::string tar_padding(std::uint64_t size);
/// The end of an archive.
[[nodiscard]] std::string tar_end();

}  // namespace casemate
