// delivery: the host directory that receives what a job made.
#pragma once

#include <string>
#include <vector>

#include "casemate/job.h"
#include "casemate/result.h"
#include "sys/path.h"

namespace casemate {

/// Makes directories, files and links below one destination, which is opened once; symlinks that lie in it are never followed and nothing
/// that exists is written over. Directories are made when the first thing in them is. Paths are relative, shorter than PATH_MAX.
class Delivery {
 public:
  /// Makes `destination` and its parents if missing. Fails if it can't be made or isn't a directory.
  static Result<Delivery> open(const std::string& destination);
  /// Below a directory that is open already (O_PATH will do).
  explicit Delivery(UniqueFd root) : root_(std::move(root)) {}

  /// The destination itself.
  [[nodiscard]] UniqueFd take_root() && { return std::move(root_); }

  /// The directory `path` ("" is the destination), made if missing; the fd (O_PATH) is valid until the next call. Errors as errno.
  Attempt<int> directory(const std::string& path);
  /// The new file `name` in `path`, for writing. EEXIST if something has the name.
  Attempt<UniqueFd> file(const std::string& path, const std::string& name, bool executable);
  /// The new symlink `name` in `path`.
  Attempt<void> link(const std::string& path, const std::string& name, const std::string& target, const struct timespec& modified);
  /// Takes a file back that could not be written in full.
  void take_back(const std::string& path, const std::string& name);
  /// Gives the directory `path` its time, after all in it has been made.
  void set_time(const std::string& path, const struct timespec& modified);

 private:
  UniqueFd root_;
  std::string path_;  // of here_
  UniqueFd here_;
};

/// The directories that receive what a job changes, opened before it runs: Job::collect_to, or with several Job::collect one in it for
/// each, named as in the cell. Empty: changes are listed only.
Result<std::vector<UniqueFd>> open_destinations(const Job& job);

}  // namespace casemate
