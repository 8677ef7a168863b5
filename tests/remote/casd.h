// casd: a real engine for tests: buildbox-casd, which is store, action cache and execution in one process.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "remote/endpoint.h"

namespace casemate {

/// One buildbox-casd on a socket of its own, with a fresh store. Ends when this does.
class Casd {
 public:
  /// Where its programs are (CASEMATE_CASD); "": nobody said, and tests that want it skip.
  static std::string programs();
  /// Starts it and waits until it listens. `jobs`: actions at a time; `bare`: these see their input root alone, and not the host's
  /// programs.
  explicit Casd(int jobs = 2, bool bare = false);
  ~Casd();
  Casd(const Casd&) = delete;
  Casd& operator=(const Casd&) = delete;

  [[nodiscard]] const RemoteEndpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool listening() const { return listening_; }
  /// What it wrote, for a test that fails.
  [[nodiscard]] std::string log() const;

 private:
  std::string directory_;
  RemoteEndpoint endpoint_;
  pid_t pid_ = -1;
  bool listening_ = false;
};

}  // namespace casemate
