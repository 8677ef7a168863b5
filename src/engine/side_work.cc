#include "engine/side_work.h"

#include <utility>

#include <sys/eventfd.h>

#include "sys/thread.h"

namespace casemate {

Result<std::unique_ptr<SideWork>> SideWork::begin(Reactor& reactor, std::function<void(const std::stop_token&)> work,
                                                  std::function<void()> done) {
  std::unique_ptr<SideWork> side(new SideWork(reactor));
  side->event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!side->event_) return fail_errno("make an eventfd");
  TRY(reactor.watch(side->event_.get(), [raw = side.get(), done = std::move(done)] {
    raw->reactor_.unwatch(raw->event_.get());
    if (raw->thread_.joinable()) raw->thread_.join();
    done();
  }));
  TRY_ASSIGN(side->thread_, start_thread([work = std::move(work), event = side->event_.get()](const std::stop_token& stop) {
               work(stop);
               ::eventfd_write(event, 1);
             }));
  return side;
}

SideWork::~SideWork() {
  reactor_.unwatch(event_.get());
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace casemate
