"""A suite whose verdicts are known before it runs, for runs to which things happen: each test once, each with its verdict."""

import json
import os
import pathlib
import subprocess
import sys

from py_test_runner import CASEMATE

FILES, EACH = 4, 12
TEXT = """
import os, time
import pytest

{tests}
"""
TESTS = {
    "passed": "def test_{n}():\n    time.sleep({pause})\n",
    "failed": "def test_{n}():\n    time.sleep({pause})\n    assert {n} == 'file {f}'\n",
    "skipped": "def test_{n}():\n    pytest.skip('not today')\n",
    "error": "@pytest.fixture\ndef broken_{n}():\n    raise RuntimeError('no set-up')\n\n\ndef test_{n}(broken_{n}):\n    pass\n",
    "xfailed": "@pytest.mark.xfail\ndef test_{n}():\n    assert False\n",
}


class KnownSuite:
    def __init__(self, directory, environment, pause=0.1):
        self.directory, self.expected = pathlib.Path(directory), {}
        self.directory.mkdir()
        for file in range(FILES):
            tests = []
            for number in range(EACH):
                verdict = list(TESTS)[1:][number // 3] if number % 3 == 0 else "passed"
                tests.append(TESTS[verdict].format(n=number, f=file, pause=pause))
                self.expected[f"test_{file}.py::test_{number}"] = verdict
            (self.directory / f"test_{file}.py").write_text(TEXT.format(tests="\n\n".join(tests)))
        (self.directory / "pytest.ini").write_text("[pytest]\n")
        venv = pathlib.Path(sys.prefix)
        self.environment = environment | {"VIRTUAL_ENV": str(venv), "PATH": f"{venv}/bin:{os.environ['PATH']}"}
        self.record = self.directory.parent / "run.jsonl"

    def start(self, *words):
        self.record.unlink(missing_ok=True)
        argv = [CASEMATE, "pytest", f"--json-lines={self.record}", *words]
        return subprocess.Popen([str(word) for word in argv], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def results(self):
        """Of each test all last results, in the order they came."""
        events = [json.loads(line) for line in self.record.read_text().splitlines()]
        found = {}
        for event in events:
            if event["event"] == "test_finished" and event["last"]:
                found.setdefault(event["id"], []).append(event)
        return found

    def verdicts(self):
        """{id: verdict}; a test that was told twice fails here."""
        results = self.results()
        assert all(len(its) == 1 for its in results.values()), {name: its for name, its in results.items() if len(its) != 1}
        return {name: its[0]["verdict"] for name, its in results.items()}

    def finish(self, process, timeout=300):
        """Waits for it; what it said, and that each test was told once with its verdict."""
        said, _ = process.communicate(timeout=timeout)
        assert self.verdicts() == self.expected, f"{process.returncode}: {said[-3000:]}"
        assert process.returncode == 1, said[-3000:]
        return said
