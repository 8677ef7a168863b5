#include "sys/seccomp.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <functional>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace casemate {
namespace {

constexpr Profile kBoth[] = {Profile::standard, Profile::strict};

/// The wait status of a child that runs `body` under the profile's filter and exits with what it returns; 255 when the filter can't be
/// installed.
int status_under(Profile profile, const std::function<int()>& body, FilterChoice choice = {}) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (install_seccomp(seccomp_program(profile, choice)) != 0) _exit(255);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

/// The errno of a raw system call made under the filter, 0 when it succeeds.
int error_of(Profile profile, long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  const int status = status_under(profile, [&] { return syscall(number, a, b, c, d, e) == -1 ? errno : 0; });
  EXPECT_TRUE(WIFEXITED(status)) << "call " << number << " was killed: " << WTERMSIG(status);
  return WEXITSTATUS(status);
}

long address(const char* text) { return reinterpret_cast<std::intptr_t>(text); }

TEST(Seccomp, refuses_what_belongs_to_the_host) {
  const long refused[] = {
      SYS_mount,        SYS_umount2,         SYS_pivot_root,   SYS_chroot,         SYS_fsopen,         SYS_fsconfig,
      SYS_fsmount,      SYS_fspick,          SYS_move_mount,   SYS_open_tree,      SYS_mount_setattr,  SYS_setns,
      SYS_bpf,          SYS_perf_event_open, SYS_userfaultfd,  SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,
      SYS_keyctl,       SYS_add_key,         SYS_request_key,  SYS_quotactl,       SYS_acct,           SYS_swapon,
      SYS_swapoff,      SYS_reboot,          SYS_settimeofday, SYS_clock_settime,  SYS_adjtimex,       SYS_clock_adjtime,
      SYS_kexec_load,   SYS_init_module,     SYS_finit_module, SYS_delete_module,  SYS_syslog,         SYS_open_by_handle_at,
      SYS_fanotify_init};
  for (const Profile profile : kBoth) {
    for (const long number : refused) EXPECT_EQ(error_of(profile, number, -1, -1, -1, -1, -1), EPERM) << number;
  }
}

TEST(Seccomp, init_is_not_tuned) {
  for (const Profile profile : kBoth) {
    EXPECT_EQ(error_of(profile, SYS_prlimit64, 1, RLIMIT_NOFILE), EPERM);
    EXPECT_EQ(error_of(profile, SYS_sched_setscheduler, 1), EPERM);
    EXPECT_EQ(error_of(profile, SYS_setpriority, PRIO_PROCESS, 1, 19), EPERM);
    EXPECT_EQ(error_of(profile, SYS_setpriority, PRIO_USER, 0, 19), EPERM);
    EXPECT_EQ(error_of(profile, SYS_setpriority, PRIO_PROCESS, 0, 19), 0);
    EXPECT_EQ(error_of(profile, SYS_prlimit64, 0, RLIMIT_NOFILE), 0);
  }
}

TEST(Seccomp, hides_what_a_filter_cannot_look_into_and_what_is_unknown) {
  for (const Profile profile : kBoth) {
    for (const long number : {long{SYS_clone3}, long{SYS_openat2}, 600L, 0x7fffffffL, -1L})
      EXPECT_EQ(error_of(profile, number), ENOSYS) << number;
  }
}

TEST(Seccomp, refuses_new_namespaces) {
  const long namespaces[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};
  for (const Profile profile : kBoth) {
    for (const long flag : namespaces) {
      EXPECT_EQ(error_of(profile, SYS_unshare, flag), EPERM) << flag;
      EXPECT_EQ(error_of(profile, SYS_clone, flag | SIGCHLD), EPERM) << flag;
    }
    EXPECT_EQ(error_of(profile, SYS_unshare, 0x80), EPERM) << "CLONE_NEWTIME";
    EXPECT_EQ(error_of(profile, SYS_unshare, CLONE_FS | CLONE_FILES), 0);
  }
}

TEST(Seccomp, nesting_is_for_the_standard_profile_alone) {
  const auto unshare_nothing = [] {
    return unshare(CLONE_NEWUSER | 0x1) == -1 ? errno : 0;
  };  // an invalid flag: past the filter it is EINVAL
  EXPECT_EQ(WEXITSTATUS(status_under(Profile::standard, unshare_nothing, {.allow_new_namespaces = true})), EINVAL);
  EXPECT_EQ(WEXITSTATUS(status_under(Profile::strict, unshare_nothing, {.allow_new_namespaces = true})), EPERM);
}

TEST(Seccomp, memory_files_are_absent_where_a_watchdog_holds_the_limit) {
  const auto make = [] { return memfd_create("x", MFD_CLOEXEC) == -1 ? errno : 0; };
  for (const Profile profile : kBoth) {
    EXPECT_EQ(WEXITSTATUS(status_under(profile, make)), 0);
    EXPECT_EQ(WEXITSTATUS(status_under(profile, make, {.memory_is_watched = true})), ENOSYS);
  }
  EXPECT_EQ(WEXITSTATUS(status_under(Profile::standard, make, {.allow_new_namespaces = true, .memory_is_watched = true})), ENOSYS);
}

TEST(Seccomp, set_id_bits_cannot_be_made) {
  for (const Profile profile : kBoth) {
    for (const long bit : {04755L, 02755L, 06755L}) {
#ifdef SYS_chmod
      EXPECT_EQ(error_of(profile, SYS_chmod, address("/nowhere"), bit), EPERM);
      EXPECT_EQ(error_of(profile, SYS_creat, address("/nowhere/file"), bit), EPERM);
      EXPECT_EQ(error_of(profile, SYS_mknod, address("/nowhere/file"), S_IFREG | bit, 0), EPERM);
      EXPECT_EQ(error_of(profile, SYS_open, address("/nowhere/file"), O_CREAT | O_WRONLY, bit), EPERM);
#endif
      EXPECT_EQ(error_of(profile, SYS_fchmod, -1, bit), EPERM);
      EXPECT_EQ(error_of(profile, SYS_fchmodat, AT_FDCWD, address("/nowhere"), bit), EPERM);
      EXPECT_EQ(error_of(profile, 452, AT_FDCWD, address("/nowhere"), bit), EPERM) << "fchmodat2";
      EXPECT_EQ(error_of(profile, SYS_mknodat, AT_FDCWD, address("/nowhere/file"), S_IFREG | bit, 0), EPERM);
      EXPECT_EQ(error_of(profile, SYS_openat, AT_FDCWD, address("/nowhere/file"), O_CREAT | O_WRONLY, bit), EPERM);
      EXPECT_EQ(error_of(profile, SYS_openat, AT_FDCWD, address("/tmp"), O_TMPFILE | O_WRONLY, bit), EPERM);
    }
    EXPECT_EQ(error_of(profile, SYS_fchmodat, AT_FDCWD, address("/nowhere"), 01755), ENOENT);
    EXPECT_EQ(error_of(profile, SYS_openat, AT_FDCWD, address("/nowhere/file"), O_CREAT | O_WRONLY, 0644), ENOENT);
    EXPECT_EQ(error_of(profile, SYS_openat, AT_FDCWD, address("/"), O_RDONLY, 06755), 0) << "without O_CREAT the mode is no argument";
  }
}

TEST(Seccomp, only_common_socket_families) {
  for (const Profile profile : kBoth) {
    for (const long family : {3L, 9L, 17L, 21L, 29L, 30L, 31L, 38L, 40L, 41L, 44L}) {
      EXPECT_EQ(error_of(profile, SYS_socket, family, SOCK_RAW, 0), EAFNOSUPPORT) << family;
      EXPECT_EQ(error_of(profile, SYS_socketpair, family, SOCK_STREAM, 0, 0), EAFNOSUPPORT) << family;
    }
    EXPECT_EQ(error_of(profile, SYS_socket, AF_INET, SOCK_PACKET, 0), EPERM);
    EXPECT_EQ(error_of(profile, SYS_socket, AF_UNIX, SOCK_STREAM, 0), 0);
    EXPECT_EQ(error_of(profile, SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 0);
    EXPECT_EQ(error_of(profile, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), 0);
  }
  EXPECT_EQ(error_of(Profile::strict, SYS_socket, AF_INET, SOCK_RAW, 1), EPERM);
  EXPECT_EQ(error_of(Profile::strict, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER), EPERM);
}

TEST(Seccomp, nothing_is_typed_into_terminals) {
  for (const Profile profile : kBoth) {
    for (const long command : {long{TIOCSTI}, long{TIOCLINUX}, long{TIOCSETD}, long{TIOCCONS}}) {
      EXPECT_EQ(error_of(profile, SYS_ioctl, -1, command), EPERM);
      EXPECT_EQ(error_of(profile, SYS_ioctl, -1, command | (1L << 40)), EPERM) << "the kernel drops the high half (CVE-2023-1523)";
    }
    EXPECT_EQ(error_of(profile, SYS_ioctl, -1, TIOCGWINSZ), EBADF);
  }
}

TEST(Seccomp, strict_has_no_debugging_no_shared_locks_no_personality) {
  const long debugging[] = {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd};
  for (const long number : debugging) {
    EXPECT_EQ(error_of(Profile::strict, number, -1, -1, -1, -1, -1), EPERM) << number;
    EXPECT_NE(error_of(Profile::standard, number, -1, -1, -1, -1, -1), ENOSYS) << number;
  }
  EXPECT_EQ(error_of(Profile::strict, SYS_flock, -1, LOCK_SH), ENOSYS);
  EXPECT_EQ(error_of(Profile::standard, SYS_flock, -1, LOCK_SH), EBADF);
  EXPECT_EQ(error_of(Profile::standard, SYS_personality, ADDR_NO_RANDOMIZE), 0);
  EXPECT_EQ(error_of(Profile::strict, SYS_personality, ADDR_NO_RANDOMIZE), EPERM);
  for (const Profile profile : kBoth) {
    EXPECT_EQ(error_of(profile, SYS_personality, READ_IMPLIES_EXEC), EPERM);
    EXPECT_EQ(error_of(profile, SYS_personality, 0xffffffff), 0);
  }
}

#ifdef __x86_64__
TEST(Seccomp, other_abis_do_not_work) {
  for (const Profile profile : kBoth) {
    EXPECT_EQ(error_of(profile, 0x40000000L | SYS_getpid), ENOSYS) << "x32";
    const int status = status_under(profile, [] {
      long answer = 20;  // getpid of i386
      asm volatile("int $0x80" : "+a"(answer) : : "memory");
      return answer > 0 ? 0 : 1;
    });
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_TRUE(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV) << WTERMSIG(status);  // SIGSEGV: a kernel without i386
  }
}
#endif

TEST(Seccomp, the_filter_stays_through_exec_and_cannot_be_lifted) {
  for (const Profile profile : kBoth) {
    const int status = status_under(profile, [] {
      execl("/bin/sh", "sh", "-c", "grep -q '^NoNewPrivs:.1' /proc/self/status && grep -q '^Seccomp:.2' /proc/self/status", nullptr);
      return 254;
    });
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }
}

/// Runs a shell command under the profile, its output thrown away; its exit status.
int shell_under(Profile profile, const std::string& command) {
  const int status = status_under(profile, [&] {
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; ++fd) dup2(null, fd);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    return 254;
  });
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Seccomp, ordinary_programs_work) {
  const std::string commands[] = {
      "ls -la / && cat /etc/passwd | sort | head -1 && cp /etc/passwd /dev/null",
      "python3 -c 'import socket, subprocess, threading, multiprocessing, asyncio, ctypes, mmap, tempfile, sqlite3, ssl, signal, select'",
      "python3 -c 'import threading; t = threading.Thread(target=print); t.start(); t.join()'",
      "python3 -c 'import multiprocessing as m; q = m.get_context(\"spawn\").SimpleQueue(); q.put(1); assert q.get() == 1'",
      "python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 0)); c = socket.create_connection(s.getsockname()); c.close()'",
      "python3 -c 'import asyncio, sys; asyncio.run(asyncio.create_subprocess_exec(sys.executable, \"-c\", \"pass\"))'",
      "python3 -c 'import tempfile, os; f = tempfile.NamedTemporaryFile(); os.chmod(f.name, 0o755); os.utime(f.name)'",
  };
  for (const Profile profile : kBoth) {
    for (const std::string& command : commands) EXPECT_EQ(shell_under(profile, command), 0) << command;
  }
}

TEST(Seccomp, other_runtimes_work_where_they_are_installed) {
  const std::string programs[][2] = {
      {"git",
       "d=$(mktemp -d) && cd $d && git init -q && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x; r=$?; rm -rf $d; exit "
       "$r"},
      {"gcc", "echo 'int main(){}' | gcc -xc -o /dev/null -"},
      {"node", "node -e 'require(\"fs\").readFile(\"/etc/passwd\", e => process.exit(e ? 1 : 0))'"},
      {"java", "java -version"},
      {"perl", "perl -e 'exit(fork() ? (wait() && 0) : 0)'"},
  };
  for (const auto& [program, command] : programs) {
    if (shell_under(Profile::standard, "command -v " + program) != 0) continue;
    for (const Profile profile : kBoth) EXPECT_EQ(shell_under(profile, command), 0) << command;
  }
}

TEST(Seccomp, is_described_a_class_a_line) {
  bool mounts = false;
  for (const std::string& line : describe(Profile::standard)) mounts = mounts || line.starts_with("mounts: EPERM");
  EXPECT_TRUE(mounts);
  EXPECT_NE(describe(Profile::standard), describe(Profile::strict));
  EXPECT_NE(describe(Profile::standard), describe(Profile::standard, {.allow_new_namespaces = true}));
  EXPECT_EQ(describe(Profile::strict), describe(Profile::strict, {.allow_new_namespaces = true}));
}

}  // namespace
}  // namespace casemate
