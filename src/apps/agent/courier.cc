#include "apps/agent/courier.h"

#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace casemate {
namespace {

Result<UniqueFd> event(int flags) {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | flags));
  if (!fd) return fail_errno("make an eventfd");
  return fd;
}

void raise(const UniqueFd& fd) { ::eventfd_write(fd.get(), 1); }

// Of one that blocks: waits.
void lower(const UniqueFd& fd) {
  eventfd_t count = 0;
  while (::eventfd_read(fd.get(), &count) < 0 && errno == EINTR) continue;
}

}  // namespace

Result<std::unique_ptr<Courier>> Courier::create(const AgentSettings& settings) {
  TRY_ASSIGN(UniqueFd stop, event(EFD_NONBLOCK));
  TRY_ASSIGN(UniqueFd wake, event(0));
  TRY_ASSIGN(UniqueFd ended, event(EFD_NONBLOCK));
  TRY_ASSIGN(Backend backend, Backend::create(settings, stop.get()));
  std::unique_ptr<Courier> courier(new Courier(std::move(stop), std::move(wake), std::move(ended), std::move(backend)));
  try {
    courier->thread_ = std::thread([&self = *courier] { self.run(); });
  } catch (const std::system_error& problem) {
    return fail(ErrorCode::exhausted, std::string("can't start a thread: ") + problem.what());
  }
  return courier;
}

Courier::Courier(UniqueFd stop, UniqueFd wake, UniqueFd ended, Backend backend)
    : stop_(std::move(stop)), wake_(std::move(wake)), ended_(std::move(ended)), backend_(std::move(backend)) {}

Courier::~Courier() {
  leaving_ = true;
  raise(stop_);
  raise(wake_);
  if (thread_.joinable()) thread_.join();
}

void Courier::send(Errand errand) {
  {
    const std::lock_guard hold(mutex_);
    lower(stop_);
    taking_ = errand.kind == Errand::Kind::take;
    errand_ = std::move(errand);
  }
  idle_ = false;
  raise(wake_);
}

std::optional<ErrandEnd> Courier::fetch() {
  lower(ended_);
  const std::lock_guard hold(mutex_);
  if (!end_) return std::nullopt;
  idle_ = true;
  return std::exchange(end_, std::nullopt);
}

void Courier::interrupt_take() {
  const std::lock_guard hold(mutex_);
  if (taking_) raise(stop_);
}

void Courier::run() {
  for (;;) {
    lower(wake_);
    if (leaving_) return;
    std::optional<Errand> errand;
    {
      const std::lock_guard hold(mutex_);
      errand = std::exchange(errand_, std::nullopt);
    }
    if (!errand) continue;
    ErrandEnd end = go(*errand);
    {
      const std::lock_guard hold(mutex_);
      taking_ = false;
      end_ = std::move(end);
    }
    raise(ended_);
  }
}

ErrandEnd Courier::go(const Errand& errand) {
  ErrandEnd end{.kind = errand.kind, .number = errand.number};
  switch (errand.kind) {
    case Errand::Kind::take:
      end.taken = backend_.take();
      break;
    case Errand::Kind::post:
      end.posted = backend_.post(errand.body);
      break;
    case Errand::Kind::ask:
      end.asked = backend_.ask_result(errand.task);
      break;
  }
  return end;
}

}  // namespace casemate
