// discarded_output: what a command's services still write when the command has ended.
#pragma once

#include <cstddef>
#include <list>
#include <optional>

#include "engine/reactor.h"
#include "sys/fd.h"

namespace casemate {

/// Keeps the reading ends of pipes, and throws away what comes, at some 10 MiB/s at most: a service that writes to the stdout that it got
/// from its command neither waits for ever nor dies of it. Ends at which nobody writes any more are closed; of too many the oldest is.
class DiscardedOutput {
 public:
  explicit DiscardedOutput(Reactor& reactor) : reactor_(reactor) {}
  ~DiscardedOutput() { close_all(); }
  DiscardedOutput(const DiscardedOutput&) = delete;
  DiscardedOutput& operator=(const DiscardedOutput&) = delete;
  /// `end` is non-blocking; an empty one is nothing.
  void take(UniqueFd end);
  void close_all();

 private:
  struct End {
    UniqueFd fd;
    std::optional<Reactor::TimerId> pause;
  };
  using Place = std::list<End>::iterator;
  void watch(Place end);
  void read(Place end);
  void remove(Place end);

  Reactor& reactor_;
  std::list<End> ends_;
};

}  // namespace casemate
