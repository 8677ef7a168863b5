# class: hard
# tries: take pid 1's descriptors by /proc/1/fd and by pidfd_getfd: its pipes lead to the engine on the host
# must: EACCES and EPERM
taken = []
for fd in range(1024):
    if not failed(attempt(os.readlink, "/proc/1/fd/%d" % fd)):
        taken.append("link %d" % fd)
    if not failed(attempt(os.open, "/proc/1/fd/%d" % fd, os.O_RDWR | os.O_NONBLOCK)):
        taken.append("open %d" % fd)
pidfd = syscall("pidfd_open", 1, 0)
if pidfd >= 0:
    for fd in range(1024):
        if syscall("pidfd_getfd", pidfd, fd, 0) >= 0:
            taken.append("pidfd_getfd %d" % fd)
if taken:
    escaped(" ".join(taken[:8]))
held()
