// mount: the file-descriptor mount calls of Linux 5.2 and 5.12 that glibc 2.36 wraps, and what we make of them.
#pragma once

#include <cstdint>
#include <string>

#include <fcntl.h>

#include "casemate/result.h"
#include "sys/fd.h"

namespace casemate {

/// What a mounted tree may be used for.
struct TreeOptions {
  bool read_only = true;
  bool nosuid = true;
  bool nodev = true;
  bool noexec = false;
  int directory = AT_FDCWD;  ///< where a relative path begins
  int idmap_fd = -1;  ///< a user namespace: on-disk ids are read as ids of that namespace (MOUNT_ATTR_IDMAP, Linux 5.12); not recursive
};

/// A detached copy of the mount tree at `path` (open_tree(2) OPEN_TREE_CLONE, recursive unless idmapped) with these options; attach it with
/// move_mount(2), also from another mount namespace. Needs CAP_SYS_ADMIN over the caller's mount namespace. `path` may end in a symlink,
/// which is followed.
Result<UniqueFd> open_tree(const std::string& path, const TreeOptions& options);

/// The same as one raw call sequence for the child after clone: no allocation. Returns the fd or -errno.
int open_tree_raw(const char* path, const TreeOptions& options);

}  // namespace casemate
