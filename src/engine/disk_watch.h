// disk_watch: bounds what a job puts into directories of the host that are mounted for writing, where no file system of its own does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Outcome::step of a job that was ended for what it wrote: more bytes or files than its bound; or the file system was nearly full.
inline constexpr const char* kManyBytes = "bytes";
inline constexpr const char* kManyFiles = "files";
inline constexpr const char* kDiskFull = "full";

/// The files that a bound of `bytes` stands for: each takes at least a block of 4 KiB, an inode and a name.
[[nodiscard]] constexpr std::uint64_t files_within(std::uint64_t bytes) { return bytes / 4096; }

/// Looks ten times a second, in a thread of its own, at the writable binds of a job that have Mount::bytes. It speaks up when files that
/// were made or changed since then take more than that, or are more than files_within() that, by their names (walked only once the
/// file system has grown by as much, since a walk costs 2 µs an entry), or when the file system itself is nearly full and was not before:
/// deleted files that are still open have no name. Late, that is: what is written between two looks is on the disk.
class DiskWatch {
 public:
  /// nullptr if the job has no such mount. Looks at the directories as they are now; to be called before the job runs.
  static Result<std::unique_ptr<DiskWatch>> begin(const Job& job);
  /// Ends the thread, in the middle of a walk too.
  ~DiskWatch() = default;
  DiskWatch(const DiskWatch&) = delete;
  DiskWatch& operator=(const DiskWatch&) = delete;

  /// Readable once something is too large; stays so.
  [[nodiscard]] int fd() const { return event_.get(); }
  /// What became too large.
  struct Problem {
    std::string step;  ///< see above; "": it can't be watched any more
    std::string text;  ///< one line for people; "": nothing
  };
  /// To be read only when fd() is readable.
  [[nodiscard]] const Problem& problem() const { return problem_; }

 private:
  struct Place;
  DiskWatch() = default;
  void watch(const std::stop_token& stop);

  std::vector<std::shared_ptr<Place>> places_;
  UniqueFd event_;
  Problem problem_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace casemate
