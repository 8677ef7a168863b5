"""A terminal of the test's own, with a screen that can be looked at."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time

import pyte


class Terminal:
    """Runs a command in a pty of 100 columns and 30 lines."""

    def __init__(self, command, **options):
        self.screen = pyte.HistoryScreen(100, 30, history=1000)
        self.stream = pyte.ByteStream(self.screen)
        self.bytes = b""
        self.leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.follower = follower  # kept, so that modes can be read after the end
        self.before = termios.tcgetattr(follower)

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, preexec_fn=take_terminal, **options)

    def read(self, seconds):
        if select.select([self.leader], [], [], seconds)[0]:
            data = os.read(self.leader, 65536)
            self.bytes += data
            self.stream.feed(data)

    def lines(self):
        """All lines, those that have left the screen too, each 100 columns wide."""
        return ["".join(line[column].data for column in range(100)) for line in self.screen.history.top] + self.screen.display

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines())

    def wait_for(self, wanted, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            # What is longer than the screen is wide goes on at the start of the next line.
            if wanted in "".join(self.lines()):
                return self.text()
            self.read(0.1)
        raise AssertionError(f"no {wanted!r} on the screen:\n{self.text()}")

    def type(self, keys):
        os.write(self.leader, keys)

    def modes(self):
        """Whether (line mode, echo) are on."""
        flags = termios.tcgetattr(self.follower)[3]
        return bool(flags & termios.ICANON), bool(flags & termios.ECHO)

    def end(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        self.read(0.05)
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.leader)
        os.close(self.follower)


__all__ = ["Terminal"]
