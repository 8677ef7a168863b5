// backend: the HTTP half of the contract: asks for tasks, posts results, logs in and refreshes.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
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
    nonsense,      ///< an answer that is none of the contract's, or is too large
    unusable,      ///< trying again is of no use: not a URL, a certificate that is not to be trusted
    interrupted,
  } kind = Kind::unreachable;
  std::string what;  ///< one line, without secrets
};

/// What became of a POST.
struct PostOutcome {
  enum class Kind {
    accepted,   ///< 2xx
    refused,    ///< 4xx but 401, 403, 408, 429: the same will be refused again
    later,      ///< it was not sent whole, or the server said that it did not take it (3xx, 5xx but 504, 429, 408, unauthorised)
    ambiguous,  ///< sent, and no whole answer came, or only a gateway's that none came (504): it may have been taken
  } kind = Kind::later;
  std::string what;
};

/// One backend; of one thread. Tokens live in memory alone. No text that it returns has the password or a token in it, also where the
/// backend's own words, of which one line is quoted, have.
///
/// With `auth` a call logs in where there is no token, and refreshes one that is about to end. A 401 means that the token has died early:
/// it is refreshed, or where that is refused replaced by logging in, and the request is made again; that is at most one refresh and one
/// login a call.
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
  /// Whether a result of this attempt is there already, by `GET /api/session/attempt/{id}`; nullopt where the backend can't say, whenever
  /// it is asked: it knows no such path or attempt, or its answer leaves it open. A failure: it could not be asked now; later it may say.
  ///
  /// A result is there if the answer has cases in `testResults` (a list, or an object with a list `testCases`), a `status` of a word such
  /// as FINISHED, or `isPassed` or `isError` that is true. None is there if none of that is so and `status` is a word such as IN_PROGRESS,
  /// or there is no status and `isPassed` is null. All else is open, isPassed false too: it may be a column's default.
  std::expected<std::optional<bool>, BackendFailure> ask_result(const Task& task);

 private:
  struct Parts;
  explicit Backend(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// The next wait after `failures` (1, 2, ...; 0 is as 1) in a row: doubling from `first` to `most`, of which a random half (`jitter` in
/// [0, 1)) is taken off.
[[nodiscard]] std::chrono::milliseconds backoff(std::uint32_t failures, double jitter,
                                                std::chrono::milliseconds first = std::chrono::seconds(1),
                                                std::chrono::milliseconds most = std::chrono::seconds(60));

}  // namespace casemate
