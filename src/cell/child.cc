#include "cell/child.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cell/command.h"
#include "sys/mount.h"
#include "sys/seccomp.h"

namespace casemate {
namespace {

// Every step function returns 0 or a positive errno.
int check(long result) { return result < 0 ? errno : 0; }

int enter_cgroups(const ChildContext& context) {
  for (std::size_t i = 0; i < context.cgroup_count; ++i) {
    if (::write(context.cgroup_fds[i], "0", 1) != 1) return errno;
  }
  return check(::unshare(CLONE_NEWCGROUP));
}

int await_engine(ChildContext& context) {
  Message message{};
  const int got = receive_message(context.socket, message, context.cgroup_fds, kMostPassed);
  if (got < 0 || message.kind != Message::Kind::prepared) return ECANCELED;
  context.cgroup_count = static_cast<std::size_t>(got);
  return 0;
}

int become_root() {
  // Where groups may not be set (a single-id map written without privilege), the old ones stay; they are nobody's inside.
  if (::syscall(SYS_setgroups, 0, nullptr) < 0 && errno != EPERM) return errno;
  if (::syscall(SYS_setresgid, 0, 0, 0) < 0) return errno;
  if (::syscall(SYS_setresuid, 0, 0, 0) < 0) return errno;
  // The change of ids cleared both: nothing inside may look at this process, and it ends with the engine.
  if (::prctl(PR_SET_DUMPABLE, 0) < 0) return errno;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return errno;
  ::umask(0);
  return 0;
}

// The files of /proc/sys/user are those of the user namespace that opens them (user_namespaces(7)), also in the host's /proc.
int namespace_limit(const Step& step) {
  const int fd = ::open(step.path.c_str(), O_WRONLY | O_CLOEXEC);
  // Where the host is itself a container with a read-only /proc/sys the bound above us has to do.
  if (fd < 0) return errno == EROFS ? 0 : errno;
  char digits[24];
  char* at = digits + sizeof digits;
  for (std::uint64_t rest = step.number; rest > 0 || at == digits + sizeof digits; rest /= 10) *--at = static_cast<char>('0' + rest % 10);
  const int problem = check(::write(fd, at, static_cast<std::size_t>(digits + sizeof digits - at)));
  ::close(fd);
  return problem;
}

int mount_root(const Step& step, const ChildContext& context) {
  if (context.covered) *context.covered = ::open(step.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (::mount("casemate", step.path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, step.data.c_str()) < 0) return errno;
  return check(::chdir(step.path.c_str()));
}

// Where a step's path leads. Until the pivot "/" is the host's, and a project may hold a symlink to any place there, so a scoped path is
// walked as in a chroot at the new root, and then named by what was found: nobody can exchange it any more.
class Place {
 public:
  // `last`: with its last part, following it; else its directory, with the last part as a name in it.
  Place(const Step& step, bool last) : name_(step.path.c_str()) {
    if (!step.scoped) return;
    const char* slash = std::strrchr(name_, '/');
    if (!last && !slash) return;
    char parent[PATH_MAX];
    const char* walked = name_;
    if (!last) {
      const auto length = static_cast<std::size_t>(slash - name_);
      if (length >= sizeof parent) {
        problem_ = ENAMETOOLONG;
        return;
      }
      std::memcpy(parent, name_, length);
      parent[length] = '\0';
      walked = parent;
      name_ = slash + 1;
    }
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    // EAGAIN: something on the host was renamed or mounted while the kernel walked a "..".
    for (int tries = 0; tries < 100; ++tries) {
      fd_ = static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, walked, &how, sizeof how));
      if (fd_ >= 0 || errno != EAGAIN) break;
    }
    if (fd_ < 0) problem_ = errno;
    if (last && fd_ >= 0) name_by_fd();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] int problem() const { return problem_; }
  // For the ...at calls, with name(). When the last part was walked too name() alone is the path.
  [[nodiscard]] int directory() const { return fd_ >= 0 ? fd_ : AT_FDCWD; }
  [[nodiscard]] const char* name() const { return name_; }

 private:
  void name_by_fd() {
    char* at = by_fd_ + sizeof by_fd_ - 1;
    *at = '\0';
    int rest = fd_;
    do *--at = static_cast<char>('0' + rest % 10);
    while ((rest /= 10) > 0);
    constexpr char kPrefix[] = "/proc/self/fd/";
    at -= sizeof kPrefix - 1;
    std::memcpy(at, kPrefix, sizeof kPrefix - 1);
    name_ = at;
  }

  const char* name_;
  char by_fd_[32];
  int fd_ = -1;
  int problem_ = 0;
};

int make_directory(const Step& step) {
  const Place place(step, false);
  if (place.problem() != 0) return place.problem();
  return ::mkdirat(place.directory(), place.name(), step.mode) < 0 && errno != EEXIST ? errno : 0;
}

int make_file(const Step& step) {
  const Place place(step, false);
  if (place.problem() != 0) return place.problem();
  // A place for a mount may be there: it must not be opened for writing, which copies it up into an overlay's writable layer.
  const int exclusive = step.data.empty() ? O_EXCL : 0;
  const int fd = ::openat(place.directory(), place.name(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | exclusive, step.mode);
  if (fd < 0) return exclusive != 0 && errno == EEXIST ? 0 : errno;
  const char* at = step.data.data();
  std::size_t left = step.data.size();
  int problem = 0;
  while (left > 0) {
    const ssize_t put = ::write(fd, at, left);
    if (put < 0) {
      problem = errno;
      break;
    }
    at += put;
    left -= static_cast<std::size_t>(put);
  }
  ::close(fd);
  return problem;
}

int make_symlink(const Step& step) {
  const Place place(step, false);
  if (place.problem() != 0) return place.problem();
  return ::symlinkat(step.source.c_str(), place.directory(), place.name()) < 0 && errno != EEXIST ? errno : 0;
}

int open_source(const Step& step, ChildContext& context) {
  const Source& source = context.plan->sources[static_cast<std::size_t>(step.slot)];
  const int fd = open_tree_raw(source.path.c_str(), {.read_only = source.read_only, .noexec = source.noexec});
  if (fd < 0) return -fd;
  context.slots[step.slot] = fd;
  return 0;
}

int attach(const Step& step, ChildContext& context) {
  const int fd = context.slots[step.slot];
  const Place place(step, true);
  if (place.problem() != 0) return place.problem();
  // MOVE_MOUNT_T_SYMLINKS: the name is a link of /proc/self/fd.
  if (::syscall(SYS_move_mount, fd, "", AT_FDCWD, place.name(), (step.scoped ? 0x10 : 0) | 0x4 /* MOVE_MOUNT_F_EMPTY_PATH */) < 0)
    return errno;
  ::close(fd);
  context.slots[step.slot] = -1;
  return 0;
}

int bind(const Step& step) {
  const Place place(step, true);
  return place.problem() != 0 ? place.problem() : check(::mount(step.source.c_str(), place.name(), nullptr, MS_BIND, nullptr));
}

int mount_overlay(const Step& step) {
  const Place place(step, true);
  return place.problem() != 0 ? place.problem()
                              : check(::mount("overlay", place.name(), "overlay", MS_NOSUID | MS_NODEV, step.data.c_str()));
}

int mount_new(const Step& step) {
  const Place place(step, true);
  if (place.problem() != 0) return place.problem();
  unsigned long flags = MS_NOSUID | MS_NOEXEC;
  if (step.source != "devpts") flags |= MS_NODEV;
  if (step.source == "sysfs") flags |= MS_RDONLY;
  if (step.number == 1) flags &= ~static_cast<unsigned long>(MS_NOEXEC);
  return check(::mount(step.source.c_str(), place.name(), step.source.c_str(), flags, step.data.empty() ? nullptr : step.data.c_str()));
}

// number 1: the path is a mount already. Flags that the mount has must be said again, or the kernel takes the call for an attempt to drop
// them.
int read_only(const Step& step) {
  const char* path = step.path.c_str();
  if (step.number != 1 && ::mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) < 0) return errno;
  const unsigned long noexec = step.number == 1 ? 0 : MS_NOEXEC;
  return check(::mount(nullptr, path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | noexec, nullptr));
}

int detach(const Step& step) {
  if (::umount2(step.path.c_str(), MNT_DETACH) < 0) return errno;
  return check(::rmdir(step.path.c_str()));
}

int export_directory(const Step& step, const ChildContext& context) {
  const int fd = ::open(step.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  Message message{.kind = Message::Kind::exported, .step = static_cast<std::uint32_t>(step.slot)};
  const bool sent = send_message(context.socket, message, &fd, 1);
  ::close(fd);
  return sent ? 0 : EPIPE;
}

int export_namespaces(const ChildContext& context) {
  Message message{.kind = Message::Kind::namespaces};
  int fds[kNamespaces];
  int count = 0;
  char path[32] = "/proc/self/ns/";
  for (int i = 0; i < kNamespaces; ++i) {
    if (i == kNetworkNamespace && (context.plan->namespaces & CLONE_NEWNET) == 0) continue;  // the host's
    std::strcpy(path + 14, kNamespaceNames[i]);
    fds[count] = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fds[count] < 0) return errno;
    message.step |= 1u << i;
    ++count;
  }
  const bool sent = send_message(context.socket, message, fds, count);
  for (int i = 0; i < count; ++i) ::close(fds[i]);
  return sent ? 0 : EPIPE;
}

int export_network(const ChildContext& context) {
  const int fds[2] = {::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC)};
  if (fds[0] < 0 || fds[1] < 0) return errno;
  const bool sent = send_message(context.socket, Message{.kind = Message::Kind::network}, fds, 2);
  ::close(fds[0]);
  ::close(fds[1]);
  return sent ? 0 : EPIPE;
}

// True when this file of /proc/net names a default route: IPv4's has destination 00000000, IPv6's a prefix of length 00 by an interface
// other than lo.
bool has_default_route(const char* path, bool version6) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[4096];
  const ssize_t got = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (got <= 0) return false;
  text[got] = '\0';
  if (!version6) return std::strstr(text, "\t00000000\t") != nullptr;
  for (const char* line = text; line && *line; line = std::strchr(line, '\n'), line = line ? line + 1 : line) {
    const char* end = std::strchr(line, '\n');
    if (std::strncmp(line, "00000000000000000000000000000000 00 ", 36) == 0 && end && end - line > 3 &&
        std::strncmp(end - 3, " lo", 3) != 0)
      return true;
  }
  return false;
}

int await_network() {
  const timespec pause{0, 2'000'000};
  for (int i = 0; i < 5000; ++i) {
    if (has_default_route("/proc/self/net/route", false) || has_default_route("/proc/self/net/ipv6_route", true)) return 0;
    ::nanosleep(&pause, nullptr);
  }
  return ENETUNREACH;
}

int pivot() {
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return errno;
  if (::umount2(".", MNT_DETACH) < 0) return errno;
  return check(::chdir("/"));
}

int loopback_up() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  const int problem = check(::ioctl(fd, SIOCSIFFLAGS, &request));
  ::close(fd);
  return problem;
}

int resource_limit(const Step& step) {
  rlimit64 limit{step.number, step.number};
  rlimit64 now{};
  if (::syscall(SYS_prlimit64, 0, step.slot, nullptr, &now) == 0 && now.rlim_max < limit.rlim_max) limit = {now.rlim_max, now.rlim_max};
  return check(::syscall(SYS_prlimit64, 0, step.slot, &limit, nullptr));
}

int start_session(const ChildContext& context) {
  if (::setsid() < 0) return errno;
  return context.terminal ? check(::ioctl(0, TIOCSCTTY, 0)) : 0;
}

int change_directory(const Step& step, const ChildContext& context) {
  return check(::chdir(context.plan->serves_commands ? context.command->directory() : step.path.c_str()));
}

int identity(const Step& step) {
  // KEEPCAPS: the next step still has to drop the bounding set, and to keep what was asked for.
  if (::prctl(PR_SET_KEEPCAPS, 1) < 0) return errno;
  if (::syscall(SYS_setresgid, step.mode, step.mode, step.mode) < 0) return errno;
  return check(::syscall(SYS_setresuid, step.number, step.number, step.number));
}

int set_capabilities(std::uint64_t effective, std::uint64_t permitted, std::uint64_t inheritable) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<std::uint32_t>(effective >> (32 * i));
    data[i].permitted = static_cast<std::uint32_t>(permitted >> (32 * i));
    data[i].inheritable = static_cast<std::uint32_t>(inheritable >> (32 * i));
  }
  return check(::syscall(SYS_capset, &header, data));
}

int keep_capabilities(const Step& step) {
  const std::uint64_t kept = step.number;
  const std::uint64_t needed = kept | 1ull << CAP_SETPCAP;
  if (const int problem = set_capabilities(needed, needed, kept)) return problem;
  for (int capability = 0; capability < 64; ++capability) {
    if ((kept >> capability) & 1) continue;
    if (::prctl(PR_CAPBSET_DROP, capability) < 0) {
      if (errno == EINVAL) break;  // past the last one this kernel knows
      return errno;
    }
  }
  if (const int problem = set_capabilities(kept, kept, kept)) return problem;
  for (int capability = 0; capability < 64; ++capability) {
    if (((kept >> capability) & 1) && ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) return errno;
  }
  return 0;
}

int install_filter(const ChildContext& context) {
  const auto filter = seccomp_program(
      context.plan->profile, {.enter_namespaces = context.plan->enters_cells, .memory_is_watched = context.memory_watch_bytes > 0});
  sock_fprog program{static_cast<unsigned short>(filter.size()), const_cast<sock_filter*>(filter.data())};
  return check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

int execute(const ChildContext& context) {
  // From here on the engine's fds must not reach the program; they close when execve succeeds and still serve to say why it did not.
  const auto first = static_cast<unsigned>(3 + context.inherited_count);
  if (::syscall(SYS_close_range, first, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) < 0) return errno;
  ::umask(022);
  const CommandBlock& command = *context.command;
  int problem = ENOENT;
  for (char* const* path = command.array(command.candidates); *path != nullptr; ++path) {
    ::execve(*path, command.array(command.argv), command.array(command.envp));
    if (errno == ENOENT || errno == ENOTDIR) continue;
    problem = errno;
    if (errno != EACCES) break;
  }
  return problem;
}

int run_step(const Step& step, ChildContext& context) {
  switch (step.op) {
    case Step::Op::enter_cgroups:
      return enter_cgroups(context);
    case Step::Op::private_mounts:
      return check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    case Step::Op::open_source:
      return open_source(step, context);
    case Step::Op::network_namespace:
      return check(context.network >= 0 ? ::setns(context.network, CLONE_NEWNET) : ::unshare(CLONE_NEWNET));
    case Step::Op::await_engine:
      return await_engine(context);
    case Step::Op::become_root:
      return become_root();
    case Step::Op::namespace_limit:
      return namespace_limit(step);
    case Step::Op::mount_root:
      return mount_root(step, context);
    case Step::Op::make_directory:
      return make_directory(step);
    case Step::Op::make_file:
      return make_file(step);
    case Step::Op::make_symlink:
      return make_symlink(step);
    case Step::Op::attach:
      return attach(step, context);
    case Step::Op::bind:
      return bind(step);
    case Step::Op::mount:
      return mount_new(step);
    case Step::Op::overlay:
      return mount_overlay(step);
    case Step::Op::read_only:
      return read_only(step);
    case Step::Op::detach:
      return detach(step);
    case Step::Op::export_directory:
      return export_directory(step, context);
    case Step::Op::export_namespaces:
      return export_namespaces(context);
    case Step::Op::export_network:
      return export_network(context);
    case Step::Op::await_network:
      return await_network();
    case Step::Op::enter:
      return check(::chdir(step.path.c_str()));
    case Step::Op::pivot:
      return pivot();
    case Step::Op::hostname:
      return check(::sethostname(step.data.data(), step.data.size()));
    case Step::Op::loopback_up:
      return context.network >= 0 ? 0 : loopback_up();
    case Step::Op::session:
      return start_session(context);
    case Step::Op::resource_limit:
      return resource_limit(step);
    case Step::Op::change_directory:
      return change_directory(step, context);
    case Step::Op::identity:
      return identity(step);
    case Step::Op::capabilities:
      return keep_capabilities(step);
    case Step::Op::no_new_privileges:
      return check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    case Step::Op::seccomp:
      return install_filter(context);
    case Step::Op::execute:
      return execute(context);
  }
  return EINVAL;
}

}  // namespace

bool read_place(int fd, char* path) {
  const ssize_t got = ::pread(fd, path, PATH_MAX, 0);
  if (got <= 0 || got >= PATH_MAX || path[0] != '/') return false;
  path[got] = '\0';
  return true;
}

int mount_late(int tree, int place, std::uint32_t mounting) {
  char path[PATH_MAX];
  if (!read_place(place, path)) return EINVAL;
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  int at = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int problem = at < 0 ? errno : 0;
  for (char* name = path + 1; problem == 0;) {
    char* const end = std::strchr(name, '/');
    if (end) *end = '\0';
    const bool file = !end && (mounting & Message::directory) == 0;
    const int made = file ? ::openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644) : ::mkdirat(at, name, 0755);
    if (made < 0 && errno != EEXIST) problem = errno;
    if (file && made >= 0) ::close(made);
    const int next = problem == 0 ? static_cast<int>(::syscall(SYS_openat2, at, name, &how, sizeof how)) : -1;
    if (problem == 0 && next < 0) problem = errno;
    ::close(at);
    at = next;
    if (!end) break;
    name = end + 1;
  }
  // move_mount(2): both ends are descriptors, so nothing is looked up any more.
  constexpr unsigned kEmptyPaths = 0x4 /* MOVE_MOUNT_F_EMPTY_PATH */ | 0x40 /* MOVE_MOUNT_T_EMPTY_PATH */;
  if (problem == 0) problem = check(::syscall(SYS_move_mount, tree, "", at, "", kEmptyPaths));
  if (at >= 0) ::close(at);
  return problem;
}

bool send_message(int socket, const Message& message, const int* fds, int count) {
  return send_passing(socket, &message, sizeof message, fds, count) == static_cast<ssize_t>(sizeof message);
}

int receive_message(int socket, Message& message, int* fds, int most) {
  int count = 0;
  const ssize_t got = receive_passing(socket, &message, sizeof message, fds, most, count);
  if (got == static_cast<ssize_t>(sizeof message)) return count;
  for (int i = 0; i < count; ++i) ::close(fds[i]);
  return -1;
}

std::size_t run_steps(const std::vector<Step>& steps, ChildContext& context, int& problem) {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    problem = run_step(steps[i], context);
    if (problem == ENOENT && steps[i].optional) problem = 0;
    if (problem != 0) return i;
  }
  return steps.size();
}

}  // namespace casemate
