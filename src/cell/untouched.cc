#include "cell/untouched.h"

#include <cstring>
#include <initializer_list>

#include <fcntl.h>
#include <unistd.h>

namespace casemate {
namespace {

constexpr int kMostText = 8192;

// The file as a C string; false if it can't be read or is longer.
bool read_text(const char* path, char* buffer) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t got = ::read(fd, buffer, kMostText - 1);
  ::close(fd);
  if (got <= 0 || got == kMostText - 1) return false;
  buffer[got] = '\0';
  return true;
}

// True if all numbers of the line from `at` on are 0, but for the first `skipped`.
bool all_zero(const char* at, int skipped) {
  for (;;) {
    while (*at == ' ') ++at;
    if (*at == '\n' || *at == '\0') return true;
    const char* number = at;
    while (*at != ' ' && *at != '\n' && *at != '\0') ++at;
    if (skipped > 0) {
      --skipped;
    } else if (at - number != 1 || *number != '0') {
      return false;
    }
  }
}

// Of /proc/net/snmp (RFC 1213's counters): a line of names, then one of values, for each protocol.
bool no_counter_moved(const char* text) {
  bool values = false;
  int lines = 0;
  for (const char* line = text; *line != '\0';) {
    const char* colon = std::strchr(line, ':');
    if (!colon) return false;
    // Settings, not counters: Forwarding and DefaultTTL; RtoAlgorithm, RtoMin, RtoMax and MaxConn.
    const int settings = std::strncmp(line, "Ip:", 3) == 0 ? 2 : std::strncmp(line, "Tcp:", 4) == 0 ? 4 : 0;
    if (values && !all_zero(colon + 1, settings)) return false;
    values = !values;
    ++lines;
    const char* end = std::strchr(line, '\n');
    if (!end) break;
    line = end + 1;
  }
  return lines > 2;
}

// Of sockstat and sockstat6: no line but the first, which counts unix and netlink sockets too, has a socket "inuse" or in TIME_WAIT.
bool no_socket(const char* text) {
  for (const char* word : {"inuse ", "orphan ", "tw "}) {
    for (const char* at = std::strstr(text, word); at; at = std::strstr(at + 1, word)) {
      if (at[std::strlen(word)] != '0') return false;
    }
  }
  return true;
}

bool loopback_is_quiet(const char* text) {
  const char* line = std::strstr(text, "lo:");
  return line && all_zero(line + 3, 0);
}

}  // namespace

bool network_untouched() {
  char text[kMostText];
  if (!read_text("/proc/net/dev", text) || !loopback_is_quiet(text)) return false;
  if (!read_text("/proc/net/sockstat", text) || !no_socket(text)) return false;
  if (read_text("/proc/net/sockstat6", text) && !no_socket(text)) return false;
  return read_text("/proc/net/snmp", text) && no_counter_moved(text);
}

}  // namespace casemate
