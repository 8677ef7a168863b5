// report_file: a file of results that is written while a run goes on, and appears whole, at its end, or not at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Gathers a report beside its place, without a name where the file system can (open(2), O_TMPFILE), and puts it there with rename(2). A
/// pipe or character device (/dev/stdout) is written to at the end, and is an error if nobody has a pipe open for reading then; sockets and
/// block devices are refused. Errors are one line that names the path; after one nothing more is
/// written.
class ReportFile {
 public:
  /// Begins a report that will be at `path`, whose parents are made (0777 & ~umask); symlinks are followed. What is there stays until
  /// publish().
  static Result<ReportFile> begin(const std::string& path);
  ReportFile(ReportFile&& other) noexcept = default;
  ReportFile& operator=(ReportFile&& other) noexcept;
  /// Removes what was not published.
  ~ReportFile();

  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// What is published will have those of the file that it replaces, if there is one.
  [[nodiscard]] Result<void> keep_owner_and_mode();
  [[nodiscard]] Result<void> add(std::string_view text);
  /// Writes over `text.size()` bytes that were added before.
  [[nodiscard]] Result<void> put_at(std::uint64_t offset, std::string_view text);
  /// Adds the first `size` bytes of another one, which may be published.
  [[nodiscard]] Result<void> add_from(ReportFile& other, std::uint64_t size);
  /// Puts it in its place. Nothing may be added after that.
  [[nodiscard]] Result<void> publish();

 private:
  ReportFile() = default;
  [[nodiscard]] Result<void> flush();
  [[nodiscard]] Result<void> copy_out();
  void discard();
  [[nodiscard]] std::unexpected<Error> failure(int errno_value) const;
  [[nodiscard]] std::unexpected<Error> unfit() const;

  std::string path_;       // as it was named
  std::string target_;     // what will be written over
  std::string temporary_;  // "" where it has no name
  UniqueFd fd_;
  std::string buffer_;
  std::uint64_t size_ = 0;
  bool special_ = false;  // the target is no regular file
};

}  // namespace casemate
