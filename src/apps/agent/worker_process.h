// worker_process: one running `casemate-agent worker DIR`, from its order to its grade.
#pragma once

#include <csignal>
#include <optional>
#include <string>

#include "apps/agent/grade.h"
#include "apps/agent/order.h"
#include "casemate/result.h"
#include "sys/fd.h"
#include "sys/process.h"

namespace casemate {

inline constexpr const char* kWorkerLog = "worker.log";  ///< in the task's directory: what a worker said on stderr

/// Leads a process group of its own, and dies with the thread that started it. The destructor kills it.
class WorkerProcess {
 public:
  /// Writes the order into `directory` (which is there) and starts the worker; `program` is what is executed. Its stdin is /dev/null, its
  /// stdout and stderr are DIRECTORY/worker.log.
  static Result<WorkerProcess> start(const std::string& directory, const WorkOrder& order, const std::string& program = "/proc/self/exe");
  WorkerProcess(WorkerProcess&&) noexcept = default;
  WorkerProcess& operator=(WorkerProcess&&) noexcept = default;
  ~WorkerProcess() { kill(); }
  /// Readable when it has ended.
  [[nodiscard]] int pidfd() const { return process_.pidfd(); }
  /// Readable when it has left a file, maybe its grade; -1 where the kernel can't tell.
  [[nodiscard]] int files_fd() const { return files_.get(); }
  /// To be asked when files_fd() is readable: its grade, if that is there already. The worker may still be busy for those after it.
  std::optional<Grade> early_grade();
  /// Its order's tells_ready was set, and its tests have begun, or have ended.
  [[nodiscard]] bool is_ready() const;
  /// SIGINT to the worker: it ends its tests.
  void interrupt() const { process_.signal(SIGINT); }
  /// SIGKILL to it and its group; reaps it.
  void kill();
  /// Reaps one that has ended, or was killed. Its grade, or one with Fault::worker that says how it died instead of leaving one.
  Grade grade();

 private:
  WorkerProcess(std::string directory, UniqueFd files, ChildProcess process)
      : directory_(std::move(directory)), files_(std::move(files)), process_(std::move(process)) {}
  [[nodiscard]] std::optional<Grade> left_grade() const;
  std::string directory_;
  UniqueFd files_;  // inotify(7)
  ChildProcess process_;
  std::optional<ProcessEnd> end_;
};

}  // namespace casemate
