// sent_blobs: what an engine's storage is known to have, so that what jobs share is asked for once a run.
#pragma once

#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <unordered_set>

#include "action/job_action.h"
#include "casemate/result.h"
#include "remote/engine.h"

namespace casemate {

/// Safe for several threads.
class SentBlobs {
 public:
  explicit SentBlobs(RemoteEngine& engine) : engine_(engine) {}
  /// Sees to it that all of the action is there. Bytes that went over the wire.
  Result<std::uint64_t> send(const JobAction& action, const std::stop_token& stop);
  /// Some of it is not there any more: nothing is known.
  void forget();

 private:
  Result<std::uint64_t> send_unknown(const JobAction& action, const std::stop_token& stop);

  RemoteEngine& engine_;
  std::mutex mutex_;  // of known_
  std::unordered_set<std::string> known_;
  std::mutex large_;  // held while an image or a project is sent: who needs the same one waits instead of sending it too
};

}  // namespace casemate
