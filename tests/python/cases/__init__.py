"""What the wheel's users do, run by each interpreter for which there is a wheel. Plain functions: no pytest knows all of these Pythons."""

import contextlib
import subprocess
import sys
import time


class Skip(Exception):
    """This host can't do what the case wants."""


@contextlib.contextmanager
def raises(kind, text=""):
    """The block raises `kind`, and `text` is in its words. Gives a list in which the exception will be."""
    caught = []
    try:
        yield caught
    except kind as error:
        assert text in str(error), f"{text!r} is not in {str(error)!r}"
        caught.append(error)
        return
    raise AssertionError(f"no {kind.__name__} was raised")


def until(condition, what, seconds=60):
    """Waits until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        time.sleep(0.01)


def program(text, *arguments, **options):
    """Starts a program of this interpreter."""
    return subprocess.Popen([sys.executable, "-c", text, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def cells():
    """The processes below this one that are the init of a cell: they have a pid namespace of their own."""
    found = []
    for pid in processes():
        try:
            with open(f"/proc/{pid}/status") as file:
                status = file.read()
        except OSError:
            continue
        ids = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
        if ids and len(ids[0]) > 1:
            found.append(pid)
    return found


def processes(pid="self"):
    """Children of this process and theirs, alive or not."""
    import os

    root = str(os.getpid()) if pid == "self" else str(pid)
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children.setdefault(parent, []).append(entry)
    found, queue = [], [root]
    while queue:
        for child in children.get(queue.pop(), []):
            found.append(int(child))
            queue.append(child)
    return found
