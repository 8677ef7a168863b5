// mock_backend: a small backend of the contract in a thread, on loopback, for `casemate agent --mock` and for tests.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/agent/example_lab.h"
#include "apps/agent/settings.h"
#include "apps/agent/task.h"
#include "casemate/result.h"

namespace casemate {

/// What a mock backend offers, and to whom.
struct MockOptions {
  std::vector<Task> tasks;  ///< each is given out once, in the form it has; then there is none (UNAVAILABLE)
  std::uint16_t port = 0;   ///< 0: any
  bool auth = false;        ///< only with a bearer token of the login
  std::string login = "dora_explorer";
  std::string password = "dora_explorer";
  std::string roleless;  ///< a user (same password) who may log in and gets 403 for the rest; "": there is none
  std::chrono::milliseconds token_life = std::chrono::minutes(15);
  std::string get_api = "/api/task/available";
  std::string post_api = "/api/task/result";
  std::string login_api = "/api/v1/login";
  std::string token_refresh_api = "/api/v1/auth/refresh";
  /// Called in a thread of the backend for each result that was taken; must not call the backend.
  std::function<void(const std::string& body)> on_result;
};

/// The backend: it listens while this lives. As deployed ones do, it answers 500 for errorDetails of more than 255 characters and for a NUL
/// in any text, deletes an attempt whose result comes a second time (200) and answers 400 to the third. `GET /api/session/attempt/{id}`
/// is 404 for an attempt that there is not, else `{"id", "status", "isPassed", "testResults"}` with AVAILABLE, IN_PROGRESS or FINISHED.
class MockBackend {
 public:
  /// not_supported: the port can't be had.
  static Result<MockBackend> start(MockOptions options);
  MockBackend(MockBackend&&) noexcept;
  MockBackend& operator=(MockBackend&&) noexcept;
  ~MockBackend();
  /// "http://127.0.0.1:PORT".
  [[nodiscard]] std::string url() const;
  /// Bodies of the results that were taken, in order.
  [[nodiscard]] std::vector<std::string> results() const;

 private:
  struct Parts;
  explicit MockBackend(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// A backend with the example lab as its tasks.
struct MockRun {
  ExampleLab lab;  ///< lab.tests_url() is what AgentSettings::tests_repo is to be; file: URLs have to be allowed
  MockBackend backend;
};

/// Writes the example lab into `directory` (all that was there is removed, and the directory at the end) and offers `count` tasks with it,
/// in the form of `settings.wire` (else form A), with fresh keys, at the paths and to the login of `settings`.
Result<MockRun> start_mock(const AgentSettings& settings, const std::string& directory, std::size_t count = 1,
                           std::function<void(const std::string& body)> on_result = {});

}  // namespace casemate
