// thread: threads of casemate's own.
#pragma once

#include <functional>
#include <stop_token>
#include <thread>

#include "casemate/result.h"

namespace casemate {

/// Starts a thread in which no signal is delivered: the caller's signals are none of its business, and a signalfd (signalfd(2)) would miss
/// what a thread with an open mask takes. `system` if there can be no more threads; `work` has not run then.
Result<std::jthread> start_thread(std::function<void(const std::stop_token&)> work);

}  // namespace casemate
