// sent_blobs: what an engine's storage is known to have, so that what jobs share is asked for once a run.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <unordered_set>

#include "action/job_action.h"
#include "casemate/result.h"
#include "remote/engine.h"
#include "remote/sending_watch.h"

namespace casemate {

/// Safe for several threads.
class SentBlobs {
 public:
  SentBlobs(RemoteEngine& engine, SendingWatch& watch) : engine_(engine), watch_(watch) {}
  /// Sees to it that all of the action is there. Bytes that went over the wire.
  Result<std::uint64_t> send(const JobAction& action, const std::stop_token& stop);
  /// Whether all of the action is there, whatever is known. Where it is not, nothing is known any more.
  Result<bool> has_all(const JobAction& action, const std::stop_token& stop);
  /// Some of it is not there any more: nothing is known.
  void forget();
  /// How often that was so: what ran meanwhile may have missed something that is there again.
  [[nodiscard]] std::uint64_t losses() const { return losses_; }

 private:
  Result<std::uint64_t> send_unknown(const JobAction& action, const std::stop_token& stop);

  RemoteEngine& engine_;
  std::atomic<std::uint64_t> losses_ = 0;
  SendingWatch& watch_;
  std::mutex mutex_;  // of known_
  std::unordered_set<std::string> known_;
  std::mutex large_;  // held while an image or a project is sent: who needs the same one waits instead of sending it too
};

}  // namespace casemate
