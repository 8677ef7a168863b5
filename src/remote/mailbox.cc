#include "remote/mailbox.h"

#include <utility>

#include <sys/eventfd.h>

namespace casemate {
namespace {

constexpr std::size_t kMostWeight = 1u << 20;

}  // namespace

Result<std::unique_ptr<Mailbox>> Mailbox::open(Reactor& reactor) {
  std::unique_ptr<Mailbox> box(new Mailbox(reactor));
  box->event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!box->event_) return fail_errno("make an eventfd");
  TRY(reactor.watch(box->event_.get(), [raw = box.get()] { raw->empty(); }));
  return box;
}

Mailbox::~Mailbox() {
  *here_ = false;
  reactor_.unwatch(event_.get());
}

void Mailbox::post(std::function<void()> letter, std::size_t weight, const std::stop_token& stop) {
  {
    std::unique_lock lock(mutex_);
    if (weight > 0 && !room_.wait(lock, stop, [&] { return weight_ < kMostWeight; })) return;
    letters_.push_back({std::move(letter), weight});
    weight_ += weight;
  }
  ::eventfd_write(event_.get(), 1);
}

void Mailbox::empty() {
  eventfd_t count = 0;
  ::eventfd_read(event_.get(), &count);
  std::deque<Letter> letters;
  {
    const std::lock_guard lock(mutex_);
    letters = std::exchange(letters_, {});
    weight_ = 0;
  }
  room_.notify_all();
  for (const std::shared_ptr<bool> here = here_; Letter & letter : letters) {
    if (*here) letter.open();
  }
}

}  // namespace casemate
