// engine: an engine as Python has it. No code of Python ever runs in the engine's thread, which never waits for the GIL: what jobs say and
// how they end lies here until a thread of Python's comes for it, and mailboxes wake that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "casemate/engine.h"
#include "closable.h"
#include "engine/engine_thread.h"
#include "sys/fd.h"

namespace casemate::python {

/// Where word comes from any number of jobs to one waiting thread or event loop. Safe from threads.
class Mailbox {
 public:
  Mailbox();
  /// A descriptor that is readable while there is news; the mailbox's.
  [[nodiscard]] int fd() const { return fd_.get(); }
  void put(std::uint64_t key);
  /// The keys of those that have news, each once.
  std::vector<std::uint64_t> take();
  /// Waits for news without the GIL, for at most so many seconds (negative: for ever); runs handlers of signals, and throws what they
  /// raise. False: there is none.
  bool wait(double seconds);

 private:
  pid_t owner_;
  UniqueFd fd_;
  std::mutex mutex_;
  std::set<std::uint64_t> news_;
};

/// A job from its submission to its end: the engine's thread writes, Python's read.
class JobState final : public JobListener {
 public:
  struct Piece {
    Stream stream;
    std::string bytes;
  };

  /// `listens`: its output is wanted as it comes.
  JobState(bool listens, UniqueFd input) : listens_(listens), input_(std::move(input)) {}
  /// It lives until its end, whoever lets go of it.
  void keep(std::shared_ptr<JobState> self) { self_ = std::move(self); }
  void drop() { self_.reset(); }

  void output(Stream stream, std::string_view bytes) override;
  std::size_t backlog() override;
  void refused(const Error& error) override;
  void finished(JobResult result) override;

  [[nodiscard]] int input() const { return input_.get(); }
  bool done();
  /// What came since the last call.
  std::vector<Piece> take_output();
  /// Nobody will ask for output any more: it is thrown away.
  void stop_listening();
  /// Its end, once done().
  Result<JobResult> end();
  /// `key` is put into the mailbox at each piece of news, and at once if it is done or has output.
  void subscribe(std::shared_ptr<Mailbox> mailbox, std::uint64_t key);
  void unsubscribe(const Mailbox& mailbox, std::uint64_t key);

 private:
  void ended(Result<JobResult> result);
  void tell();

  std::mutex mutex_;
  bool listens_;
  UniqueFd input_;
  std::vector<Piece> pieces_;
  std::size_t waiting_bytes_ = 0;
  std::optional<Result<JobResult>> end_;
  std::vector<std::pair<std::shared_ptr<Mailbox>, std::uint64_t>> subscribers_;
  std::shared_ptr<JobState> self_;
};

/// An engine with its thread. Called with the GIL; in a child of fork(2) every call but close() throws.
class EngineState final : public Closable {
 public:
  static std::shared_ptr<EngineState> create(std::size_t slots);
  ~EngineState() override { close(); }

  std::shared_ptr<JobState> submit(Job job, std::string input, bool listens);
  void cancel(const std::shared_ptr<JobState>& job);
  [[nodiscard]] bool closed() const;

 private:
  EngineState() : Closable("engine") {}
  void post(std::function<void(Engine&)> work);
  std::function<void()> take_end() override;  // jobs end as `cancelled`, and so does the thread

  std::shared_ptr<EngineThread> thread_;  // only touched with the GIL
};

}  // namespace casemate::python
