// lock: a lock file of the store. What is locked, by whom and in which order: theory of operation in store.cc.
#pragma once

#include <string>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// An open lock file with two independent locks, held by its open file description (fcntl(2), F_OFD_SETLK, Linux 3.15): they go when the
/// last descriptor of it closes, so also at SIGKILL, and a lock can be asked about without taking it.
class LockFile {
 public:
  enum class Part { use, make, both };
  enum class Mode { shared, exclusive };

  /// Opens `path`; makes it (0600) if `create`. not_found if it is missing.
  static Result<LockFile> open(const std::string& path, bool create);
  /// Takes a lock without waiting; false: somebody else holds it.
  Result<bool> try_lock(Part part, Mode mode);
  /// Takes a lock, waiting for as long as it takes.
  Result<void> lock(Part part, Mode mode);
  void unlock(Part part);
  /// True if anybody but this description holds either lock in a way that would keep us from `mode`.
  [[nodiscard]] bool held_by_others(Part part, Mode mode) const;
  /// True if the path still names this file. A lock taken on a file that was unlinked meanwhile guards nothing: open again.
  [[nodiscard]] bool current() const;
  /// Removes the name. Only while holding `both` exclusively.
  void remove();
  /// The descriptor, with the locks it holds.
  [[nodiscard]] UniqueFd take() { return std::move(fd_); }

 private:
  LockFile(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  UniqueFd fd_;
};

}  // namespace casemate
