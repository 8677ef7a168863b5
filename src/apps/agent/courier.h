// courier: a thread that talks to the backend, one request at a time, so that the agent itself never waits for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "apps/agent/backend.h"
#include "apps/agent/task.h"
#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// One thing to ask or tell the backend.
struct Errand {
  enum class Kind { take, post, ask };
  Kind kind = Kind::take;
  std::int64_t number = 0;  ///< post, ask: of the outbox's entry
  Task task;                ///< ask: has it a result?
  std::string body;         ///< post
};

/// What came of an errand; only the member of its kind means something.
struct ErrandEnd {
  Errand::Kind kind = Errand::Kind::take;
  std::int64_t number = 0;
  std::expected<TaskAnswer, BackendFailure> taken;
  PostOutcome posted;
  std::expected<std::optional<bool>, BackendFailure> asked;  ///< as Backend::ask_result()
};

/// Owns the backend and the thread. Its public members are for one thread, the agent's.
class Courier {
 public:
  /// As Backend::create().
  static Result<std::unique_ptr<Courier>> create(const AgentSettings& settings);
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;
  /// Interrupts what is under way.
  ~Courier();
  [[nodiscard]] bool idle() const { return idle_; }
  /// Only while idle.
  void send(Errand errand);
  /// Readable when an errand has ended.
  [[nodiscard]] int fd() const { return ended_.get(); }
  /// What came of the errand: then it is idle again. nullopt: it has not ended.
  std::optional<ErrandEnd> fetch();
  /// Ends a question for a task, if that is what is under way; a post goes on.
  void interrupt_take();

 private:
  Courier(UniqueFd stop, UniqueFd wake, UniqueFd ended, Backend backend);
  void run();
  ErrandEnd go(const Errand& errand);

  UniqueFd stop_;   // readable: the request under way is to end
  UniqueFd wake_;   // eventfd: there is an errand, or the thread is to end
  UniqueFd ended_;  // eventfd
  Backend backend_;
  bool idle_ = true;
  std::atomic<bool> leaving_ = false;
  std::mutex mutex_;  // of all below
  std::optional<Errand> errand_;
  std::optional<ErrandEnd> end_;
  bool taking_ = false;
  std::thread thread_;
};

}  // namespace casemate
