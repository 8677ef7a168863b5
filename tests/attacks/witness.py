"""witness.py KIND: a program of the caller on the host that needs a resource the kernel counts by user while an attack runs.

Says "ready" after it could get one, "refused ERROR" when it once couldn't, and ends when its stdin does.
"""
import ctypes
import os
import select
import sys

libc = ctypes.CDLL(None, use_errno=True)
realtime = ctypes.CDLL("librt.so.1", use_errno=True)


class QueueAttributes(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_long), ("messages", ctypes.c_long), ("size", ctypes.c_long), ("rest", ctypes.c_long * 5)]


def inotify():
    fd = libc.inotify_init1(0)
    if fd < 0:
        return False
    os.close(fd)
    return True


def timers():
    timer = ctypes.c_void_p()
    if realtime.timer_create(1, None, ctypes.byref(timer)) != 0:
        return False
    realtime.timer_delete(timer)
    return True


def queues():
    name = b"/casemate-witness-%d" % os.getpid()
    fd = realtime.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, ctypes.byref(QueueAttributes(0, 10, 8192)))
    if fd < 0:
        return False
    realtime.mq_unlink(name)
    os.close(fd)
    return True


KINDS = {"inotify": inotify, "timers": timers, "queues": queues}


def main(kind):
    said = None
    while True:
        word = "ready" if KINDS[kind]() else "refused " + os.strerror(ctypes.get_errno())
        if word != said and said in (None, "ready"):
            print(word, flush=True)
            said = word
        ready, _, _ = select.select([0], [], [], 0.02)
        if ready:
            return


main(sys.argv[1])
