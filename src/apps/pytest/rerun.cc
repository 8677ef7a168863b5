#include "apps/pytest/rerun.h"

#include <cerrno>
#include <csignal>
#include <string>

#include <fmt/format.h>
#include <poll.h>

#include "apps/pytest/watch.h"
#include "base/terminal.h"
#include "report/printing.h"
#include "session/bounds.h"
#include "session/keys.h"
#include "sys/signals.h"

namespace casemate {
namespace {

constexpr int kQuiet = 100;     // milliseconds without another edit: an editor, a formatter or git has finished
constexpr int kMostEdits = 30;  // after so many it is tried anyway

// Signals as a descriptor, from before the first run on, so that none is lost between two.
class Signals {
 public:
  Signals() {
    const sigset_t mask = ending_signals();
    ::sigprocmask(SIG_BLOCK, &mask, &before_);
    if (auto opened = open_signals(mask)) fd_ = std::move(*opened);
  }
  ~Signals() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The number of one that came; 0: none.
  [[nodiscard]] int take() const { return take_signal(fd_.get()); }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

bool is_readable(int fd, int milliseconds) {
  pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, milliseconds) > 0;
}

enum class Next { again, end, signal };

// Until something is to be done. `number` is the signal's.
Next wait_for(ProjectWatch& watch, const Keys& keys, const Signals& signals, int& number, std::string& why) {
  for (;;) {
    pollfd fds[] = {{.fd = watch.fd(), .events = POLLIN, .revents = 0},
                    {.fd = signals.fd(), .events = POLLIN, .revents = 0},
                    {.fd = keys ? keys.fd() : -1, .events = POLLIN, .revents = 0}};
    if (::poll(fds, std::size(fds), -1) < 0 && errno != EINTR) return Next::end;
    if ((number = signals.take()) != 0) return Next::signal;
    if (fds[2].revents != 0) {
      const std::string typed = keys.read();
      why.clear();
      if (typed.empty() || typed.contains('q') || typed.contains('\x04')) return Next::end;
      if (typed.contains('\n') || typed.contains('\r')) return Next::again;
    }
    if (fds[0].revents == 0) continue;
    why = watch.changed();
    if (why.empty()) continue;
    for (int edits = 0; edits < kMostEdits && is_readable(watch.fd(), kQuiet); ++edits) (void)watch.changed();
    return Next::again;
  }
}

}  // namespace

int rerun_on_changes(const PytestRequest& request, std::string_view program, const std::function<int()>& run) {
  const std::string project = project_directory(request.directory, request.pytest_arguments);
  auto watch = ProjectWatch::begin(project, {request.junit_xml, request.json_lines, request.html});
  if (!watch) return complain(program, watch.error().what, 3);
  if (watch->is_partial()) complain(program, "the project is large: not all of its files are watched");
  const Signals signals;
  const Keys keys;
  const std::string hint = keys ? "; Enter runs again, q ends" : "; Ctrl-C ends";
  for (;;) {
    const int status = run();
    if (status > 128) return status;
    int number = 0;
    std::string why = watch->changed();  // during the run
    if (why.empty()) {
      say(fmt::format("waiting for changes in {}{}\n", printable_name(project), hint));
      const Next next = wait_for(*watch, keys, signals, number, why);
      if (next == Next::end) return status;
      if (next == Next::signal) return 128 + number;
    }
    if (!why.empty()) say(fmt::format("changed: {}\n", printable_name(why.substr(project.size() + 1))));
  }
}

}  // namespace casemate
