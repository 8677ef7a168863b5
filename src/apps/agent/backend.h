// backend: the HTTP half of the contract: asks for tasks, posts results, logs in and refreshes.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "apps/agent/settings.h"
#include "apps/agent/task.h"
#include "casemate/result.h"

namespace casemate {

/// How asking the backend failed.
struct BackendFailure {
  enum class Kind {
    unreachable,   ///< no answer, 5xx, 429: later
    unauthorised,  ///< 401 after a refresh and a login, or a bad password (401), an unknown user (400), no role (403): what names which
    nonsense,      ///< an answer that is none of the contract's
    interrupted,
  } kind = Kind::unreachable;
  std::string what;  ///< one line, without secrets
};

/// What became of a POST.
struct PostOutcome {
  enum class Kind {
    accepted,   ///< 2xx
    refused,    ///< 4xx but 401, 403, 408, 429: the same will be refused again
    later,      ///< nothing was sent, or the server said that it did not take it (5xx, 429, 408, unauthorised)
    ambiguous,  ///< sent, and no whole answer came: it may have been taken
  } kind = Kind::later;
  std::string what;
};

/// One backend; of one thread. Tokens live in memory alone.
class Backend {
 public:
  /// `stop_fd` as of HttpOptions. Fails with invalid_input for an URL or a CA file that can't be used.
  static Result<Backend> create(const AgentSettings& settings, int stop_fd);
  Backend(Backend&&) noexcept;
  Backend& operator=(Backend&&) noexcept;
  ~Backend();
  /// The next task. Logs in first where that is wanted.
  std::expected<TaskAnswer, BackendFailure> take();
  PostOutcome post(const std::string& body);
  /// Whether a result of this attempt is there already, by `GET /api/session/attempt/{id}`; nullopt where the backend can't say.
  std::optional<bool> has_result(const Task& task);

 private:
  struct Parts;
  explicit Backend(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// The next wait after `failures` (1, 2, ...) in a row: doubling from 1 s to 60 s, of which a random half (`jitter` in [0, 1)) is taken
/// off.
[[nodiscard]] std::chrono::milliseconds backoff(std::uint32_t failures, double jitter);

}  // namespace casemate
