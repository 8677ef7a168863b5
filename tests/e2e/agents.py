"""`casemate agent` as tests start it: with a backend, a git server, repositories and directories of the test's own."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

import pytest
from grading_backend import GradingBackend
from labs import GitServer, Labs, wheels
from py_test_runner import CASEMATE

#: Of a task: the laboratory whose one test is quick.
FIRST = {"laboratoryNumber": 1, "connectedTests": ["test_greets"]}


class Running:
    """One agent that was started."""

    def __init__(self, command, directory, environment, number):
        self.out_file, self.err_file = directory / f"agent-{number}.out", directory / f"agent-{number}.err"
        with open(self.out_file, "wb") as out, open(self.err_file, "wb") as err:
            self.process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self.pid = self.process.pid

    @property
    def out(self):
        return self.out_file.read_text(encoding="utf-8", errors="replace")

    @property
    def err(self):
        return self.err_file.read_text(encoding="utf-8", errors="replace")

    @property
    def said(self):
        return self.out + self.err

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=90):
        """Its exit status (negative: the signal)."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent did not end within {seconds} s; it said:\n{self.said[-4000:]}") from None

    def stop(self, number=signal.SIGTERM, seconds=60):
        if self.process.poll() is None:
            self.send(number)
        return self.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def says(self, text, seconds=60):
        """Waits for a text in what it says."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if text in self.said:
                return
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} within {seconds} s; it said:\n{self.said[-4000:]}")


class GradingWorld:
    """All that a task needs. The agent's state is the test's own, the cache that of the session."""

    def __init__(self, directory, environment, wheelhouse):
        self.directory = directory
        self.state = directory / "state"
        self.environment = environment | {
            "CASEMATE_STATE_DIR": str(self.state),
            "PIP_FIND_LINKS": str(wheelhouse),
            "PIP_NO_INDEX": "1",
        }
        self.labs = Labs(directory / "git")
        self.git = GitServer(self.labs.root)
        self.tests = None
        self.backend = None
        self.agents = []

    # -- the other side

    def start_backend(self, **options):
        assert self.backend is None
        self.backend = GradingBackend(**options)
        return self.backend

    def lab(self, kind="good", **more):
        """The URL of a student's repository."""
        return self.git.url(self.labs.lab(kind, **more))

    def task(self, kind="good", form="a", **more):
        """Queues a task of a lab; its key."""
        if not (self.labs.root / f"{kind}.git").exists():
            self.labs.lab(kind)
        return self.backend.task(self.git.url(f"{kind}.git"), form=form, **more)

    # -- the agent

    def command(self, *words, program=CASEMATE, command=("agent",), tests=True):
        if self.backend is None:
            self.start_backend()
        given = ["--backend-url", self.backend.url, "--check-interval", "0.1", "--clone-network", "host"]
        if tests:
            if self.tests is None:
                self.tests = self.labs.tests()
            given += ["--tests-repo", self.git.url(self.tests)]
        return [str(program), *command, *given, *map(str, words)]

    def start(self, *words, environment=None, **how):
        started = Running(self.command(*words, **how), self.directory, self.environment | (environment or {}), len(self.agents))
        self.agents.append(started)
        return started

    def run(self, *words, environment=None, timeout=120, **how):
        """The agent to its end."""
        return subprocess.run(
            self.command(*words, **how),
            cwd=self.directory,
            env=self.environment | (environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def grade(self, kind="good", *words, form="a", seconds=120, **more):
        """The result of one task, by an agent that is started for it if none runs."""
        if self.backend is None:
            self.start_backend()
        key = self.task(kind, form, **more)
        if not any(agent.process.poll() is None for agent in self.agents):
            self.start(*words)
        try:
            return self.backend.wait_for(key, seconds=seconds)
        except AssertionError as problem:
            raise AssertionError(f"{problem}\nthe agent said:\n{self.agents[-1].said[-4000:]}") from None

    # -- what it leaves

    @property
    def task_directories(self):
        """tasks/<number>, oldest first."""
        found = [path for path in self.state.rglob("tasks/*") if path.is_dir()]
        return sorted(found, key=lambda path: int(path.name))

    def artifact(self, name, task=-1):
        return (self.task_directories[task] / name).read_bytes()

    def close(self):
        for agent in self.agents:
            if agent.process.poll() is None:
                agent.send(signal.SIGTERM)
                try:
                    agent.process.wait(0.2)
                except subprocess.TimeoutExpired:
                    agent.send(signal.SIGTERM)  # at once, whatever runs
                try:
                    agent.process.wait(20)
                except subprocess.TimeoutExpired:
                    agent.kill()
        if self.backend:
            self.backend.close()
        self.git.close()


def processes():
    """{pid: (command line, environment)} of all that can be read, as bytes."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                line = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes()
                try:
                    found[int(entry)] = (line, pathlib.Path(f"/proc/{entry}/environ").read_bytes())
                except OSError:
                    found[int(entry)] = (line, b"")
    return found


def wait_until(true, what, seconds=60):
    """Until `true()`; else fails with what `what()` says."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def workers(world):
    """The pids of this test's workers that have a task."""
    mine = str(world.directory).encode()
    return [pid for pid, (line, _) in processes().items() if line.split(b"\0")[1:2] == [b"worker"] and mine in line and b"/tasks/" in line]


def without_limits(notes):
    """Those that do not say by what a limit is held, as an account without cgroups is told."""
    return [note for note in notes if " limit held by " not in note]


def below(pid):
    """{pid: command line} of all that a process started, and what that started."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(entry)] = int(pathlib.Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    found = {}
    for one in parents:
        above = one
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and one != pid:
            with contextlib.suppress(OSError):
                found[one] = pathlib.Path(f"/proc/{one}/cmdline").read_bytes()
    return found


def until_running(agent, ending, seconds=60):
    """Waits until a process whose command line ends so runs in one of the agent's cells."""
    deadline = time.monotonic() + seconds
    while not any(line.endswith(ending.encode() + b"\0") for line in below(agent.pid).values()):
        assert time.monotonic() < deadline, f"no {ending} runs; the agent said:\n{agent.said}"
        time.sleep(0.05)


def files_with(text, *directories):
    """Files that have the text in them."""
    found = []
    for directory in directories:
        for path in pathlib.Path(directory).rglob("*"):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
                    found.append(str(path))
    return found


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def log_lines(text):
    return [json.loads(line) for line in text.splitlines() if line]


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory):
    return wheels(tmp_path_factory.mktemp("wheels") / "pytest")


@pytest.fixture
def world(tmp_path, casemate_directories, wheelhouse):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_", "CASEMATE_AGENT"))}
    made = GradingWorld(tmp_path, kept | casemate_directories, wheelhouse)
    yield made
    made.close()


__all__ = ["GradingWorld", "Running", "below", "fetch", "files_with", "log_lines", "processes", "until_running", "wheelhouse", "without_limits", "world"]
