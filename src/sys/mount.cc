#include "sys/mount.h"

#include <cerrno>

#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace casemate {

int open_tree_raw(const char* path, const TreeOptions& options) {
  // A tree with mounts below it can't be idmapped as one if any of their file systems can't be; the places we idmap have none.
  const bool recursive = options.idmap_fd < 0;
  const unsigned how = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  const int fd = static_cast<int>(::syscall(SYS_open_tree, options.directory, path, how));
  if (fd < 0) return -errno;
  mount_attr attributes{};
  if (options.read_only) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  if (options.nosuid) attributes.attr_set |= MOUNT_ATTR_NOSUID;
  if (options.nodev) attributes.attr_set |= MOUNT_ATTR_NODEV;
  if (options.noexec) attributes.attr_set |= MOUNT_ATTR_NOEXEC;
  if (options.idmap_fd >= 0) {
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(options.idmap_fd);
  }
  const unsigned where = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (attributes.attr_set != 0 && ::syscall(SYS_mount_setattr, fd, "", where, &attributes, sizeof attributes) < 0) {
    const int problem = errno;
    ::close(fd);
    return -problem;
  }
  return fd;
}

Result<UniqueFd> open_tree(const std::string& path, const TreeOptions& options) {
  const int fd = open_tree_raw(path.c_str(), options);
  if (fd < 0) return fail_errno("show " + path + " in a cell", -fd);
  return UniqueFd(fd);
}

}  // namespace casemate
