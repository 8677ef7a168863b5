// gil: waiting without the GIL, also when the interpreter ends meanwhile.
#pragma once

#include <utility>

namespace casemate::python {

/// Lets go of the GIL until take_back(). A thread that finds the interpreter ending does not come back from it, nor from
/// without_gil(): Python before 3.14 would end it by pthread_exit(3), which no C++ frame on its stack survives.
class GilReleased {
 public:
  GilReleased();
  GilReleased(const GilReleased&) = delete;
  GilReleased& operator=(const GilReleased&) = delete;
  /// Takes the GIL again. Called once.
  void take_back();

 private:
  void* thread_;
};

/// Calls `work`, which must not throw, without the GIL.
template <class Work>
auto without_gil(Work work) {
  GilReleased released;
  auto result = work();
  released.take_back();
  return result;
}

/// The GIL for a while, for what is called by work below without_gil(), in the same thread. False: the interpreter ends, and this thread
/// does not have it.
class GilTaken {
 public:
  GilTaken();
  ~GilTaken();
  GilTaken(const GilTaken&) = delete;
  GilTaken& operator=(const GilTaken&) = delete;
  explicit operator bool() const { return taken_; }

 private:
  bool taken_;
  int state_ = 0;
};

/// Once, when the module is initialised.
void prepare_gil();

/// From here on threads other than this one, which ends the interpreter, stay in without_gil() and get no GilTaken. Called with the GIL,
/// which others may have meanwhile: those that have one are waited for, for a second.
void interpreter_ends();

}  // namespace casemate::python
