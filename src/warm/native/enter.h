// enter: what a fork does between its birth and its first line of Python: it goes into its cell. System calls only.
#pragma once

#include <cstdint>

namespace casemate::native {

/// The descriptors that the streams of a process lie on, looked up before any fork. A fork takes files of its own over them.
struct Streams {
  static constexpr int kMost = 32;
  static constexpr int kMostFiles = 4;
  int out[kMost];  ///< 1, and whatever is a copy of it (pytest keeps one to come back to)
  int out_count = 0;
  int err[kMost];  ///< 2 and its copies: faulthandler has one too
  int err_count = 0;
  int file[kMost];  ///< files that pytest captures into, and 1 or 2 while it does; file_group says which belong together
  int file_group[kMost];
  int file_count = 0;
};

/// A message T with its descriptors, in the order of TestHeader::Fds; -1 is one that did not come.
struct Order {
  std::uint64_t job = 0;
  int mount_namespace = -1;
  int pid_namespace = -1;
  int ipc_namespace = -1;
  int uts_namespace = -1;
  int network_namespace = -1;
  int cgroup_namespace = -1;
  int out = -1;
  int err = -1;
  int report = -1;
  int cgroup[4] = {-1, -1, -1, -1};

  /// All of them, to be filled from a message and closed in a loop.
  static constexpr int kFds = 13;
  int& fd(int bit);
  void close_all();
  /// Whether it leads into namespaces of a cell, where a test may keep no capability.
  [[nodiscard]] bool confines() const;
};

/// A step that failed: its number in kForkSteps, and errno. No problem: errno 0.
struct Failure {
  std::uint32_t step = 0;
  int problem = 0;
};

/// In the fork: cgroups, namespaces, working directory (`cwd`, "" for none), capabilities, filter, session, streams. Descriptors of `order`
/// stay open but for those of streams.
Failure enter_cell(Order& order, const Streams& streams, const char* cwd);

/// Gives this process files of its own for all that pytest captures into, and `out` and `err` (-1: leave as they are) as its streams.
/// 0 or errno.
int take_streams(const Streams& streams, int out, int err);

/// A nameless file in /tmp, or in memory where /tmp takes none. Close-on-exec. -errno if neither can be had.
int nameless_file();

}  // namespace casemate::native
