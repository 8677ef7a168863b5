"""A small stand-in for the engine: it speaks src/warm/protocol.h with real interpreters, so that their half can be tested without a cell."""
import array
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAYLOAD = Path(os.environ.get("CASEMATE_WARM_DIR", REPOSITORY / "build/generated/warm"))
PATIENCE = 60.0  # seconds until an answer that does not come is a failure

HEADER = struct.Struct("=c3xIQ")
ENDED = struct.Struct("=c3xiQqqqqq")
FAILED = struct.Struct("=c3xiQII")
BITS = (
    "mount_namespace pid_namespace ipc_namespace uts_namespace network_namespace cgroup_namespace out err report cgroup_1 cgroup_2 cgroup_3 cgroup_4"
).split()


def boot_text():
    """kWarmBoot, as payload.h has it."""
    text = (REPOSITORY / "src/warm/payload.h").read_text()
    return re.search(r'kWarmBoot =\s*"(.*)";', text).group(1)


def memfd(content):
    """Of a path, its bytes."""
    fd = os.memfd_create("given", 0)
    os.write(fd, content if isinstance(content, bytes) else content.read_bytes())
    return fd


class Pipe:
    """Reads a pipe to its end in a thread, so that no fork waits for us."""

    def __init__(self):
        self.reader, self.writer = os.pipe()
        self.data = b""
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        parts = []
        while True:
            part = os.read(self.reader, 1 << 16)
            if not part:
                break
            parts.append(part)
        os.close(self.reader)
        self.data = b"".join(parts)

    def given(self):
        os.close(self.writer)

    def text(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "a stream did not end"
        return self.data.decode()

    def lines(self):
        return [json.loads(line) for line in self.text().splitlines()]


class Control:
    """Our end of a parent's socket."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def send(self, data, fds=()):
        self.ours.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def receive(self):
        """A message, or None at the end."""
        ready, _, _ = select.select([self.ours], [], [], PATIENCE)
        assert ready, "no answer from a warm parent"
        return self.ours.recv(1 << 20) or None

    def expect(self, letter):
        """The JSON of the message, which must be this one."""
        message = self.receive()
        assert message is not None, "the parent ended without an answer"
        assert message[:1] == letter, message
        return json.loads(message[1:])

    def close(self):
        self.ours.close()


class Result:
    """What came out of one fork."""

    def __init__(self, ended, failed, lines, out, err):
        self.status, self.faults, self.rss = ended[1], ended[5], ended[7]
        self.failed, self.lines, self.out, self.err = failed, lines, out, err
        self.reports = [line["report"] for line in lines if "report" in line]
        self.warnings = [line["warning"] for line in lines if "warning" in line]

    def outcomes(self):
        return {r["when"]: r["outcome"] for r in self.reports if not r.get("subtest")}

    def text(self, when="call"):
        return "".join(r.get("text", "") for r in self.reports if r["when"] == when)

    def section(self, title):
        """Of the last report: sections add up from phase to phase."""
        return "".join(text for name, text in self.reports[-1].get("sections", []) if name == title)


class Module:
    """A module parent."""

    def __init__(self, control):
        self.control = control
        message = control.receive()
        assert message is not None, "the module parent died"
        self.gave_up = json.loads(message[1:]) if message[:1] == b"X" else None
        self.ready = json.loads(message[1:]) if message[:1] == b"R" else None
        self.next_job = 1
        self.ended, self.failed = {}, {}

    def start(self, ids, fds=None):
        """Sends T; fds: {bit's name: descriptor} beside out, err and report."""
        pipes = {name: Pipe() for name in ("out", "err", "report")}
        all_fds = dict(fds or {}, **{name: pipe.writer for name, pipe in pipes.items()})
        bits = sum(1 << BITS.index(name) for name in all_fds)
        job = self.next_job
        self.next_job += 1
        ids = [ids] if isinstance(ids, str) else ids
        data = HEADER.pack(b"T", bits, job) + b"".join(i.encode("utf-8", "surrogateescape") + b"\0" for i in ids)
        self.control.send(data, [all_fds[name] for name in BITS if name in all_fds])
        for pipe in pipes.values():
            pipe.given()
        return job, pipes

    def finish(self, started):
        job, pipes = started
        while job not in self.ended:
            message = self.control.receive()
            assert message is not None, "the module parent died"
            if message[:1] == b"E":
                ended = ENDED.unpack(message)
                self.ended[ended[2]] = ended
            else:
                assert message[:1] == b"F", message
                failed = FAILED.unpack(message)
                self.failed[failed[2]] = failed
        return Result(
            self.ended.pop(job), self.failed.pop(job, None), pipes["report"].lines(), pipes["out"].text(), pipes["err"].text()
        )

    def run(self, ids, fds=None):
        return self.finish(self.start(ids, fds))

    def part(self, first, count):
        """A parent for this part of more items than kMostItems."""
        return Module(ask_for_parent(self.control, {"first": first, "count": count}))

    def close(self):
        self.control.close()


def ask_for_parent(control, words, files=()):
    """Sends M; our end of the new parent's socket."""
    made = Control()
    control.send(b"M" + json.dumps(words).encode(), [made.theirs.fileno(), *files])
    made.theirs.close()
    return made


class Base:
    """A base parent in `directory`, as the engine starts it; `python` has pytest, or `text` is another than pytest's."""

    def __init__(self, directory, *args, python=sys.executable, env=None, out=None, err=None, text=PAYLOAD / "warm.py"):
        self.control = Control()
        fds = {3: self.control.theirs.fileno(), 4: memfd(text), 5: memfd(PAYLOAD / "casemate_cells.so")}
        high = {target: os.dup(fd) for target, fd in fds.items()}
        high = {target: self._above(fd) for target, fd in high.items()}

        def place():
            for target, fd in high.items():
                os.dup2(fd, target)

        self.process = subprocess.Popen(
            [python, "-c", boot_text(), *args],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=place,
            pass_fds=(3, 4, 5),
        )
        for fd in [*high.values(), fds[4], fds[5]]:
            os.close(fd)
        self.control.theirs.close()
        self.modules = []
        self.begun = None

    @staticmethod
    def _above(fd):
        import fcntl

        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 30)
        os.close(fd)
        return high

    def begin(self):
        self.begun = self.control.expect(b"B")
        return self

    def collect(self):
        pipe = Pipe()
        self.control.send(b"C", [pipe.writer])
        pipe.given()
        return pipe.lines()

    def collect_and_stay(self):
        """(what the collector says, the parent that it becomes, which has `file`; or None if it does not stay)."""
        pipe, control = Pipe(), Control()
        self.control.send(b"C", [pipe.writer, control.theirs.fileno()])
        pipe.given()
        control.theirs.close()
        lines = pipe.lines()
        said = control.receive()
        if said is None:
            control.close()
            return lines, None
        assert said[:1] == b"S", said
        module = Module(control)
        module.file = json.loads(said[1:])["file"]
        self.modules.append(module)
        return lines, module

    def module(self, file, *files, **words):
        control = self.ask_for_module(file, *files, **words)
        module = Module(control)
        self.modules.append(module)
        return module

    def ask_for_module(self, file, *files, **words):
        return ask_for_parent(self.control, {"file": file, **words}, files)

    def close(self):
        for module in self.modules:
            module.close()
        self.control.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.begin()

    def __exit__(self, *_):
        self.close()
