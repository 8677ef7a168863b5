// operation_log: which operations an engine runs for this process, on disk: what a process that was killed left there, the next one ends.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// Safe for several threads. A file that can't be written is no reason for a job to fail: then nothing is kept. The file is locked
/// (flock(2)) as long as its process lives, and gone when that ends well.
class OperationLog {
 public:
  /// `engine`: all that tells one from another, for operations have their names from it. Makes nothing before the first began().
  OperationLog(std::string directory, std::string_view engine);
  ~OperationLog();
  OperationLog(const OperationLog&) = delete;
  OperationLog& operator=(const OperationLog&) = delete;

  /// In `directory` of casemate's state, where that can be had.
  static std::string directory();

  void began(const std::string& operation);
  void ended(const std::string& operation);
  /// Calls `end` with each operation of this engine that had not ended when its process did. False from there: stop, the next one goes on.
  void end_left(const std::function<bool(const std::string& operation)>& end) const;

 private:
  bool open();
  void write(char what, const std::string& operation);

  std::string directory_;
  std::string prefix_;  // of file names: the engine's
  std::mutex mutex_;    // of the rest
  std::string path_;
  UniqueFd file_;
  bool broken_ = false;
  std::unordered_set<std::string> running_;
};

}  // namespace casemate
