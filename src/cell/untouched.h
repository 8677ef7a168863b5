// untouched: whether a process that was in a cell has left a trace there. Most tests only compute: then the cell, or its network namespace
// alone, may serve the next one, which can't tell it from a new one. Making one takes longer than many a test. Obeys the rules of child.h.
#pragma once

#include <cstdint>

#include "cell/plan.h"

namespace casemate {

/// How a cell's writable places look when nobody has been in it.
class CellTraces {
 public:
  /// Looks at them: the directories, files and links that the plan makes, and the file systems they lie on. Called by the cell's init,
  /// after the last of the plan's steps.
  void note(const Plan& plan);
  /// True if nothing was made, removed or changed in any of them since, there is no other process in the cell, and no System V object. Not
  /// for POSIX message queues, which can't be seen: they go with the ipc namespace, which is to be renewed; where their file system is
  /// mounted, never true. What is mounted from the host to be written is no part of the cell.
  [[nodiscard]] bool none() const;

 private:
  static constexpr int kMost = 192;
  struct Place {
    const char* path = nullptr;
    std::uint64_t inode = 0;
    std::int64_t changed_seconds = 0;  // ctime: nobody can set it, but before Linux 6.13 it stands still for 4 ms
    std::int64_t changed_nanoseconds = 0;
    std::uint64_t what = 0;  // of mode, owners, size, and a file's content

    [[nodiscard]] bool operator==(const Place&) const = default;
  };
  struct Room {
    const char* path = nullptr;
    std::uint64_t free_inodes = 0;
  };
  static bool look(const char* path, Place& place);
  void note_place(const char* path);
  void note_room(const char* path);

  Place places_[kMost];
  Room rooms_[kMost];
  int places_count_ = 0;
  int rooms_count_ = 0;
  bool complete_ = true;
};

/// True if no packet was ever sent in the calling process's network namespace, nor tried to be, and there is no socket but unix ones and
/// netlink's: /proc/net/{dev,snmp,snmp6,sockstat,sockstat6} are as in a new one with its loopback up. Without CAP_NET_ADMIN nothing else of
/// it can be changed (/proc/sys is read-only in a cell). False if that can't be read. To be asked when no process of the cell is left that
/// could still do something.
[[nodiscard]] bool network_untouched();

}  // namespace casemate
