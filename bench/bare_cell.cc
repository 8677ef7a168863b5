// The least that a cell takes on this kernel, for bench/start: one process that makes a user, mount, pid, ipc, uts and network namespace, a
// tmpfs root with the host's /usr, /etc and /opt read-only in it and a /proc, and executes a command there. No limits, no filter, no
// devices, no masks, no streams, no report. As root only.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

// From sys/mount.h, which does not go together with <linux/mount.h>.
extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*) noexcept;
extern "C" int umount2(const char*, int) noexcept;
constexpr int kDetach = 2;

constexpr const char* kMap = "0 1879048192 65536";

void must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "bare_cell: %s: %s\n", what, std::strerror(errno));
  ::_exit(125);
}

void write_map(pid_t pid, const char* file) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  must(fd >= 0 && ::write(fd, kMap, std::strlen(kMap)) > 0, path);
  ::close(fd);
}

void show(const char* host, const char* place) {
  const auto tree = static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, host, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  must(tree >= 0 && ::syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0, host);
  must(::syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) == 0, place);
  ::close(tree);
}

[[noreturn]] void cell(int mapped, char** command) {
  must(::unshare(CLONE_NEWNET) == 0, "unshare");
  char byte;
  must(::read(mapped, &byte, 1) == 1 && ::setresgid(0, 0, 0) == 0 && ::setresuid(0, 0, 0) == 0, "become root");
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  must(::ioctl(socket, SIOCSIFFLAGS, &request) == 0, "lo");
  must(::mount("bare", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=0755") == 0 && ::chdir("/tmp") == 0, "the root");
  for (const char* path : {"usr", "etc", "opt", "proc"}) ::mkdir(path, 0755);
  for (const char* path : {"bin", "lib", "lib64"}) {
    char target[16];
    std::snprintf(target, sizeof target, "usr/%s", path);
    must(::symlink(target, path) == 0, path);
  }
  show("/usr", "usr");
  show("/etc", "etc");
  show("/opt", "opt");
  must(::mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0, "proc");
  must(::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", kDetach) == 0 && ::chdir("/") == 0, "pivot_root");
  const pid_t job = ::vfork();
  if (job == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::execve(command[0], command, environ);
    ::_exit(127);
  }
  int status = 0;
  must(job > 0 && ::waitpid(job, &status, 0) == job, "the command");
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

}  // namespace

int main(int argc, char** argv) {
  int mapped[2];
  must(argc > 1 && ::pipe2(mapped, O_CLOEXEC) == 0, "usage: bare_cell COMMAND [ARGUMENT...]");
  clone_args arguments{};
  arguments.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  arguments.exit_signal = SIGCHLD;
  const auto init = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
  must(init >= 0, "clone3");
  if (init == 0) cell(mapped[0], argv + 1);
  write_map(init, "uid_map");
  write_map(init, "gid_map");
  must(::write(mapped[1], "x", 1) == 1, "pipe");
  int status = 0;
  must(::waitpid(init, &status, 0) == init, "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
