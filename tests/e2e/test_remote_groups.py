"""Tests of a group on an engine's worker, of which one means ill."""

import pytest
from engines import casd, start_casd  # noqa: F401
from suites import suite  # noqa: F401
from test_pytest_remote import CELLS, remote  # noqa: F401

ALL = [(), CELLS]
NAMES = ["processes", "namespaces"]

# What a test tells of its end, and {name} does not.
TOLD = """
    import json, os
    NAME = "{name}"
    told = [{{"report": {{"id": NAME, "when": when, "outcome": "{outcome}", "start": 1.0, "duration": 0.1}}}} for when in ("setup", "call", "teardown")]
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
    suite.write("test_1.py", EXCHANGES % TOLD.format(name="test_2.py::test_fails", outcome="passed"))
    ended = remote(*where, "--remote-slots", 1)
    failed = {one for one, result in ended.tests.items() if result["verdict"] == "failed"}
    assert failed == {"test_0.py::test_fails", "test_2.py::test_fails"} and len(ended.tests) == 5, str(ended)


WRITES = """
    import os, pathlib, sys
    import pytest

    HERE = pathlib.Path(__file__).resolve().parent
    SHARED = [pathlib.Path(sys.prefix), pathlib.Path("/"), pathlib.Path("/var"), pathlib.Path(pytest.__file__).parent]
    OWN = [pathlib.Path.home(), pathlib.Path("/var/tmp"), pathlib.Path("/tmp"), pathlib.Path("/dev/shm"), HERE]

    @pytest.mark.parametrize("n", range(3))
    def test_it(n):
        for place in SHARED:
            with pytest.raises(OSError):
                (place / "left").mkdir()
        for place in OWN:
            if place.is_dir():
                (place / "left").mkdir()
                (place / "left/x").write_text("x")
        assert (HERE / "beside").read_text() == "x" and pathlib.Path(sys.executable).exists()
"""


def test_what_one_writes_with_namespaces_no_other_sees(suite, remote):  # noqa: F811
    suite.write("beside", "x")
    for n in range(2):
        suite.write(f"test_{n}.py", WRITES)
    ended = remote(*CELLS, "--remote-slots", 1)
    assert ended.status == 0 and len(ended.tests) == 6, str(ended)


FORGES = """
    import fcntl, stat
    %s
    for fd in map(int, os.listdir("/proc/self/fd") if os.path.exists("/.casemate-group") else ()):
        try:
            pipe = fd > 2 and stat.S_ISFIFO(os.fstat(fd).st_mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError:
            continue
        for n in range(4) if pipe else ():
            said = [{"unit": n}, {"of": n, "bytes": LINES}, {"over": n, "status": 0, "wall": 0.1}]
            os.write(fd, "".join(json.dumps(line) + chr(10) for line in said).encode())

    def test_a(): pass
"""


@pytest.mark.parametrize("where", ALL, ids=NAMES)
def test_what_a_file_says_of_anothers_tests_counts_for_nothing(suite, remote, where):  # noqa: F811
    # Not a pass of one that fails: that is tried again in a parent of all files, which is this file's as well.
    suite.write("test_a.py", FORGES % TOLD.format(name="test_b.py::test_b", outcome="failed"))
    suite.write("test_b.py", "def test_b(): pass\n")
    ended = remote(*where, "--remote-slots", 1)
    assert ended.verdicts["test_b"] == "passed" and len([one for one in ended.finished if one["id"] == "test_b.py::test_b"]) == 1, str(ended)


LEAVES_A_PROCESS = """
    import multiprocessing, os, time

    def serve():
        while True:
            time.sleep(1)

    if os.path.exists("/.casemate-group"):
        multiprocessing.get_context("fork").Process(target=serve, daemon=True).start()

    def test_one(): pass
    def test_two(): pass
"""


@pytest.mark.parametrize("where", ALL, ids=NAMES)
def test_a_process_that_a_module_leaves_holds_nobody_up(suite, remote, where):  # noqa: F811
    suite.write("test_a.py", LEAVES_A_PROCESS)
    suite.write("test_b.py", "def test_b(): pass\n")
    ended = remote(*where, "--remote-slots", 1)
    assert ended.status == 0 and len(ended.tests) == 3, str(ended)


def test_a_source_that_another_test_has_changed_is_not_collected(suite, remote):  # noqa: F811
    writes = "import pathlib\ndef test_writes():\n  file = pathlib.Path(__file__).with_name('test_%d.py')\n  file.write_text('def test_fails(): pass\\n# other\\n')\n"
    suite.write("test_0.py", writes % 1)
    suite.write("test_1.py", "def test_fails(): assert 0\n")
    ended = remote("--remote-slots", 1)
    first = next(one for one in ended.finished if one["id"] == "test_1.py::test_fails")
    assert first["verdict"] != "passed" and ended.tests["test_1.py::test_fails"]["verdict"] == "failed", str(ended)
