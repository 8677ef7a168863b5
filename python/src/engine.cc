#include "engine.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <nanobind/nanobind.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "errors.h"
#include "gil.h"

namespace nb = nanobind;

namespace casemate::python {
namespace {

using Clock = std::chrono::steady_clock;

// A signal may come between the look for it and poll(2), or to another thread: nobody waits longer for its handler.
constexpr auto kLook = std::chrono::milliseconds(200);

}  // namespace

Mailbox::Mailbox() : owner_(::getpid()), fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_) throw Failure{fail_errno("make an eventfd").error()};
}

void Mailbox::put(std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (news_.insert(key).second && news_.size() == 1) ::eventfd_write(fd_.get(), 1);
}

std::vector<std::uint64_t> Mailbox::take() {
  if (owner_ != ::getpid()) throw_forked("engine");
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  ::eventfd_read(fd_.get(), &count);
  std::vector<std::uint64_t> keys(news_.begin(), news_.end());
  news_.clear();
  return keys;
}

bool Mailbox::wait(double seconds) {
  if (owner_ != ::getpid()) throw_forked("engine");
  const auto until = seconds < 0 || seconds > 1e9
                         ? Clock::time_point::max()
                         : Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  for (;;) {
    const auto left = until == Clock::time_point::max() ? Clock::duration(kLook) : until - Clock::now();
    const auto most = std::chrono::ceil<std::chrono::milliseconds>(std::clamp(left, Clock::duration::zero(), Clock::duration(kLook)));
    pollfd polled{fd_.get(), POLLIN, 0};
    const int ready = without_gil([&] { return ::poll(&polled, 1, static_cast<int>(most.count())) < 0 ? -errno : polled.revents; });
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (ready > 0) return true;
    if (ready < 0 && ready != -EINTR) throw Failure{fail_errno("poll(2)", -ready).error()};
    if (left <= Clock::duration::zero()) return false;
  }
}

void JobState::output(Stream stream, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (!listens_) return;
  waiting_bytes_ += bytes.size();
  if (!pieces_.empty() && pieces_.back().stream == stream) {
    pieces_.back().bytes += bytes;
  } else {
    pieces_.push_back({stream, std::string(bytes)});
  }
  tell();
}

std::size_t JobState::backlog() {
  const std::lock_guard lock(mutex_);
  return waiting_bytes_;
}

void JobState::refused(const Error& error) { ended(std::unexpected(error)); }

void JobState::finished(JobResult result) { ended(std::move(result)); }

void JobState::ended(Result<JobResult> result) {
  const std::shared_ptr<JobState> self = std::move(self_);  // to the end of this function, or longer
  const std::lock_guard lock(mutex_);
  input_.reset();
  end_ = std::move(result);
  tell();
}

bool JobState::done() {
  const std::lock_guard lock(mutex_);
  return end_.has_value();
}

std::vector<JobState::Piece> JobState::take_output() {
  const std::lock_guard lock(mutex_);
  waiting_bytes_ = 0;
  return std::exchange(pieces_, {});
}

void JobState::stop_listening() {
  const std::lock_guard lock(mutex_);
  listens_ = false;
  waiting_bytes_ = 0;
  pieces_.clear();
}

Result<JobResult> JobState::end() {
  const std::lock_guard lock(mutex_);
  return end_ ? *end_ : fail(ErrorCode::internal, "a job was asked for its result before its end");
}

void JobState::subscribe(std::shared_ptr<Mailbox> mailbox, std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  if (end_ || !pieces_.empty()) mailbox->put(key);
  subscribers_.emplace_back(std::move(mailbox), key);
}

void JobState::unsubscribe(const Mailbox& mailbox, std::uint64_t key) {
  const std::lock_guard lock(mutex_);
  std::erase_if(subscribers_, [&](const auto& each) { return each.first.get() == &mailbox && each.second == key; });
}

void JobState::tell() {
  for (const auto& [mailbox, key] : subscribers_) mailbox->put(key);
}

std::shared_ptr<EngineState> EngineState::create(std::size_t slots) {
  std::shared_ptr<EngineState> state(new EngineState);
  state->thread_ = value_or_throw(without_gil([&] { return EngineThread::create({.slots = slots}); }));
  state->opened();
  return state;
}

void EngineState::post(std::function<void(Engine&)> work) {
  check_process();
  if (!thread_) throw Failure{Error{ErrorCode::cancelled, "the engine is closed"}};
  value_or_throw(thread_->post(std::move(work)));
}

std::shared_ptr<JobState> EngineState::submit(Job job, std::string input, bool listens) {
  check_process();
  UniqueFd stdin_fd;
  if (job.forward_stdin) {
    stdin_fd = value_or_throw(sealed_memory("casemate-stdin", input));
    ::lseek(stdin_fd.get(), 0, SEEK_SET);
  }
  auto state = std::make_shared<JobState>(listens, std::move(stdin_fd));
  job.stdin_fd = state->input();
  state->keep(state);
  try {
    post([state, job = std::move(job)](Engine& engine) {
      if (auto queued = engine.submit(job, *state); !queued) state->refused(queued.error());
    });
  } catch (...) {
    state->drop();
    throw;
  }
  return state;
}

void EngineState::cancel(const std::shared_ptr<JobState>& job) {
  check_process();
  // An engine that ends has cancelled all.
  if (thread_) (void)thread_->post([job](Engine& engine) { engine.cancel(*job); });
}

bool EngineState::closed() const {
  check_process();
  return !thread_;
}

std::function<void()> EngineState::take_end() {
  if (!thread_) return {};
  return [thread = std::move(thread_)]() mutable { thread.reset(); };
}

}  // namespace casemate::python
