// seccomp_policy: which system calls a job may make, as data. The generator (cmake/seccomp_generate.cc) compiles it into filter programs
// when casemate is built, `casemate explain` prints it, docs/design/seccomp.md gives the reasons at length.
#pragma once

#include <string_view>

namespace casemate {

/// What happens to a call. The ones from `namespace_flags` on look at arguments in registers; memory can't be looked at by a filter.
enum class CallVerdict {
  allow,
  refuse,            ///< EPERM: a call we know and don't want
  absent,            ///< ENOSYS: as if the kernel had no such call, so that programs fall back. Also for every number that is not listed.
  clone_flags,       ///< allow; EPERM with a CLONE_NEW* bit
  unshare_flags,     ///< the same; here CLONE_NEWTIME is a bit too (in clone it is part of the exit signal)
  terminal_command,  ///< ioctl: allow; EPERM for TIOCSTI, TIOCLINUX, TIOCSETD, TIOCCONS
  socket_family,     ///< AF_UNIX, AF_INET, AF_INET6, AF_NETLINK; others EAFNOSUPPORT; SOCK_PACKET (AF_PACKET by an older name) EPERM
  socket_family_strict,  ///< also EPERM for SOCK_RAW on AF_INET and AF_INET6, and for netlink other than NETLINK_ROUTE
  mode_second,           ///< allow; EPERM when the mode, the second argument, has a set-id bit
  mode_third,            ///< the same for the third
  open_mode,             ///< open: the same when it creates a file
  openat_mode,           ///< openat: the same
  personality,           ///< allow PER_LINUX, ADDR_NO_RANDOMIZE and the query; else EPERM
  personality_strict,    ///< allow PER_LINUX and the query; else EPERM
  not_init,              ///< allow; EPERM when the first argument is 1, the cell's init
  not_init_priority,     ///< setpriority: allow; EPERM for process 1, and for all processes of a user, init among them
};

/// One class of calls: `calls` are names parted by blanks, "name:number" where libseccomp 2.5 doesn't know the name yet (all since
/// Linux 5.1 have one number on all architectures). Names that an architecture doesn't have are passed over.
struct SyscallClass {
  std::string_view name;
  std::string_view reason;
  std::string_view calls;
  CallVerdict standard = CallVerdict::allow;
  CallVerdict strict = CallVerdict::allow;
  bool nesting = false;       ///< allowed when a job may make namespaces of its own
  bool hides_memory = false;  ///< absent when a watchdog holds the memory limit
  bool entering = false;      ///< allowed for what forks into cells
};

// clang-format off
inline constexpr SyscallClass kSyscallClasses[] = {
    {"files", "ordinary files and directories",
     "read write close stat fstat lstat lseek pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 access faccessat faccessat2 sendfile "
     "fcntl fsync fdatasync sync syncfs sync_file_range truncate ftruncate fallocate fadvise64 readahead getdents getdents64 getcwd "
     "chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat readlink readlinkat chown fchown "
     "lchown fchownat umask utime utimes futimesat utimensat statfs fstatfs newfstatat statx splice tee vmsplice copy_file_range "
     "setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr "
     "setxattrat:463 getxattrat:464 listxattrat:465 removexattrat:466 name_to_handle_at inotify_init inotify_init1 inotify_add_watch "
     "inotify_rm_watch cachestat:451"},
    {"locks", "flock works on files that all jobs share read-only: a channel between jobs",
     "flock", CallVerdict::allow, CallVerdict::absent},
    {"open", "no file with a set-id bit is made", "open", CallVerdict::open_mode, CallVerdict::open_mode},
    {"openat", "no file with a set-id bit is made", "openat", CallVerdict::openat_mode, CallVerdict::openat_mode},
    {"modes", "no set-id bits: in a writable mount such a file would be a way to the owner's rights on the host",
     "chmod fchmod creat mknod", CallVerdict::mode_second, CallVerdict::mode_second},
    {"modes at", "no set-id bits, as in `modes`", "fchmodat fchmodat2:452 mknodat", CallVerdict::mode_third, CallVerdict::mode_third},
    {"memory", "the process's own memory",
     "mmap mprotect munmap brk mremap msync mincore madvise mlock munlock mlockall munlockall mlock2 remap_file_pages pkey_mprotect pkey_alloc "
     "pkey_free mbind set_mempolicy get_mempolicy set_mempolicy_home_node map_shadow_stack:453 mseal:462"},
    {"memory files", "memory that no process need have mapped: absent where no cgroup counts it and a watchdog would miss it",
     "memfd_create memfd_secret", CallVerdict::allow, CallVerdict::allow, false, true},
    {"processes", "starting, ending, watching processes and threads of the cell",
     "fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_open pidfd_send_signal "
     "getpid gettid getppid getpgid setpgid getpgrp getsid setsid prctl arch_prctl set_tid_address set_robust_list get_robust_list rseq "
     "set_thread_area get_thread_area restart_syscall getrlimit setrlimit getrusage times sched_yield sched_getparam "
     "sched_getscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval "
     "sched_getaffinity sched_getattr getpriority ioprio_set ioprio_get membarrier getcpu"},
    {"tuning", "limits and scheduling of the job's own processes, not of the cell's init, which watches them",
     "prlimit64 sched_setparam sched_setscheduler sched_setaffinity sched_setattr", CallVerdict::not_init, CallVerdict::not_init},
    {"setpriority", "the same", "setpriority", CallVerdict::not_init_priority, CallVerdict::not_init_priority},
    {"own filters", "a program may confine itself further", "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self"},
    {"clone", "threads and processes, but no namespaces", "clone", CallVerdict::clone_flags, CallVerdict::clone_flags, true},
    {"unshare", "own file table and directory, but no namespaces", "unshare", CallVerdict::unshare_flags, CallVerdict::unshare_flags, true},
    {"clone3", "its flags lie in memory, where a filter can't see them; the C library falls back to clone", "clone3", CallVerdict::absent, CallVerdict::absent, true},
    {"openat2", "its mode lies in memory; programs fall back to openat", "openat2", CallVerdict::absent, CallVerdict::absent},
    {"identity", "users, groups and capabilities inside the cell's user namespace",
     "getuid getgid geteuid getegid setuid setgid setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid setfsuid setfsgid "
     "capget capset"},
    {"signals and time", "handlers, timers, clocks to read",
     "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack signalfd signalfd4 pause alarm getitimer "
     "setitimer nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time timer_create timer_settime timer_gettime timer_getoverrun "
     "timer_delete timerfd_create timerfd_settime timerfd_gettime"},
    {"waiting and queues", "pipes, polls, futexes, System V and POSIX queues of the cell's ipc namespace",
     "pipe pipe2 dup dup2 dup3 close_range poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 "
     "eventfd eventfd2 futex futex_waitv futex_wake:454 futex_wait:455 futex_requeue:456 shmget shmat shmctl shmdt semget semop semctl semtimedop "
     "msgget msgsnd msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr io_setup io_destroy io_getevents "
     "io_submit io_cancel io_pgetevents"},
    {"sockets", "of the families that programs use; rare families are where kernel bugs live",
     "socket socketpair", CallVerdict::socket_family, CallVerdict::socket_family_strict},
    {"connections", "on sockets that exist",
     "connect accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shutdown bind listen getsockname getpeername setsockopt getsockopt"},
    {"system", "what the system is called and offers; random bytes", "uname sysinfo getrandom sethostname setdomainname"},
    {"ioctl", "but nothing typed into a terminal in somebody's name (CVE-2017-5226)", "ioctl", CallVerdict::terminal_command, CallVerdict::terminal_command},
    {"personality", "no READ_IMPLIES_EXEC, no old ABIs", "personality", CallVerdict::personality, CallVerdict::personality_strict},
    {"debugging", "of processes in the cell",
     "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd", CallVerdict::allow, CallVerdict::refuse},
    {"mounts", "the cell's tree is arranged before the job starts",
     "mount umount2 pivot_root chroot fsopen fsmount fsconfig fspick move_mount open_tree mount_setattr open_tree_attr:467", CallVerdict::refuse,
     CallVerdict::refuse, true},
    {"joining namespaces", "a job stays in its cell", "setns", CallVerdict::refuse, CallVerdict::refuse, true, false, true},
    {"handles", "open_by_handle_at goes round path checks (shocker)", "open_by_handle_at", CallVerdict::refuse, CallVerdict::refuse},
    {"kernel programs", "much kernel code behind one call, and most of the kernel's exploits in late years",
     "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register fanotify_init fanotify_mark", CallVerdict::refuse, CallVerdict::refuse},
    {"keys", "keyrings are not in a namespace: they leak between jobs", "keyctl add_key request_key", CallVerdict::refuse, CallVerdict::refuse},
    {"machine", "belongs to the host",
     "kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd settimeofday clock_settime "
     "clock_adjtime adjtimex iopl ioperm syslog vhangup modify_ldt move_pages migrate_pages", CallVerdict::refuse, CallVerdict::refuse},
    {"obsolete", "not in today's kernels, or used by nothing",
     "uselib ustat sysfs _sysctl lookup_dcookie nfsservctl create_module get_kernel_syms query_module getpmsg putpmsg afs_syscall tuxcall security "
     "vserver epoll_ctl_old epoll_wait_old", CallVerdict::absent, CallVerdict::absent},
};
// clang-format on

}  // namespace casemate
