"""A project with tests in a directory of the test's own, and `maelstrom-pytest` or `casemate pytest` run in it."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from py_test_runner import CASEMATE

SIMPLE = {"OK": "passed", "FAIL": "failed", "TIMEOUT": "timeout", "ERR": "error", "IGNORED": "ignored"}


class Suite:
    """Runs the tests of `directory`, by default with the interpreter that runs these tests."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def command(self, words, name):
        # The name a program is called by decides what it is.
        program = [str(CASEMATE), "pytest"] if name == "casemate" else [str(CASEMATE.parent / name)]
        return program + [str(word) for word in words]

    def __call__(self, *words, name="casemate", timeout=300, **options):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "cwd": self.directory, "env": self.environment} | options
        return subprocess.run(self.command(words, name), timeout=timeout, check=False, **options)

    def maelstrom(self, *words, **options):
        return self(*words, name="maelstrom-pytest", **options)

    def start(self, *words, name="casemate", **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | options
        return subprocess.Popen(self.command(words, name), cwd=self.directory, env=self.environment, **options)

    def verdicts(self, *words, status=0, **options):
        """A run; {node id: the last line about it of --json-lines}."""
        path = self.directory.parent / "lines.json"
        done = self(*words, "--json-lines", path, **options)
        assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        found = {}
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "test_finished" and event["last"]:
                found[event["id"]] = event
        return found

    def list(self, *words, status=0, **options):
        done = self("--list", *words, **options)
        assert done.returncode == status, done.stderr
        return done.stdout.splitlines()


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
    work = tmp_path / "project"
    work.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "VIRTUAL_ENV", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")}
    environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{environment.get('PATH', '/usr/bin:/bin')}"
    environment["VIRTUAL_ENV"] = sys.prefix
    return Suite(work, environment | casemate_directories)


__all__ = ["Suite", "simple_lines", "suite"]
