"""`casemate run` as a program that tests start."""

import json
import os
import subprocess

import pytest
from py_test_runner import CASEMATE


class Cells:
    """Starts `casemate run` in a directory of the test's own."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment

    def __call__(self, *arguments, timeout=60, **options):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "cwd": self.directory, "env": self.environment} | options
        return subprocess.run([CASEMATE, "run", *map(str, arguments)], timeout=timeout, check=False, **options)

    def start(self, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.directory} | options
        return subprocess.Popen([CASEMATE, "run", *map(str, arguments)], env=self.environment, **options)

    def out(self, *arguments, **options):
        """Standard output of a run that succeeds and says nothing else."""
        done = self(*arguments, **options)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def shell(self, text, *options, **more):
        return self.out(*options, "--", "sh", "-c", text, **more)

    def object(self, *arguments, **options):
        """What --json prints, and the exit status. Nothing else may be said."""
        done = self("--json", *arguments, **options)
        assert done.stderr == b""
        return json.loads(done.stdout), done.returncode


@pytest.fixture
def run(tmp_path, casemate_directories):
    (tmp_path / "work").mkdir()
    return Cells(tmp_path / "work", dict(os.environ) | casemate_directories)


__all__ = ["Cells", "run"]
