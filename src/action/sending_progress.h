// sending_progress: how far a job's inputs are on their way to an engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace casemate {

/// Of all that is on its way to one engine at this moment. Files that the engine has already are not counted.
struct SendingProgress {
  enum class Phase {
    reading,  ///< files are read for their digests; of `bytes` and `files` nobody knows how many there will be
    sending,
    done,  ///< for now; `bytes` and `files` were sent, or 0 where reading was all
  };
  Phase phase = Phase::reading;
  std::uint64_t bytes_done = 0, bytes = 0;  ///< of content, however it is compressed on the way
  std::size_t files_done = 0, files = 0;
  std::string to;  ///< the engine's address

  bool operator==(const SendingProgress&) const = default;
};
using TellSending = std::function<void(const SendingProgress&)>;

}  // namespace casemate
