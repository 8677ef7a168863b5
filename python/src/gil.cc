#include "gil.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <nanobind/nanobind.h>
#include <pthread.h>
#include <unistd.h>

namespace casemate::python {
namespace {

constexpr auto kInside = std::chrono::seconds(1);

std::atomic<bool> ending = false;
thread_local int of_this_thread = 0;  // of those inside: how often this one has it for a while
std::atomic<int> inside = 0;          // threads that have looked at `ending`, and wait for the GIL or have it for a while
std::thread::id last;                 // the thread that ends the interpreter; written before `ending`

// Whether this thread may take the GIL; then it counts until it says that it is through.
bool may_take() {
  ++inside;
  if (!ending || std::this_thread::get_id() == last) return true;
  --inside;
  return false;
}

}  // namespace

void prepare_gil() {
  // Threads that were on their way back are not in a child of fork(2). The one that forks is inside if a signal's handler does so.
  ::pthread_atfork(nullptr, nullptr, [] { inside = of_this_thread; });
}

GilReleased::GilReleased() : thread_(PyEval_SaveThread()) {}

void GilReleased::take_back() {
  while (!may_take()) ::pause();
  PyEval_RestoreThread(static_cast<PyThreadState*>(thread_));
  --inside;
}

GilTaken::GilTaken() : taken_(may_take()) {
  if (!taken_) return;
  ++of_this_thread;
  state_ = PyGILState_Ensure();
}

GilTaken::~GilTaken() {
  if (!taken_) return;
  PyGILState_Release(static_cast<PyGILState_STATE>(state_));
  --of_this_thread;
  --inside;
}

void interpreter_ends() {
  last = std::this_thread::get_id();
  ending = true;
  PyThreadState* const own = PyEval_SaveThread();
  for (auto waited = std::chrono::milliseconds(0); inside > of_this_thread && waited < kInside; waited += std::chrono::milliseconds(1))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  PyEval_RestoreThread(own);
}

}  // namespace casemate::python
