#include "sys/probe.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

#include "sys/cgroup.h"
#include "sys/fd.h"
#include "sys/mount.h"
#include "sys/process.h"

namespace casemate {
namespace {

using State = HostFeature::State;
using Body = std::function<int()>;  // runs in a child; 0 or errno

std::optional<long> read_setting(const char* path) {
  const auto text = read_file(path, 4096);
  long value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc{}) return std::nullopt;
  return value;
}

// What a child found: 0 or errno, and who said no.
struct Finding {
  int problem = 0;
  std::string where;  ///< set if it did not come as far as the body
};

// Runs `body` as root of a new user namespace with the other new namespaces of `flags`, ids mapped as for a cell.
Finding try_inside(std::uint64_t flags, const ProbeOptions& options, const Body& body) {
  auto go = make_pipe();
  if (!go) return {go.error().errno_value, "pipe"};
  int pidfd = -1;
  const pid_t pid = clone_process(CLONE_NEWUSER | flags, -1, &pidfd);
  if (pid < 0) return {errno, "clone"};
  if (pid == 0) {
    go->write.reset();
    char byte = 0;
    if (::read(go->read.get(), &byte, 1) != 1) ::_exit(0);  // the parent gave up
    if (::setresgid(0, 0, 0) < 0 || ::setresuid(0, 0, 0) < 0) ::_exit(errno);
    ::_exit(body());
  }
  ChildProcess child(pid, UniqueFd(pidfd));
  if (auto mapped = options.map_ids(pid); !mapped) {
    return {mapped.error().errno_value != 0 ? mapped.error().errno_value : EPERM, mapped.error().what};
  }
  if (auto put = write_all(go->write.get(), "x"); !put) return {EPIPE, "pipe"};
  const auto end = child.reap();
  if (!end || end->signaled) return {EINTR, fmt::format("killed by signal {}", end ? end->code : 0)};
  return {end->code, ""};
}

std::string said(const Finding& finding) {
  return fmt::format("{}{}{}", std::strerror(finding.problem), finding.where.empty() ? "" : ", ", finding.where);
}

HostFeature namespace_feature(const char* name, std::uint64_t flag, const char* use, bool required, const ProbeOptions& options,
                              const NamespaceSettings& settings) {
  const Finding finding = try_inside(flag, options, [] { return 0; });
  if (finding.problem == 0) return {name, State::ok, use, "", required};
  return {name, required ? State::missing : State::fallback, fmt::format("can't be made ({}): {}", said(finding), use),
          namespace_fix(finding.problem, settings), required};
}

// A private tmpfs, gone with the child's mount namespace.
int mount_tmpfs(const std::string& at) { return ::mount("tmpfs", at.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") < 0 ? errno : 0; }

HostFeature tmpfs_feature(const ProbeOptions& options, const NamespaceSettings& settings) {
  const Finding finding = try_inside(CLONE_NEWNS, options, [&] { return mount_tmpfs(options.mount_point); });
  if (finding.problem == 0) return {"mounting", State::ok, "a cell's root and /tmp are a tmpfs of its own", "", true};
  return {"mounting", State::missing, fmt::format("a tmpfs can't be mounted in a user namespace ({})", said(finding)),
          namespace_fix(finding.problem, settings), true};
}

HostFeature overlay_feature(const ProbeOptions& options, const NamespaceSettings& settings) {
  const Finding finding = try_inside(CLONE_NEWNS, options, [&] {
    if (const int problem = mount_tmpfs(options.mount_point)) return problem;
    if (::chdir(options.mount_point.c_str()) < 0) return errno;
    for (const char* name : {"lower", "upper", "work", "merged"}) {
      if (::mkdir(name, 0755) < 0) return errno;
    }
    if (::mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr") < 0) return errno;
    return ::mkdir("merged/written", 0755) < 0 ? errno : 0;
  });
  if (finding.problem == 0) return {"overlay", State::ok, "writable layers over read-only directories, in a user namespace", "", true};
  std::string fix = finding.problem == ENODEV ? "load it: `modprobe overlay` (CONFIG_OVERLAY_FS)" : "";
  if (finding.problem == EINVAL) fix = "userxattr needs Linux 5.11: use a newer kernel";
  if (fix.empty()) fix = namespace_fix(finding.problem, settings);
  return {"overlay", State::missing, fmt::format("can't be mounted in a user namespace ({})", said(finding)), fix, true};
}

HostFeature xattr_feature(const ProbeOptions& options) {
  const Finding finding = try_inside(CLONE_NEWNS, options, [&] {
    if (const int problem = mount_tmpfs(options.mount_point)) return problem;
    return ::setxattr(options.mount_point.c_str(), "user.casemate", "y", 1, 0) < 0 ? errno : 0;
  });
  if (finding.problem == 0) return {"tmpfs user xattrs", State::ok, "overlays on tmpfs can mark replaced directories", "", false};
  return {"tmpfs user xattrs", State::fallback,
          fmt::format("none ({}): in a writable layer, a directory of a lower layer can't be removed and made anew", said(finding)),
          "use Linux 6.6 or newer with CONFIG_TMPFS_XATTR", false};
}

HostFeature proc_feature(const ProbeOptions& options, const NamespaceSettings& settings) {
  const Finding finding = try_inside(CLONE_NEWNS | CLONE_NEWPID, options, [&] {
    if (const int problem = mount_tmpfs(options.mount_point)) return problem;
    return ::mount("proc", options.mount_point.c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) < 0 ? errno : 0;
  });
  if (finding.problem == 0) return {"proc", State::ok, "a cell sees its own processes only", "", true};
  // The kernel gives a new proc only to who sees all of the old one (mount_too_revealing).
  std::string fix =
      "something is mounted over parts of /proc here, as container runtimes do: `docker run --security-opt systempaths=unconfined`, or "
      "--privileged";
  if (finding.problem != EPERM) fix = namespace_fix(finding.problem, settings);
  return {"proc", State::missing, fmt::format("a new /proc can't be mounted in new pid and user namespaces ({})", said(finding)), fix,
          true};
}

HostFeature idmap_feature(const ProbeOptions& options) {
  if (options.idmap_fd < 0) {
    return {"idmapped mounts", State::fallback,
            "need root: cells of this user own what this user owns, all other files are nobody's in them",
            "run as root, if jobs have to own files as several users", false};
  }
  TreeOptions tree;
  tree.idmap_fd = options.idmap_fd;
  const auto mapped = open_tree(options.cache_directory, tree);
  if (mapped) return {"idmapped mounts", State::ok, fmt::format("the file system of {} takes them", options.cache_directory), "", false};
  return {
      "idmapped mounts", State::fallback,
      fmt::format("not on the file system of {} ({}): files there are nobody's in a cell", options.cache_directory, mapped.error().what),
      "set CASEMATE_CACHE_DIR to a directory on ext4, xfs, btrfs (Linux 5.15) or tmpfs (6.3)", false};
}

HostFeature seccomp_feature() {
  int pidfd = -1;
  const pid_t pid = clone_process(0, -1, &pidfd);
  if (pid == 0) {
    sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const sock_fprog program{1, &allow};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) ::_exit(errno);
    ::_exit(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? errno : 0);
  }
  int problem = errno;
  if (pid > 0) {
    const auto end = ChildProcess(pid, UniqueFd(pidfd)).reap();
    problem = !end || end->signaled ? EINTR : end->code;
  }
  if (problem == 0) return {"seccomp filters", State::ok, "jobs get at a list of system calls only", "", true};
  return {"seccomp filters", State::missing, fmt::format("can't be installed ({})", std::strerror(problem)),
          "use a kernel with CONFIG_SECCOMP_FILTER; in a container, one whose own filter allows seccomp(2)", true};
}

HostFeature cgroup_feature() {
  const auto factory = open_cgroups();
  const CgroupSupport& support = factory->support();
  using Version = CgroupSupport::Version;
  if (support.version == Version::none) {
    return {"cgroups", State::fallback,
            "none: memory is held by a watchdog, late and not all of it (SECURITY.md), processes by RLIMIT_NPROC; a cpu limit is refused",
            support.reason, false};
  }
  std::string have;
  for (const auto& [there, name] :
       {std::pair(support.memory, "memory"), {support.pids, "pids"}, {support.cpu, "cpu"}, {support.io, "io"}}) {
    if (there) have += fmt::format("{}{}", have.empty() ? "" : ", ", name);
  }
  const char* version = support.version == Version::v1 ? "v1" : support.version == Version::v2 ? "v2" : "v1 and v2";
  return {"cgroups", support.reason.empty() ? State::ok : State::fallback, fmt::format("{}: {} below {}", version, have, support.parent),
          support.reason, false};
}

}  // namespace

const char* word(HostFeature::State state) { return state == State::ok ? "ok" : state == State::fallback ? "fallback" : "missing"; }

NamespaceSettings read_namespace_settings() {
  NamespaceSettings settings;
  settings.unprivileged_userns_clone = read_setting("/proc/sys/kernel/unprivileged_userns_clone");
  settings.max_user_namespaces = read_setting("/proc/sys/user/max_user_namespaces");
  settings.apparmor_restrict = read_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
  settings.seccomp_filtered = ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
  settings.root = ::geteuid() == 0;
  return settings;
}

std::string namespace_fix(int errno_value, const NamespaceSettings& settings) {
  if (errno_value == EINVAL || errno_value == ENOSYS) return "use a kernel that is built with it (CONFIG_USER_NS, CONFIG_NAMESPACES)";
  if (settings.max_user_namespaces == 0) return "`sysctl -w user.max_user_namespaces=10000` as root (it is 0)";
  if (errno_value == ENOSPC || errno_value == EUSERS) {
    return "a limit on namespaces is reached: see user.max_*_namespaces in `sysctl user`, or there are more than 32 user namespaces inside "
           "each other";
  }
  if (!settings.root && settings.unprivileged_userns_clone == 0) return "`sysctl -w kernel.unprivileged_userns_clone=1` as root (it is 0)";
  if (!settings.root && settings.apparmor_restrict.value_or(0) != 0) {
    return "AppArmor restricts it: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root, or an AppArmor profile for casemate "
           "with `userns,`";
  }
  if (settings.seccomp_filtered) {
    return "a container runtime's filter refuses it: `docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or "
           "--privileged";
  }
  return "a security module (AppArmor, SELinux), a chroot or a container refuses it; see `dmesg`, and in a container use --privileged";
}

HostFeature kernel_feature(const std::string& release) {
  int major = 0;
  int minor = 0;
  const bool known = std::sscanf(release.c_str(), "%d.%d", &major, &minor) == 2;
  const auto before = [&](int wanted_major, int wanted_minor) {
    return major < wanted_major || (major == wanted_major && minor < wanted_minor);
  };
  if (!known)
    return {"kernel", State::fallback, fmt::format("Linux '{}': not a version that we can read", release), "use Linux 5.12 or newer", true};
  if (before(5, 12))
    return {"kernel", State::missing, fmt::format("Linux {}: no mount_setattr(2)", release), "use Linux 5.12 or newer", true};
  std::string less;
  if (before(5, 14)) less = "no cgroup.kill (5.14): processes are killed one by one";
  if (before(6, 6)) less += fmt::format("{}no user xattrs on tmpfs (6.6)", less.empty() ? "" : "; ");
  if (!less.empty()) return {"kernel", State::fallback, fmt::format("Linux {}: {}", release, less), "use Linux 6.6 or newer", true};
  return {"kernel", State::ok, fmt::format("Linux {}", release), "", true};
}

std::vector<HostFeature> probe_kernel(const ProbeOptions& options) {
  const NamespaceSettings settings = read_namespace_settings();
  utsname names{};
  ::uname(&names);
  std::vector<HostFeature> rows;
  rows.push_back(kernel_feature(names.release));
  rows.push_back(namespace_feature("user namespaces", 0, "root of a cell is nobody on the host", true, options, settings));
  rows.push_back(namespace_feature("mount namespaces", CLONE_NEWNS, "a cell sees only what is mounted for it", true, options, settings));
  rows.push_back(namespace_feature("pid namespaces", CLONE_NEWPID, "a cell's processes end with it", true, options, settings));
  rows.push_back(namespace_feature("ipc namespaces", CLONE_NEWIPC, "shared memory and queues of its own", true, options, settings));
  rows.push_back(namespace_feature("uts namespaces", CLONE_NEWUTS, "a host name of its own", true, options, settings));
  rows.push_back(namespace_feature("network namespaces", CLONE_NEWNET, "only loopback, or a gateway of its own", true, options, settings));
  rows.push_back(namespace_feature("cgroup namespaces", CLONE_NEWCGROUP, "the host's cgroup names stay hidden", true, options, settings));
  rows.push_back(tmpfs_feature(options, settings));
  rows.push_back(overlay_feature(options, settings));
  rows.push_back(xattr_feature(options));
  rows.push_back(proc_feature(options, settings));
  rows.push_back(idmap_feature(options));
  rows.push_back(seccomp_feature());
  rows.push_back(cgroup_feature());
  return rows;
}

}  // namespace casemate
