"""`casemate pytest` on a project of the test's own."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from py_test_runner import CASEMATE


class Ended:
    """What a run left: its status, what it said, its events."""

    def __init__(self, status, out, err, events):
        self.status, self.out, self.err = status, out, err
        self.events = [json.loads(line) for line in events.split("\n") if line]
        self.finished = [event for event in self.events if event["event"] == "test_finished"]
        #: By the part of the id behind the file.
        self.results = {event["id"].partition("::")[2]: event for event in self.finished if event["last"]}

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
    """A project, and casemate to run it."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def start(self, *arguments, **options):
        environment = self.environment | options.pop("environment", {})
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.directory} | options
        command = [CASEMATE, "pytest", "--color", "never", "--json-lines", self.events_file, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, **options)

    @property
    def events_file(self):
        return self.directory.parent / "events.jsonl"

    def ended(self, process, timeout=240):
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        events = self.events_file.read_text(encoding="utf-8") if self.events_file.exists() else ""
        whole = events[: events.rfind("\n") + 1]
        return Ended(process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace"), whole)

    def __call__(self, *arguments, timeout=240, **options):
        self.events_file.unlink(missing_ok=True)
        return self.ended(self.start(*arguments, **options), timeout)

    def one(self, body, *arguments, **options):
        """The result of a project that has this one file with one test, and the whole run."""
        self.write("test_it.py", body)
        ended = self(*arguments, **options)
        assert len(ended.results) == 1, str(ended)
        return next(iter(ended.results.values())), ended


@pytest.fixture
def suite(tmp_path, casemate_directories):
    (tmp_path / "project").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GITHUB_"))}
    return Suite(tmp_path / "project", kept | casemate_directories | {"VIRTUAL_ENV": sys.prefix})


__all__ = ["Ended", "Suite", "suite"]
