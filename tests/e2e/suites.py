"""A project of a test's own, and `casemate pytest` (or `maelstrom-pytest`, which is the same program) run in it."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
from py_test_runner import CASEMATE

SIMPLE = ("OK", "FAIL", "TIMEOUT", "ERR", "IGNORED")


class Ended:
    """What a run left: its status, what it said, its events."""

    def __init__(self, status, out, err, events):
        self.status, self.out, self.err = status, out, err
        self.events = [json.loads(line) for line in events.split("\n") if line]
        self.finished = [event for event in self.events if event["event"] == "test_finished"]
        #: By their ids.
        self.tests = {event["id"]: event for event in self.finished if event["last"]}
        #: By the part of the id behind the file.
        self.results = {name.partition("::")[2]: event for name, event in self.tests.items()}

    def of(self, event):
        return [one for one in self.events if one["event"] == event]

    @property
    def verdicts(self):
        return {name: result["verdict"] for name, result in self.results.items()}

    @property
    def notes(self):
        return [event["line"] for event in self.of("note")]

    @property
    def problem(self):
        return self.of("run_finished")[-1]["problem"]

    def __str__(self):
        return "status %d\n%s\n%s" % (self.status, self.out, self.err)


class Suite:
    """A project, and casemate to run it, by default with the interpreter that runs these tests."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def start(self, *words, name="casemate", **options):
        # The name a program is called by decides what it is.
        program = [CASEMATE, "pytest", "--color", "never", "--json-lines", self.events_file] if name == "casemate" else [CASEMATE.parent / name]
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.directory, "env": self.environment} | options
        return subprocess.Popen([*map(str, program), *map(str, words)], **options)

    @property
    def events_file(self):
        return self.directory.parent / "events.jsonl"

    def ended(self, process, timeout=300):
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        events = self.events_file.read_text(encoding="utf-8") if self.events_file.exists() else ""
        whole = events[: events.rfind("\n") + 1]
        return Ended(process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"), whole)

    def __call__(self, *words, timeout=300, **options):
        self.events_file.unlink(missing_ok=True)
        return self.ended(self.start(*words, **options), timeout)

    def maelstrom(self, *words, **options):
        return self(*words, name="maelstrom-pytest", **options)

    def tests(self, *words, status=0, **options):
        """{id: result} of a run that ends with `status`."""
        ended = self(*words, **options)
        assert ended.status == status, str(ended)
        return ended.tests

    def one(self, body, *words, **options):
        """The result of a project that has this one file with one test, and the whole run."""
        self.write("test_it.py", body)
        ended = self(*words, **options)
        assert len(ended.results) == 1, str(ended)
        return next(iter(ended.results.values())), ended


def simple_lines(text):
    """{node id: status} of --ui simple as maelstrom-pytest prints it."""
    found = {}
    for line in text.splitlines():
        name, dots, rest = line.partition("...")
        status = rest.lstrip(".").split()
        if dots and status and status[0] in SIMPLE:
            found[name] = status[0]
    return found


@pytest.fixture
def suite(tmp_path, casemate_directories):
    (tmp_path / "project").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_")) and name not in ("BUILD_NUMBER", "CI", "COLUMNS", "NO_COLOR")}
    path = f"{pathlib.Path(sys.executable).parent}:{kept.get('PATH', '/usr/bin:/bin')}"
    return Suite(tmp_path / "project", kept | casemate_directories | {"PATH": path, "VIRTUAL_ENV": sys.prefix})


__all__ = ["Ended", "Suite", "simple_lines", "suite"]
