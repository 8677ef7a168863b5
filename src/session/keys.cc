#include "session/keys.h"

#include <cerrno>
#include <csignal>

#include <termios.h>
#include <unistd.h>

namespace casemate {
namespace {

// What ends or stops a program without its destructors; SIGINT, SIGTERM and SIGHUP are read by the engine.
constexpr int kSignals[] = {SIGQUIT, SIGTSTP, SIGCONT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

termios as_it_was{};
termios as_we_have_it{};
struct sigaction before[std::size(kSignals)];
bool is_on = false;

void on_signal(int number) {
  const int kept = errno;
  if (number == SIGCONT) {
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &as_we_have_it);  // in the background this stops us again, until we are in front
    errno = kept;
    return;
  }
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &as_it_was);
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  struct sigaction ours{};
  ::sigaction(number, &action, &ours);
  ::raise(number);
  sigset_t one;
  sigset_t old;
  ::sigemptyset(&one);
  ::sigaddset(&one, number);
  ::sigprocmask(SIG_UNBLOCK, &one, &old);  // it happens here; after SIGTSTP we go on
  ::sigprocmask(SIG_SETMASK, &old, nullptr);
  ::sigaction(number, &ours, nullptr);
  errno = kept;
}

bool in_foreground() { return ::isatty(STDIN_FILENO) == 1 && ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

}  // namespace

Keys::Keys() {
  if (is_on || !in_foreground() || ::tcgetattr(STDIN_FILENO, &as_it_was) != 0) {
    on_ = is_on;
    return;
  }
  as_we_have_it = as_it_was;
  as_we_have_it.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  as_we_have_it.c_cc[VMIN] = 1;
  as_we_have_it.c_cc[VTIME] = 0;
  for (std::size_t i = 0; i < std::size(kSignals); ++i) {
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(kSignals[i], nullptr, &before[i]);
    if (before[i].sa_handler == SIG_DFL) ::sigaction(kSignals[i], &action, nullptr);
  }
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &as_we_have_it);
  on_ = is_on = outermost_ = true;
}

Keys::~Keys() {
  if (!outermost_) return;
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &as_it_was);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
  is_on = false;
}

int Keys::fd() const { return STDIN_FILENO; }

std::string Keys::read() const {
  char typed[256];
  ssize_t got;
  while ((got = ::read(STDIN_FILENO, typed, sizeof typed)) < 0 && errno == EINTR) {
  }
  return got > 0 ? std::string(typed, static_cast<std::size_t>(got)) : "";
}

}  // namespace casemate
