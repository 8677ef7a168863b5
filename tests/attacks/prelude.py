"""What all probes share. The tests put this file before the probe's own text and run both by `python3 -c` in a cell.

A probe ends by held(), escaped() or skip(); the line BEGUN tells the tests that it ran at all. Its arguments are key=value: what the host has that the cell must not reach.
"""
import ctypes
import errno
import fcntl
import os
import platform
import signal
import socket
import stat
import struct
import sys
import time

ARGUMENTS = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
TOKEN = ARGUMENTS.get("token", "notoken")

NUMBERS = {
    "x86_64": {
        "kexec_load": 246, "syslog": 103, "adjtimex": 159, "ptrace": 101, "mq_open": 240, "mq_unlink": 241, "add_key": 248, "keyctl": 250,
        "unshare": 272, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "pidfd_open": 434, "pidfd_getfd": 438,
        "clone3": 435, "mount_setattr": 442, "openat2": 437, "fchmodat2": 452, "open_tree": 428, "getpid": 39,
    },
    "aarch64": {
        "kexec_load": 104, "syslog": 116, "adjtimex": 171, "ptrace": 117, "mq_open": 180, "mq_unlink": 181, "add_key": 217, "keyctl": 219,
        "unshare": 97, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "pidfd_open": 434, "pidfd_getfd": 438,
        "clone3": 435, "mount_setattr": 442, "openat2": 437, "fchmodat2": 452, "open_tree": 428, "getpid": 172,
    },
}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def finish(verdict, why, status):
    print(verdict, why, flush=True)
    os._exit(status)


def held(why=""):
    finish("HELD", why, 0)


def escaped(why=""):
    finish("ESCAPED", why, 1)


def skip(why):
    finish("SKIP", why, 77)


def needed(key):
    """An argument without which the probe makes no sense."""
    value = ARGUMENTS.get(key)
    if not value:
        skip("needs " + key + "=")
    return value


def syscall(name, *arguments):
    """The raw call's result, or minus its errno."""
    numbers = NUMBERS.get(platform.machine()) or skip("no call numbers for " + platform.machine())
    number = numbers[name] if isinstance(name, str) else name
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return result if result >= 0 else -ctypes.get_errno()


def error_name(result):
    return errno.errorcode.get(-result, str(result)) if result < 0 else str(result)


def attempt(function, *arguments, **named):
    """What the function returns, or the OSError that it raised."""
    try:
        return function(*arguments, **named)
    except OSError as error:
        return error


def failed(result):
    return isinstance(result, OSError)


def namespace(kind):
    result = attempt(os.readlink, "/proc/self/ns/" + kind)
    return None if failed(result) else result


def same_namespace(kind):
    """Whether this process sits in the host's namespace of that kind."""
    return namespace(kind) is not None and namespace(kind) == ARGUMENTS.get("ns_" + kind)


def pids():
    entries = attempt(os.listdir, "/proc")
    return [] if failed(entries) else [name for name in entries if name.isdigit()]


def contents(path, size=1 << 20):
    """The first bytes of a file, or the OSError."""
    fd = attempt(os.open, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if failed(fd):
        return fd
    result = attempt(os.read, fd, size)
    os.close(fd)
    return result


def has_token(path):
    data = contents(path)
    return not failed(data) and TOKEN.encode() in data


def can_write(path):
    """Whether the file can be opened for writing; nothing is written."""
    fd = attempt(os.open, path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if failed(fd):
        return False
    os.close(fd)
    return True


def scratch():
    """A new writable directory."""
    for parent in ("/tmp", "/var/tmp", "/dev/shm", os.getcwd()):
        path = os.path.join(parent, "x.%s.%d" % (TOKEN, os.getpid()))
        if not failed(attempt(os.mkdir, path)):
            return path
    skip("no writable directory")


def output_directory():
    """Where the job leaves what the host collects."""
    return ARGUMENTS.get("out") or scratch()


def child_status(body):
    """The exit status of a forked child that runs `body` and exits with what it returns; minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(body())
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

print("BEGUN", flush=True)
