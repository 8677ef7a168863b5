"""What code in a cell may try against all others. Each probe gives what it could do, as words; nothing: it held."""

import ctypes
import os
import socket


LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_NOSUID, MS_NODEV = 1, 32, 4096, 2, 4
KINDS = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "user")


def others():
    mine = {os.getpid(), os.getppid()}
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in mine]


def in_a_fork(probe):
    """So that what it does to itself stays there."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            found = probe()
        except BaseException as problem:
            found = ["the probe failed: %r" % problem]
        os.write(write, "\n".join(found).encode()[:60000])
        os._exit(0)
    os.close(write)
    text = b""
    while True:
        data = os.read(read, 65536)
        if not data:
            break
        text += data
    os.close(read)
    os.waitpid(pid, 0)
    return [line for line in text.decode().split("\n") if line]


def setns():
    found = set()
    for pid in [1, *others()]:
        for kind in KINDS:
            path = "/proc/%d/ns/%s" % (pid, kind)
            try:
                fd = os.open(path, os.O_RDONLY)
                same = os.stat(path).st_ino == os.stat("/proc/self/ns/" + kind).st_ino
            except OSError:
                continue
            if not same and LIBC.setns(fd, 0) == 0:
                found.add("setns " + kind)
            os.close(fd)
    return sorted(found)


def roots():
    found = set()
    for pid in [1, *others()]:
        for name in ("root", "cwd"):
            try:
                os.listdir("/proc/%d/%s" % (pid, name))
                found.add("/proc/PID/%s of %s" % (name, comm(pid)))
            except OSError:
                pass
        for name in ("mem", "environ", "maps"):
            try:
                with open("/proc/%d/%s" % (pid, name), "rb") as file:
                    if name == "mem" or file.read(1):
                        found.add("/proc/PID/%s of %s" % (name, comm(pid)))
            except OSError:
                pass
    return sorted(found)


def comm(pid):
    try:
        with open("/proc/%d/comm" % pid) as file:
            return file.read().strip()
    except OSError:
        return "?"


def ptrace():
    found = set()
    for pid in [1, *others()]:
        if LIBC.ptrace(0x4206, pid, 0, 0) == 0:  # PTRACE_SEIZE
            LIBC.ptrace(17, pid, 0, 0)
            found.add("ptrace " + comm(pid))
    return sorted(found)


def signals():
    found = set()
    for pid in range(1, 300):
        if pid in (os.getpid(), os.getppid()):
            continue
        try:
            os.kill(pid, 0)
            found.add("signal " + comm(pid))
        except OSError:
            pass
    return sorted(found)


def descriptors():
    found = set()
    for pid in [1, *others()]:
        pidfd = LIBC.syscall(434, pid, 0)
        if pidfd < 0:
            continue
        for fd in range(12):
            if LIBC.syscall(438, pidfd, fd, 0) >= 0:
                found.add("take a descriptor of " + comm(pid))
        os.close(pidfd)
    return sorted(found)


def mounts():
    found = []
    if LIBC.mount(b"tmpfs", b"/mnt" if os.path.isdir("/mnt") else b"/tmp", b"tmpfs", 0, None) == 0:
        found.append("mount a tmpfs")
    if LIBC.umount2(b"/proc", 2) == 0:
        found.append("umount /proc")
    return found


def writable_host():
    """Makes what is shown read-only writable, and writes there."""
    found = set()
    with open("/proc/self/mountinfo") as file:
        places = [line.split()[4].encode().decode("unicode_escape") for line in file]
    for place in places:
        if not os.statvfs(place).f_flag & 1:
            continue
        for more in (0, MS_NOSUID | MS_NODEV, MS_NOSUID, MS_NODEV):
            if LIBC.mount(None, place.encode(), None, MS_REMOUNT | MS_BIND | more, None) == 0:
                found.add("make a read-only mount writable")
                break
        else:
            continue
        for target in (place, os.path.join(place, "casemate-was-here")):
            try:
                fd = os.open(target, os.O_WRONLY | (os.O_CREAT if target != place else 0), 0o600)
                os.close(fd)
                found.add("write to " + place)
            except OSError:
                pass
    return sorted(found)


def kernel():
    found = []
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/net/ipv4/ip_forward"):
        try:
            with open(path, "w") as file:
                file.write("1")
            found.append("write " + path)
        except OSError:
            pass
    if LIBC.mknod(b"/tmp/sda", 0o60600, os.makedev(8, 0)) == 0:
        try:
            os.close(os.open("/tmp/sda", os.O_RDONLY))
            found.append("open a device")
        except OSError:
            pass
    if LIBC.sethostname(b"mine", 4) == 0:
        found.append("set the host name of its own uts namespace")
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
        found.append("open a raw socket")
    except OSError:
        pass
    return found


def chroot():
    return ["chroot"] if LIBC.chroot(b"/tmp") == 0 else []


def escape_chroot():
    """The way out of a chroot leads to the cell's own root, where host directories are not."""
    os.makedirs("/tmp/inner", exist_ok=True)
    if LIBC.chroot(b"/tmp/inner") != 0:
        return []
    for _ in range(30):
        os.chdir("..")
    LIBC.chroot(b".")
    return ["see " + name for name in ("/root/.ssh", "/home", "/var/lib") if os.path.isdir(name) and os.listdir(name)]


PROBES = (setns, roots, ptrace, signals, descriptors, mounts, writable_host, kernel, chroot, escape_chroot)


def try_all():
    return {probe.__name__: in_a_fork(probe) for probe in PROBES}


__all__ = ["try_all"]
