"""The program under test, for tests/golden and tests/e2e: a symlink named py_test_runner to $CASEMATE, in a directory of the test's own."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

TREE = pathlib.Path(__file__).resolve().parents[1]
CASEMATE = pathlib.Path(os.environ.get("CASEMATE", TREE / "build" / "bin" / "casemate")).resolve()


class Runner:
    """Runs py_test_runner in `directory`. Output stays bytes: a script may write anything."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment
        self.program = directory.parent / "bin" / "py_test_runner"
        self.program.parent.mkdir()
        self.program.symlink_to(CASEMATE)

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    def command(self, *arguments):
        return [str(self.program), *(os.fsencode(argument) for argument in arguments)]

    def __call__(self, *arguments, timeout=120, **options):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "cwd": self.directory, "env": self.environment} | options
        return subprocess.run(self.command(*arguments), timeout=timeout, check=False, **options)

    def start(self, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.directory} | options
        return subprocess.Popen(self.command(*arguments), env=self.environment, **options)

    def script(self, source, *arguments, requirements="/dev/null", name="script.py", network="none", **options):
        """Runs `source` as a script, by default without packages and without a network: most tests need neither."""
        self.write(name, source)
        return self("--script", name, "--reqs", requirements, *(["--network", network] if network else []), *arguments, **options)

    def object(self, source, *arguments, **options):
        """The same with --json-output: (the object, the exit status). Nothing but the object may be on stdout, and nothing on stderr."""
        done = self.script(source, "--json-output", *arguments, **options)
        assert done.stderr == b"", done.stderr.decode(errors="replace")
        return json.loads(done.stdout), done.returncode

    def results(self):
        """The files below ./results, as {relative path: bytes}; a symlink's value is its target."""
        root = os.fsencode(self.directory / "results")
        found = {}
        for directory, _, files in os.walk(root):
            for file in files:
                path = os.path.join(directory, file)
                name = os.fsdecode(os.path.relpath(path, root))
                if os.path.islink(path):
                    found[name] = os.readlink(path)
                else:
                    with open(path, "rb") as stream:
                        found[name] = stream.read()
        return found


def wait_for_process(argument, seconds=60):
    """The pid (in our pid namespace) of a process with `argument` on its command line."""
    wanted = os.fsencode(argument)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as stream:
                    parts = stream.read().split(b"\0")
            except OSError:
                continue
            if wanted in parts:
                return int(entry)
        time.sleep(0.02)
    raise AssertionError(f"no process with {argument} within {seconds} s")


def gone(argument, seconds=10):
    """Whether no process with `argument` is left, soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            wait_for_process(argument, 0.03)
        except AssertionError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="session")
def casemate_directories(tmp_path_factory):
    """casemate's own directories: those of ./dev, else some of this session, so that a test by hand leaves the user's alone."""
    home = tmp_path_factory.mktemp("casemate")
    return {name: os.environ.get(name) or str(home / name.lower()) for name in ("CASEMATE_CACHE_DIR", "CASEMATE_STATE_DIR")}


@pytest.fixture
def runner(tmp_path, casemate_directories):
    if not CASEMATE.exists():
        pytest.fail(f"{CASEMATE} is missing: ./dev build, or set CASEMATE")
    work = tmp_path / "work"
    work.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    return Runner(work, environment | casemate_directories)


__all__ = ["CASEMATE", "TREE", "Runner", "casemate_directories", "gone", "runner", "signal", "wait_for_process"]
