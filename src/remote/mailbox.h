// mailbox: what threads of jobs have to say to the engine's loop.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include "casemate/result.h"
#include "engine/reactor.h"
#include "sys/fd.h"

namespace casemate {

/// Letters are opened in the reactor's thread, in the order in which they came.
class Mailbox {
 public:
  static Result<std::unique_ptr<Mailbox>> open(Reactor& reactor);
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  /// From any thread. Waits while letters of more than 1 MiB (`weight`, in bytes) lie here, unless `stop` asks; those of weight 0 never.
  void post(std::function<void()> letter, std::size_t weight, const std::stop_token& stop);

 private:
  explicit Mailbox(Reactor& reactor) : reactor_(reactor) {}
  void empty();

  struct Letter {
    std::function<void()> open;
    std::size_t weight = 0;
  };
  Reactor& reactor_;
  UniqueFd event_;
  std::mutex mutex_;  // of the rest
  std::condition_variable_any room_;
  std::deque<Letter> letters_;
  std::size_t weight_ = 0;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);  // a letter may end us
};

}  // namespace casemate
