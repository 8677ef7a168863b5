// engine_thread: an engine in a thread of its own, for callers of any thread.
#pragma once

#include <functional>
#include <memory>

#include "casemate/engine.h"
#include "casemate/result.h"

namespace casemate {

/// Owns an engine and the one thread that may touch it. Cells die with the thread that made them (PR_SET_PDEATHSIG), so it lives as long as
/// the engine. Safe from several threads; not after fork(2): in a child every call fails with not_supported.
class EngineThread {
 public:
  /// Starts the thread and makes the engine in it; fails as Engine::create(). All signals are blocked in the thread.
  static Result<std::unique_ptr<EngineThread>> create(EngineOptions options = {});
  /// Ends all jobs as `cancelled` (their listeners hear it), then engine and thread.
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// Calls `work` in the thread, soon, while jobs run; may be called from there too. What it throws ends the program: let it throw nothing.
  Result<void> post(std::function<void(Engine&)> work);

 private:
  struct Parts;
  explicit EngineThread(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace casemate
