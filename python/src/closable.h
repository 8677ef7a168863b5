// closable: what an engine and a runtime tester have in common as Python has them: each lives in one process, is on a list while it is
// open, and closes once.
#pragma once

#include <functional>

#include <sys/types.h>

namespace casemate::python {

/// Throws a Failure (not_supported): this process is a fork of the one that made `what` ("engine").
[[noreturn]] void throw_forked(const char* what);

/// All is called with the GIL, which close() and close_all() let go of meanwhile.
class Closable {
 public:
  /// `what`: a literal for people, "engine".
  explicit Closable(const char* what);
  Closable(const Closable&) = delete;
  Closable& operator=(const Closable&) = delete;

  /// Throws in a child of fork(2).
  void check_process() const;
  /// Ends what runs, and all that there is. The second time it does nothing. In a child of fork(2) it lets go without a word: threads,
  /// cells and locks are the parent's.
  void close();
  /// Closes all that are open, and waits for those that other threads close: at the interpreter's exit.
  static void close_all();

 protected:
  /// Derived classes' call close(), while they still can say what ends them.
  virtual ~Closable() = default;
  /// From now on there is something to close.
  void opened();

 private:
  /// What ends it: will be called without the GIL, owns all that it touches, and in a child of fork(2) is neither called nor destroyed.
  /// From now on this is closed. Empty: it was before. Takes no lock.
  virtual std::function<void()> take_end() = 0;

  const char* what_;
  pid_t owner_;
};

}  // namespace casemate::python
