#include "cell/untouched.h"

#include <cstring>
#include <initializer_list>

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
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

// Of /proc/net/snmp6: a name and a value a line, all 0 in a new namespace.
bool no_counter_moved_6(const char* text) {
  for (const char* line = text; *line != '\0';) {
    const char* end = std::strchr(line, '\n');
    if (!end) break;
    if (end - line < 2 || end[-1] != '0' || (end[-2] != '\t' && end[-2] != ' ')) return false;
    line = end + 1;
  }
  return true;
}

bool loopback_is_quiet(const char* text) {
  const char* line = std::strstr(text, "lo:");
  return line && all_zero(line + 3, 0);
}

// What every cell has, made by us or by the image.
constexpr const char* kKnown[] = {"/",    "/tmp",         "/var",          "/var/tmp",         "/root",
                                  "/run", "/home",        "/dev",          "/dev/shm",         "/dev/pts",
                                  "/etc", "/etc/hosts",   "/etc/hostname", "/etc/resolv.conf", "/run/resolv.conf",
                                  "/sys", "/dev/pts/ptmx"};

bool no_system_v_objects() {
  shm_info segments{};
  seminfo semaphores{};
  msginfo queues{};
  if (::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&segments)) < 0 || segments.used_ids != 0) return false;
  if (::semctl(0, 0, SEM_INFO, &semaphores) < 0 || semaphores.semusz != 0) return false;
  return ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&queues)) >= 0 && queues.msgpool == 0;
}

}  // namespace

bool CellTraces::look(const char* path, Place& place) {
  struct stat info{};
  if (::lstat(path, &info) < 0) return false;
  std::uint64_t what = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&](std::uint64_t value) { what = (what ^ value) * 0x100000001b3; };
  for (const std::uint64_t value : {std::uint64_t{info.st_mode}, std::uint64_t{info.st_uid}, std::uint64_t{info.st_gid}}) add(value);
  if (S_ISREG(info.st_mode)) {
    char text[kMostText];
    add(static_cast<std::uint64_t>(info.st_size));
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const ssize_t got = fd < 0 ? 0 : ::read(fd, text, sizeof text);
    if (fd >= 0) ::close(fd);
    for (ssize_t at = 0; at < got; ++at) add(static_cast<unsigned char>(text[at]));
  }
  place = {path, info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec, what};
  return true;
}

void CellTraces::note_place(const char* path) {
  Place place;
  if (!look(path, place)) return;  // it can only come by a change of the directory it would lie in
  if (places_count_ == kMost) {
    complete_ = false;
    return;
  }
  places_[places_count_++] = place;
}

void CellTraces::note_room(const char* path) {
  struct statfs state{};
  if (::statfs(path, &state) < 0) return;
  if (rooms_count_ == kMost) {
    complete_ = false;
    return;
  }
  rooms_[rooms_count_++] = {path, state.f_ffree};
}

void CellTraces::note(const Plan& plan) {
  for (const char* path : kKnown) note_place(path);
  note_room("/");
  bool inside = false;  // paths before an image's root is entered are beside it
  for (const Step& step : plan.cell) inside |= step.op == Step::Op::enter;
  inside = !inside;
  for (const Step& step : plan.cell) {
    if (step.op == Step::Op::enter) inside = true;
    const char* path = step.path.c_str();
    if (!inside || std::strncmp(path, "../", 3) == 0) continue;
    // Relative to the root, which is the working directory too.
    switch (step.op) {
      case Step::Op::make_directory:
      case Step::Op::make_file:
      case Step::Op::make_symlink:
        note_place(path);
        break;
      case Step::Op::mount:
        // A queue's file system shows the ipc namespace that it was mounted in, and the next test gets another.
        complete_ &= step.source != "mqueue" && (step.source != "devpts" || std::strcmp(path, "dev/pts") == 0);
        if (step.source != "tmpfs") break;
        [[fallthrough]];
      case Step::Op::overlay:
        note_place(path);
        note_room(path);
        break;
      case Step::Op::bind:
        if (step.source[0] == '.') {  // an overlay without lower layers
          note_place(path);
          note_room(path);
        }
        break;
      default:
        break;
    }
  }
}

bool CellTraces::none() const {
  if (!complete_) return false;
  // All that came in descends from a process that has been reaped: whatever still runs is init's child by now.
  if (::waitpid(-1, nullptr, WNOHANG) >= 0) return false;
  for (int i = 0; i < places_count_; ++i) {
    Place now;
    if (!look(places_[i].path, now) || !(now == places_[i])) return false;
  }
  // Whatever was copied up or made in a directory that is not among the places took an inode.
  for (int i = 0; i < rooms_count_; ++i) {
    struct statfs state{};
    if (::statfs(rooms_[i].path, &state) < 0 || state.f_ffree != rooms_[i].free_inodes) return false;
  }
  return no_system_v_objects();
}

bool network_untouched() {
  char text[kMostText];
  if (!read_text("/proc/net/dev", text) || !loopback_is_quiet(text)) return false;
  if (!read_text("/proc/net/sockstat", text) || !no_socket(text)) return false;
  if (read_text("/proc/net/sockstat6", text) && !no_socket(text)) return false;
  // A packet that found no route has moved counters of IPv6 alone; a kernel without IPv6 has no such file.
  if (::access("/proc/net/snmp6", F_OK) == 0 && (!read_text("/proc/net/snmp6", text) || !no_counter_moved_6(text))) return false;
  return read_text("/proc/net/snmp", text) && no_counter_moved(text);
}

}  // namespace casemate
