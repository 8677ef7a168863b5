#include "command/callers_environment.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include <unistd.h>

namespace casemate {
namespace {

// Of the caller's environment: what names places or sockets of the host that a cell has not, or is about the terminal's shell.
constexpr std::string_view kLeftOut[] = {"HOME",
                                         "PWD",
                                         "OLDPWD",
                                         "TMPDIR",
                                         "TEMP",
                                         "TMP",
                                         "_",
                                         "SHLVL",
                                         "SSH_AUTH_SOCK",
                                         "SSH_CLIENT",
                                         "SSH_CONNECTION",
                                         "SSH_TTY",
                                         "STY",
                                         "TERM_SESSION_ID",
                                         "TMUX",
                                         "TMUX_PANE",
                                         "WINDOWID",
                                         "SSH_AGENT_PID",
                                         "GPG_AGENT_INFO",
                                         "DBUS_SESSION_BUS_ADDRESS",
                                         "DISPLAY",
                                         "WAYLAND_DISPLAY",
                                         "MAIL",
                                         "HISTFILE",
                                         "LS_COLORS",
                                         "XAUTHORITY"};

bool left_out(std::string_view name) {
  return name.starts_with("XDG_") || name.starts_with("CASEMATE_") || name.starts_with("MAELSTROM_") ||
         std::find(std::begin(kLeftOut), std::end(kLeftOut), name) != std::end(kLeftOut);
}

}  // namespace

void take_callers_environment(Job& job) {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0 || left_out(text.substr(0, equals))) continue;
    job.env.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
}

void keep_user_site(Job& job, const ActivePython& active) {
  const char* home = std::getenv("HOME");
  const std::string base = home ? std::string(home) + "/.local" : "";
  const auto is_below = [&](const std::string& directory) { return directory.starts_with(base + "/lib/"); };
  if (!base.empty() && std::any_of(active.directories.begin(), active.directories.end(), is_below)) job.env.emplace("PYTHONUSERBASE", base);
}

}  // namespace casemate
