#include "warm/native/enter.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "warm/native/kernel.h"
#include "warm/protocol.h"

namespace casemate::native {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif
constexpr int kMemfdCloexec = 1;

// Numbers of kForkSteps.
enum Step : std::uint32_t {
  in_cgroup = 1,
  in_mount = 2,
  in_ipc = 3,
  in_uts = 4,
  in_network = 5,
  in_cgroup_namespace = 6,
  capabilities = 7,
  filter = 8,
  streams_taken = 9,
  directory = 12
};

// The filter of the base lets setns pass, for its forks have to get here. After this one nobody joins a namespace.
int refuse_setns() {
  sock_filter program[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 2, kArchitecture},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_setns},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
  };
  sock_fprog whole = {sizeof program / sizeof program[0], program};
  call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return static_cast<int>(-call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, at(&whole)));
}

int drop_capabilities() {
  // Kernels before 4.3 know no ambient set: then there is nothing to clear.
  call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
  return static_cast<int>(-call(SYS_capset, at(&header), at(none)));
}

int dup_over(int fd, const int* targets, int count) {
  for (int i = 0; i < count; ++i) {
    if (targets[i] == fd) continue;
    // 0, 1 and 2 are inherited by programs that a test starts, copies of them are not.
    const long result = call(SYS_dup3, fd, targets[i], targets[i] > 2 ? O_CLOEXEC : 0);
    if (result < 0) return static_cast<int>(-result);
  }
  return 0;
}

// All forks have their parent's stdin, and with it its flags and locks. Where it is /dev/null each gets its own.
void renew_stdin() {
  struct stat info{};
  constexpr unsigned long kNull = 1 << 8 | 3;  // major 1, minor 3
  if (call(SYS_fstat, 0, at(&info)) < 0 || (info.st_mode & S_IFMT) != S_IFCHR || info.st_rdev != kNull) return;
  const long fresh = call(SYS_openat, AT_FDCWD, at("/dev/null"), O_RDONLY | O_CLOEXEC, 0);
  if (fresh <= 0) return;
  call(SYS_dup3, fresh, 0, 0);
  close_fd(static_cast<int>(fresh));
}

}  // namespace

int& Order::fd(int bit) {
  int* const all[kFds] = {&mount_namespace,  &pid_namespace, &ipc_namespace, &uts_namespace, &network_namespace,
                          &cgroup_namespace, &out,           &err,           &report,        &cgroup[0],
                          &cgroup[1],        &cgroup[2],     &cgroup[3]};
  return *all[bit];
}

void Order::close_all() {
  for (int bit = 0; bit < kFds; ++bit) {
    close_fd(fd(bit));
    fd(bit) = -1;
  }
}

bool Order::confines() const {
  return mount_namespace >= 0 || pid_namespace >= 0 || ipc_namespace >= 0 || uts_namespace >= 0 || network_namespace >= 0 ||
         cgroup_namespace >= 0;
}

int nameless_file() {
  const long file = call(SYS_memfd_create, at("capture"), kMemfdCloexec);
  if (file >= 0) return static_cast<int>(file);
  return static_cast<int>(call(SYS_openat, AT_FDCWD, at("/tmp"), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

int take_streams(const Streams& streams, int out, int err) {
  if (out >= 0) {
    if (const int problem = dup_over(out, streams.out, streams.out_count); problem != 0) return problem;
  }
  if (err >= 0) {
    if (const int problem = dup_over(err, streams.err, streams.err_count); problem != 0) return problem;
  }
  for (int group = 0; group < Streams::kMostFiles; ++group) {
    int fresh = -1;
    for (int i = 0; i < streams.file_count; ++i) {
      if (streams.file_group[i] != group) continue;
      if (fresh < 0) fresh = nameless_file();
      if (fresh < 0) return -fresh;
      if (const int problem = dup_over(fresh, &streams.file[i], 1); problem != 0) return problem;
    }
    close_fd(fresh);
  }
  return 0;
}

Failure enter_cell(Order& order, const Streams& streams, const char* cwd) {
  for (const int cgroup : order.cgroup) {
    if (cgroup < 0) continue;
    const long written = call(SYS_write, cgroup, at("0"), 1);
    if (written < 0) return {in_cgroup, static_cast<int>(-written)};
  }
  struct {
    int fd;
    int type;
    std::uint32_t step;
  } const spaces[] = {{order.mount_namespace, CLONE_NEWNS, in_mount},
                      {order.ipc_namespace, CLONE_NEWIPC, in_ipc},
                      {order.uts_namespace, CLONE_NEWUTS, in_uts},
                      {order.network_namespace, CLONE_NEWNET, in_network},
                      {order.cgroup_namespace, CLONE_NEWCGROUP, in_cgroup_namespace}};
  for (const auto& space : spaces) {
    if (space.fd < 0) continue;
    const long joined = call(SYS_setns, space.fd, space.type);
    if (joined < 0) return {space.step, static_cast<int>(-joined)};
  }
  // Joining a mount namespace puts us at its root.
  if (order.mount_namespace >= 0 && cwd[0] != '\0') {
    const long there = call(SYS_chdir, at(cwd));
    if (there < 0) return {directory, static_cast<int>(-there)};
  }
  if (order.confines()) {
    if (const int problem = drop_capabilities(); problem != 0) return {capabilities, problem};
    if (const int problem = refuse_setns(); problem != 0) return {filter, problem};
  }
  call(SYS_setsid);
  renew_stdin();
  if (const int problem = take_streams(streams, order.out, order.err); problem != 0) return {streams_taken, problem};
  return {};
}

}  // namespace casemate::native
