#include "closable.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

#include "errors.h"
#include "gil.h"

namespace casemate::python {
namespace {

// Of this process; never destroyed, for threads may outlive static objects.
struct Opened {
  pid_t owner = ::getpid();
  std::vector<Closable*> all;      // only touched with the GIL
  std::atomic<int> under_way = 0;  // being closed
};

Opened& of_this_process() {
  static Opened* opened = new Opened;
  if (opened->owner != ::getpid()) opened = new Opened;  // in a child of fork(2), where those are the parent's
  return *opened;
}

}  // namespace

void throw_forked(const char* what) {
  throw Failure{Error{ErrorCode::not_supported, std::string("this process is a fork of the one that made the ") + what + ": make a " +
                                                    what + " here (or start workers by spawn)"}};
}

Closable::Closable(const char* what) : what_(what), owner_(::getpid()) {}

void Closable::check_process() const {
  if (owner_ != ::getpid()) throw_forked(what_);
}

void Closable::opened() { of_this_process().all.push_back(this); }

void Closable::close() {
  if (owner_ != ::getpid()) {
    new std::function<void()>(take_end());  // for ever
    return;
  }
  Opened& list = of_this_process();
  std::erase(list.all, this);
  std::function<void()> end = take_end();
  if (!end) return;
  ++list.under_way;
  without_gil([&] {  // meanwhile the last who holds this may let go of it
    end();
    end = nullptr;
    --list.under_way;
    return 0;
  });
}

void Closable::close_all() {
  interpreter_ends();
  Opened& list = of_this_process();
  while (!list.all.empty()) list.all.back()->close();
  without_gil([&] {
    while (list.under_way > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return 0;
  });
}

}  // namespace casemate::python
