// side_work: what takes too long for the engine's thread, in a thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <thread>

#include "casemate/result.h"
#include "engine/reactor.h"
#include "sys/fd.h"

namespace casemate {

/// One piece of work. The destructor asks it to stop and waits for it.
class SideWork {
 public:
  /// `work` runs in the thread, `done` is then called once from the reactor; it may destroy this. An Error: there can be no more threads
  /// or descriptors, and nothing has run.
  static Result<std::unique_ptr<SideWork>> begin(Reactor& reactor, std::function<void(const std::stop_token&)> work,
                                                 std::function<void()> done);
  ~SideWork();
  SideWork(const SideWork&) = delete;
  SideWork& operator=(const SideWork&) = delete;
  void request_stop() { thread_.request_stop(); }

 private:
  explicit SideWork(Reactor& reactor) : reactor_(reactor) {}

  Reactor& reactor_;
  UniqueFd event_;       // an eventfd: it is done
  std::jthread thread_;  // last: it uses the above
};

}  // namespace casemate
