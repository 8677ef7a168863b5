"""Tests of a group on an engine's worker, of which one means ill."""

import pytest
from engines import casd, start_casd  # noqa: F401
from suites import suite  # noqa: F401
from test_pytest_remote import CELLS, remote  # noqa: F401

ALL = [(), CELLS]
NAMES = ["processes", "namespaces"]

# What a test says that has passed; {name} has not.
PASSES = """
    import json, os
    NAME = "{name}"
    told = [{{"report": {{"id": NAME, "when": when, "outcome": "passed", "start": 1.0, "duration": 0.1}}}} for when in ("setup", "call", "teardown")]
    LINES = "".join(json.dumps(line) + chr(10) for line in [*told, {{"end": NAME}}, {{"done": True}}])
"""

EXCHANGES = """
    import os, sys, textwrap
    import pytest

    EVIL = '''%s
    os.write(3, LINES.encode())
    os._exit(0)
    '''

    @pytest.mark.casemate(isolation="cold")
    def test_exchanges():
        for place in ("/.casemate-pytest", "/.casemate-rewritten", "/.casemate-group"):
            try:
                os.rename(place, place + ".old")
                with open(place, "w") as file:
                    file.write(textwrap.dedent(EVIL))
            except OSError:
                pass
        for fd in os.listdir("/proc/self/fd"):
            path = "/proc/self/fd/" + fd
            if os.path.exists(path) and "memfd:casemate" in os.readlink(path):
                with pytest.raises(OSError):
                    os.write(int(fd), b"import os; os._exit(0)")
                with pytest.raises(OSError):
                    open(path, "wb")
"""


@pytest.mark.parametrize("where", ALL, ids=NAMES)
def test_what_fresh_interpreters_run_no_test_exchanges(suite, remote, where):  # noqa: F811
    suite.write("pytest.ini", "[pytest]\nmarkers = casemate\n")
    for n in (0, 2):  # before and after it
        suite.write(f"test_{n}.py", "import pytest\npytestmark = pytest.mark.casemate(isolation='cold')\ndef test_fails(): assert 0\ndef test_b(): pass\n")
    suite.write("test_1.py", EXCHANGES % PASSES.format(name="test_2.py::test_fails"))
    ended = remote(*where, "--remote-slots", 1)
    failed = {one for one, result in ended.tests.items() if result["verdict"] == "failed"}
    assert failed == {"test_0.py::test_fails", "test_2.py::test_fails"} and len(ended.tests) == 5, str(ended)
