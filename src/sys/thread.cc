#include "sys/thread.h"

#include <csignal>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace casemate {

Result<std::jthread> start_thread(std::function<void(const std::stop_token&)> work) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  Result<std::jthread> started;
  try {
    started = std::jthread(std::move(work));
  } catch (const std::system_error& problem) {
    started = fail(ErrorCode::system, fmt::format("can't start a thread: {}", problem.what()), problem.code().value());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace casemate
