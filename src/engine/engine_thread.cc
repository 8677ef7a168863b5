#include "engine/engine_thread.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/thread.h"

namespace casemate {
namespace {

constexpr auto kTurn = std::chrono::milliseconds(60'000);

}  // namespace

// Shared by the thread and those that post; the engine itself lies on the thread's stack, where nobody else can reach it.
struct EngineThread::Parts {
  pid_t owner = ::getpid();
  UniqueFd wake;  // an eventfd: there is work, or the end has come
  std::mutex mutex;
  std::condition_variable begun;
  std::deque<std::function<void(Engine&)>> work;
  std::optional<Result<void>> start;  // how making the engine came out
  std::optional<Error> broken;        // its loop's failure: nothing works any more
  bool ending = false;
  std::jthread thread;  // last: it uses all of the above

  void run(EngineOptions options) {
    auto engine = Engine::create(std::move(options));
    Result<void> watched = engine ? (*engine)->watch(wake.get(), [this, &engine] { take(**engine); }) : Result<void>{};
    {
      const std::lock_guard lock(mutex);
      start = engine ? watched : std::unexpected(engine.error());
    }
    begun.notify_all();
    if (!engine || !watched) return;
    Result<void> turned;
    while (turned && !is_ending()) turned = (*engine)->turn(kTurn);
    if (!turned) {
      const std::lock_guard lock(mutex);
      broken = turned.error();
    }
    take(**engine);  // what was posted before the end is heard, and ends as cancelled
    (*engine)->cancel_all();
    (void)(*engine)->run_until_idle();
    (*engine)->unwatch(wake.get());
  }

  bool is_ending() {
    const std::lock_guard lock(mutex);
    return ending;
  }

  void take(Engine& engine) {
    eventfd_t count = 0;
    ::eventfd_read(wake.get(), &count);
    // One by one: what one of them waits for (the end of a job that it runs) may come from those behind it, which a turn below takes then.
    for (std::size_t left = waiting(); left > 0; --left) {
      std::function<void(Engine&)> next;
      bool more = false;
      {
        const std::lock_guard lock(mutex);
        if (work.empty()) return;
        next = std::move(work.front());
        work.pop_front();
        more = !work.empty();
      }
      if (more) ::eventfd_write(wake.get(), 1);
      next(engine);
    }
  }

  std::size_t waiting() {
    const std::lock_guard lock(mutex);
    return work.size();
  }
};

EngineThread::EngineThread(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Result<std::unique_ptr<EngineThread>> EngineThread::create(EngineOptions options) {
  auto parts = std::make_unique<Parts>();
  parts->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!parts->wake) return fail_errno("make an eventfd");
  Parts* raw = parts.get();
  TRY_ASSIGN(parts->thread, start_thread([raw, options = std::move(options)](const std::stop_token&) { raw->run(options); }));
  std::unique_lock lock(raw->mutex);
  raw->begun.wait(lock, [&] { return raw->start.has_value(); });
  lock.unlock();
  TRY(*raw->start);
  return std::unique_ptr<EngineThread>(new EngineThread(std::move(parts)));
}

EngineThread::~EngineThread() {
  if (parts_->owner != ::getpid()) {
    // A child of fork(2) has neither the thread nor what its engine owns: to let go of either would wait for ever, or end what is the
    // parent's.
    (void)parts_.release();  // NOLINT(bugprone-unused-return-value)
    return;
  }
  {
    const std::lock_guard lock(parts_->mutex);
    parts_->ending = true;
    parts_->work.emplace_back([](Engine& engine) { engine.cancel_all(); });  // also where work runs a job, and waits for it
  }
  ::eventfd_write(parts_->wake.get(), 1);
  parts_->thread.join();
}

Result<void> EngineThread::post(std::function<void(Engine&)> work) {
  if (parts_->owner != ::getpid())
    return fail(ErrorCode::not_supported,
                "this process is a fork of the one that runs cells, which can't be shared: make them anew here, or start workers by spawn");
  {
    const std::lock_guard lock(parts_->mutex);
    if (parts_->broken) return std::unexpected(*parts_->broken);
    if (parts_->ending) return fail(ErrorCode::cancelled, "the engine is ending");
    parts_->work.push_back(std::move(work));
  }
  ::eventfd_write(parts_->wake.get(), 1);
  return {};
}

}  // namespace casemate
