"""A buildbox-casd with execution: a whole REAPI v2 engine (CAS, action cache, ByteStream, Execution in bubblewrap) in one process of the test's own."""

import contextlib
import os
import pathlib
import select
import shutil
import socket
import subprocess
import time

# The directory of buildbox-casd, buildbox-run and buildbox-fuse, as ./dev says it.
PROGRAMS = pathlib.Path(os.environ.get("CASEMATE_CASD", ""))
# What an action sees of the worker's files: the input root is its /, and these lie over it. /bin itself is a symlink, which can't be bound.
HOST = ("/usr:/usr", "/usr/bin:/bin", "/usr/lib:/lib", "/usr/lib64:/lib64", "/usr/sbin:/sbin", "/etc/alternatives:/etc/alternatives")
# bubblewrap as a runner without it would have it: the input root is a directory of the worker's own root. buildbox has no such runner any more.
ELSEWHERE = """#!/bin/sh
left=$#
while [ $left -gt 0 ]; do
  word=$1
  shift
  [ "$word" != / ] || word=%s
  set -- "$@" "$word"
  left=$((left - 1))
done
exec %s %s "$@"
"""
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


class NotHere(Exception):
    """There can be none on this host; says why."""


def children(pid):
    try:
        return [int(one) for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def listening_port(pid):
    """The TCP port on which a process listens; None: on none so far."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(entry.path).removeprefix("socket:[").removesuffix("]"))
        for table in ("tcp", "tcp6"):
            for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in inodes:
                    return int(words[1].rpartition(":")[2], 16)
    return None


def speaks_http2(family, address):
    """Whether a server answers a connection as HTTP/2 asks it to: with its settings."""
    with contextlib.suppress(OSError), socket.socket(family) as link:
        link.settimeout(5)
        link.connect(address)
        link.sendall(HTTP2_PREFACE)
        return link.recv(9)[3:4] == b"\4"
    return False


class Casd:
    """Keeps all its files in the directory `top`, which goes with it. Runs in a pid and a mount namespace of its own, and dies with whoever
    started it: no process and no mount of it is left, however it ends. Also for an ordinary user, where it stages inputs by copying.

    bare: the input root is all an action sees. unix: on a socket in `top` instead of a port of the loopback. listen: the host part of its address, where it
    runs in another network (`prefix`: the command that enters it). quota: as casd has it ("2G"). place: where the input root lies in the worker's own root,
    of which `worker`, words for bubblewrap, says more."""

    def __init__(self, top, *, jobs=2, bare=False, unix=False, quota="4G", listen="127.0.0.1", prefix=(), arguments=(), log_level="warning", place="/", worker=()):
        if not (PROGRAMS / "buildbox-casd").is_file():
            raise NotHere("CASEMATE_CASD names no directory with a buildbox-casd: ./dev test remote makes it")
        for program in ("bwrap", "unshare", "setpriv"):
            if not shutil.which(program, path="/usr/bin:/bin"):
                raise NotHere(f"{program} is not installed: apt-get install bubblewrap util-linux")
        self.top = pathlib.Path(top)
        self.top.mkdir(parents=True, exist_ok=True)
        self.jobs, self.bare, self.quota, self.listen, self.prefix = jobs, bare, quota, listen, prefix
        self.arguments, self.log_level = arguments, log_level
        self.unix, self.socket = unix, self.top / "s"
        self.place, self.worker = place, worker
        self.port = 0
        self.process = None
        try:
            self.start()
        except BaseException:
            self.end()
            raise

    @property
    def target(self):
        """As gRPC takes it."""
        return f"unix:{self.socket}" if self.unix else f"{self.listen}:{self.port}"

    @property
    def address(self):
        """As casemate takes it."""
        return self.target if self.unix else f"grpc://{self.target}"

    @property
    def pid(self):
        """casd's own, as seen from here."""
        return next(iter(children(self.process.pid)), None)

    def words(self):
        root = os.geteuid() == 0
        words = [*self.prefix, "setpriv", "--pdeathsig", "KILL", "unshare", *([] if root else ["--user", "--map-current-user"])]
        words += ["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", PROGRAMS / "buildbox-casd"]
        # The socket comes first: it is where its runners look for it, who could not know a port that the kernel chose.
        words += [f"--bind=unix:{self.socket}", *([] if self.unix else [f"--bind={self.target}"])]
        words += [f"--quota-high={self.quota}", "--reserved=0", f"--buildbox-run={PROGRAMS / 'buildbox-run'}"]
        words += [f"--jobs={self.jobs}", f"--log-level={self.log_level}"]
        words += [] if self.bare else [f"--runner-arg=--ro-bind-mount={one}" for one in HOST if os.path.exists(one.partition(":")[0])]
        return [str(word) for word in (*words, *self.arguments, self.top / "cache")]

    def start(self):
        """Also after kill(): at the address it had, with what it had stored."""
        self.socket.unlink(missing_ok=True)
        # Without buildbox-fuse on PATH inputs are copied or linked.
        fuse = f"{PROGRAMS}:" if os.geteuid() == 0 and os.access("/dev/fuse", os.W_OK) else ""
        if self.place != "/":
            (self.top / "bin").mkdir(exist_ok=True)
            (self.top / "bin/bwrap").write_text(ELSEWHERE % (self.place, shutil.which("bwrap", path="/usr/bin:/bin"), " ".join(self.worker)))
            (self.top / "bin/bwrap").chmod(0o755)
            fuse = f"{self.top}/bin:{fuse}"
        environment = {"PATH": f"{fuse}/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.top), "TMPDIR": str(self.top)}
        with (self.top / "log").open("ab") as log:
            self.process = subprocess.Popen(self.words(), env=environment, cwd=self.top, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotHere(f"buildbox-casd does not start: {(self.top / 'log').read_text(errors='replace')[-400:]}")
            time.sleep(0.02)

    def answers(self):
        if self.unix:
            return self.socket.exists() and speaks_http2(socket.AF_UNIX, str(self.socket))
        found = self.pid and listening_port(self.pid)
        if not found:
            return False
        self.port = found
        # In another network its word has to do: from here nobody gets there before its link is up.
        return bool(self.prefix) or speaks_http2(socket.AF_INET, (self.listen, self.port))

    def forget(self, digest):
        """The content with this hash, as if it had been evicted."""
        (self.top / "cache/cas/objects" / digest[:2] / digest[2:]).unlink()

    def forget_all(self):
        """All that it holds now, one after the other. How much that was."""
        count = 0
        for content in (self.top / "cache/cas/objects").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                content.unlink()
                count += 1
        return count

    def kill(self):
        """As a machine that fails: it and its actions at once, and all of them gone when this returns."""
        own = self.pid
        handle = os.pidfd_open(own) if own else None
        self.process.kill()
        self.process.wait()
        if handle:
            select.select([handle], [], [], 30)
            os.close(handle)

    def end(self):
        if self.process:
            self.kill()
        shutil.rmtree(self.top, ignore_errors=True)
