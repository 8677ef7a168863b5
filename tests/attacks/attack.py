"""One attack: a probe's text, the command that runs it in a cell, and the verdict over what the probe said and what the host looks like after."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from host import Host, cgroups_of, leftovers, remove_tree

HERE = Path(__file__).parent
PRELUDE = HERE / "prelude.py"
KEPT_OUTPUT = 1 << 16
ODD_ARGUMENTS = [b"", b"a\nb", b"\xff\xfe", b"$(id)", b"`id`", b"--", b"-rf", b";", b"*", b"\"'", b"%s%n", b"y" * 100000]


class Probe:
    """A file of probes/: its header's keys and its text.

    class: hard, robust, resource, output must be held always; surface must be held in the strict profile.
    timeout: the job's wall limit; limit: seconds after which the runner counts as hung; died: `held` when the job may be killed for it; refused: the status when casemate may refuse;
    rc: the exit status wanted; rss: MiB the runner may use; needs: what the host must offer, else skipped; witness: what a program of the caller
    must be able to get meanwhile; pty, interactive, argv, stdin, twice, clean: how it is run; place: where the output directory lies.
    """

    def __init__(self, path):
        self.path = path
        self.name = path.stem
        self.source = path.read_text()
        self.header = dict(re.findall(r"^# ([a-z ]+): (.*)$", self.source, re.M))
        self.kind = self.header["class"]
        self.timeout = int(self.header.get("timeout", "30"))
        self.limit = float(self.header.get("limit", self.timeout + 15))

    def policy(self, profile):
        """Why this probe is let through in `profile` by design; None when it must be held."""
        if profile == "strict":
            return self.header.get("policy strict")
        return self.header.get("policy")

    def text(self):
        return PRELUDE.read_text() + self.source


def probes():
    return sorted((Probe(path) for path in (HERE / "probes").glob("[0-9]*.py")), key=lambda probe: int(probe.name.split("-")[0]))


@dataclass
class Run:
    """What one start of the command gave."""

    status: int | None = None
    output: bytes = b""
    begun: bool = False
    hung: bool = False
    held_open: bool = False
    rss_mib: int = 0
    wall: float = 0.0
    pid: int = 0
    token: str = ""


@dataclass
class Verdict:
    """HELD, ESCAPED, SKIP, or BROKEN: the probe or casemate did not get as far as to try."""

    word: str
    why: str = ""
    on_host: list[str] = field(default_factory=list)

    def __str__(self):
        return " | ".join([self.word, *self.on_host, self.why])


class Attack:
    """Runs probes by `casemate run` with one profile, as one user of the host; "image" is the default profile on an image's root."""

    def __init__(self, casemate, host: Host, profile, alone=False):
        self.casemate = casemate
        self.host = host
        self.profile = profile
        self.alone = alone

    def lacks(self, probe):
        """Why this host can't be held to the probe at all, in casemate's own words; "" when it can."""
        if probe.header.get("needs") != "memory controller":
            return ""
        answer = subprocess.run(
            [self.casemate, "run", "--json", "--", "true"],
            capture_output=True,
            check=False,
            text=True,
            cwd=self.host.home,
            env=self.host.environment(),
            **self.host.as_user(),
        ).stdout
        notes = [note for note in json.loads(answer)["notes"] if "memory limit held by a watchdog" in note]
        return "memory of the kernel is bounded by a memory controller alone; " + notes[0] if notes else ""

    def verdict(self, probe, collect=False):
        reason = self.lacks(probe)
        if reason:
            return Verdict("SKIP", reason)
        if "twice" in probe.header:
            self._once(probe, collect, remove=False)
        return self._once(probe, collect, remove=True)

    def command(self, probe, out, token, collect):
        command = [self.casemate, "run", "--timeout", "%ds" % probe.timeout]
        if self.profile == "image":
            command += ["--image", "dir:%s" % self.host.root, "-v", "/usr:/usr:ro"]
        else:
            command += ["--profile", self.profile]
        if "interactive" in probe.header:
            command.append("-i")
        command += ["--outputs", str(out), "--workdir", "/out"] if collect else ["-v", "%s:/out" % out]
        command += ["--", "python3", "-c", probe.text()]
        command += ["%s=%s" % item for item in self.host.facts().items()]
        command += ["run=" + token, "out=/out"]
        return command + (ODD_ARGUMENTS if "argv" in probe.header else [])

    def _once(self, probe, collect, remove):
        out = self.host.output_directory(probe.header.get("place", "/var/tmp"))
        try:
            before = self.host.state(self.alone)
            witness = Witness(probe.header.get("witness"), self.host)
            if witness.refused():
                return Verdict("SKIP", "the host has none left before the attack: " + witness.said)
            run = self._start(probe, out, collect)
            witness.end()
            left = leftovers(run.token.encode(), {os.getpid(), run.pid})
            for pid in left:
                kill(pid)  # only processes that carry this run's token
            verdict = judge(probe, run)
            verdict.on_host += run_findings(probe, run, verdict)
            verdict.on_host += ["a program of the caller was %s %s" % (witness.said, witness.kind)] if witness.refused() else []
            verdict.on_host += self.host.findings(before, self.host.state(self.alone), remove)
            verdict.on_host += self.host.collected_findings(out)
            verdict.on_host += ["LEFTOVER: %d processes" % len(left)] if left else []
            verdict.on_host += ["LEFTOVER: cgroup " + path for path in cgroups_of(run.pid)]
            return verdict
        finally:
            remove_tree(out)

    def _start(self, probe, out, collect):
        run = Run(token="run" + uuid.uuid4().hex)
        command = self.command(probe, out, run.token, collect)
        controller = None
        if "pty" in probe.header:
            controller, terminal = pty.openpty()
            stdin = stdout = terminal
        else:
            stdin = self.host.stdin(probe.header.get("stdin"))
            stdout = subprocess.PIPE

        def take_terminal():
            if controller is not None:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        start = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            cwd=self.host.home,
            env=self.host.environment(),
            pass_fds=[self.host.leaked_fd],
            start_new_session=True,
            preexec_fn=take_terminal,
            **self.host.as_user(),
        )
        run.pid = process.pid
        if controller is not None:
            os.close(terminal)
        reader = controller if controller is not None else process.stdout.fileno()
        try:
            follow(process, reader, run, start + probe.limit, controller is not None)
        finally:
            if controller is not None:
                os.close(controller)
            else:
                process.stdout.close()
            if process.stdin is not None:
                process.stdin.close()
            if hasattr(stdin, "close"):
                stdin.close()
        run.wall = time.monotonic() - start
        return run


class Witness:
    """A program of the caller that lives on the host beside an attack; no kind: none."""

    def __init__(self, kind, host):
        self.kind = kind
        self.said = "ready"
        self.process = None
        if kind is None:
            return
        self.process = subprocess.Popen(
            ["python3", "-c", (HERE / "witness.py").read_text(), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", **host.as_user()
        )
        self.said = self.process.stdout.readline().strip()
        if self.refused():
            self.end()

    def refused(self):
        return self.said.startswith("refused")

    def end(self):
        if self.process is None or self.process.returncode is not None:
            return
        rest, _ = self.process.communicate()
        if rest.strip():
            self.said = rest.strip()


def follow(process, reader, run, deadline, is_terminal):
    """Reads output until it ends; notes a runner that hangs, or one that is gone while somebody keeps its pipe open."""
    ended = None
    while True:
        ready, _, _ = select.select([reader], [], [], 0.05)
        if ready:
            try:
                data = os.read(reader, 1 << 16)
            except OSError:  # EIO: the terminal's last user is gone
                data = b""
            if not data:
                break
            run.output = (run.output + data)[-KEPT_OUTPUT:]
            run.begun = run.begun or b"BEGUN" in run.output
        if ended is None and reap(process, run, os.WNOHANG):
            ended = time.monotonic()
        if ended is not None and time.monotonic() - ended > 1:
            run.held_open = not is_terminal
            break
        if time.monotonic() > deadline:
            run.hung = True
            break
    if run.hung:
        for number in (signal.SIGCONT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except OSError:
                pass
    if ended is None:
        while not run.hung and time.monotonic() < deadline:
            if reap(process, run, os.WNOHANG):
                return
            time.sleep(0.01)
        if not run.hung:
            run.hung = True
            kill(process.pid)
        reap(process, run, 0)


def reap(process, run, flags):
    """Waits for the runner itself, and takes its status and peak memory."""
    pid, status, usage = os.wait4(process.pid, flags)
    if pid == 0:
        return False
    process.returncode = run.status = os.waitstatus_to_exitcode(status)
    run.rss_mib = usage.ru_maxrss >> 10
    return True


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


def judge(probe, run):
    """What the probe itself said."""
    text = run.output.decode("utf8", "replace").replace("\r", "")
    said = re.findall(r"^(HELD|ESCAPED|SKIP)(?: (.*))?$", text, re.M)
    if said:
        return Verdict(said[-1][0], said[-1][1].strip()[:300])
    last = text.strip().splitlines()[-1][-200:] if text.strip() else "no output"
    if not run.begun and str(run.status) == probe.header.get("refused"):
        return Verdict("HELD", "refused: " + last)
    refused_memory = last.startswith(("MemoryError", "OSError: [Errno 12]", "RuntimeError: can't start new thread"))
    killed = "Traceback" not in text or refused_memory
    if run.begun and killed and probe.header.get("died") == "held":
        return Verdict("HELD", "killed, exit status %s: %s" % (run.status, last))
    return Verdict("BROKEN", "exit status %s: %s" % (run.status, last))


def run_findings(probe, run, verdict):
    """What is wrong with how the runner itself behaved, in words."""
    found = []
    if run.hung:
        found.append("HANG: not back after %.0f s" % probe.limit)
    if run.held_open:
        found.append("LEFTOVER: somebody still holds the output pipe")
    if "rc" in probe.header and verdict.word == "HELD" and run.status != int(probe.header["rc"]):
        found.append("exit status %s, wanted %s" % (run.status, probe.header["rc"]))
    if "rss" in probe.header and run.rss_mib > int(probe.header["rss"]):
        found.append("the runner used %d MiB" % run.rss_mib)
    if "clean" in probe.header and re.search(rb"\x1b\]|\x1b\[2[J1]|\x1b\[6n|\x9b2J|\x07", run.output):
        found.append("raw control sequences reached the terminal")
    return found
