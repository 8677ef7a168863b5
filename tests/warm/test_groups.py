"""Groups of tests (order G): in namespaces of their own, as this user and as another, and as processes alone."""
import os
import subprocess
import sys
import tempfile
import textwrap

import pytest
from conftest import PYTHON
from grouped import Group

ALONE = {"as it is": {}, "as nobody": {"user": 65534}, "processes": {"cells": False}, "processes of nobody": {"user": 65534, "cells": False}}
CELLS = [name for name in ALONE if "processes" not in name]


def may_be_apart():
    """Whether this user may have the namespaces."""
    return subprocess.run(["unshare", "-Urnpf", "true"], capture_output=True).returncode == 0


@pytest.fixture
def here(tmp_path_factory, request):
    """A project that others than root can read, not below what only root can."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="groups-") as directory:
        os.chmod(directory, 0o777)
        yield directory


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as file:
        file.write(textwrap.dedent(text))


@pytest.fixture(params=sorted(ALONE))
def group(here, request):
    order = ALONE[request.param]
    if order.get("user") and os.geteuid() != 0:
        pytest.skip("only root becomes another")
    if request.param in CELLS and not may_be_apart():
        pytest.skip("no namespaces here")

    def run(*files, **more):
        made = Group(here, list(files), "-p", "no:randomly", python=PYTHON, **{**order, **more})
        assert made.apart["apart"] == ("cells" if request.param in CELLS else "processes"), made.apart
        return made

    run.cells = request.param in CELLS
    return run


def all_done(made):
    assert made.done and made.process.returncode == 0, made.err
    assert made.units[0].begun
    return [unit.outcomes[1:2] for unit in made.units.values()]


def test_each_unit_is_told_of_once_with_how_it_ended(here, group):
    write(here, "test_a.py", """
        import os, signal, time
        def test_passes(): print("said")
        def test_fails(): assert [1] == [2]
        def test_dies(): os.kill(os.getpid(), signal.SIGABRT)
        def test_ends(): os._exit(7)
        def test_is_slow(): time.sleep(600)
        """)
    ids = ["passes", "fails", "dies", "ends", {"ids": "test_a.py::test_is_slow", "wall": 0.4}]
    made = group(("test_a.py", ["test_a.py::test_" + name if isinstance(name, str) else name for name in ids]))
    assert all_done(made) == [["passed"], ["failed"], [], [], []]
    units = made.units
    assert units[0].ended_well and units[1].ended_well and "[1] == [2]" in units[1].text()
    assert [units[n].over["status"] for n in (2, 3, 4)] == [6, 7 << 8, 9] and units[4].over["limit"] == "wall"
    assert "Abort" in units[2].over["err"] and 0.4 <= units[4].over["wall"] < 60


def test_tests_of_a_unit_share_a_process_and_units_do_not(here, group):
    write(here, "test_a.py", """
        seen = []
        def test_one(): seen.append(1)
        def test_two(): assert seen == [1]
        """)
    write(here, "test_b.py", "def test_it(): pass")
    ids = ["test_a.py::test_one", "test_a.py::test_two"]
    made = group(("test_a.py", [ids, ids[1], ids]), ("test_b.py", ["test_b.py::test_it"]))
    assert all_done(made) and [unit.outcomes.count("failed") for unit in made.units.values()] == [0, 1, 0, 0]
    assert {"end": ids[1]} in made.units[0].lines


def test_what_a_test_leaves_the_next_does_not_find(here, group):
    write(here, "test_a.py", """
        import os, pathlib, subprocess, tempfile
        def test_leaves():
            pathlib.Path(tempfile.gettempdir(), "left").write_text("x")
            pathlib.Path("/tmp/left-%d" % os.getpid()).write_text("x") if CELLS else None
            if CELLS: pathlib.Path("left").write_text("x")
            os.environ["LEFT"] = "1"
            os.chdir("/")
            subprocess.Popen(["sleep", "600"], start_new_session=True)
        def test_finds_nothing():
            assert not os.path.exists(os.path.join(tempfile.gettempdir(), "left")) and "LEFT" not in os.environ
            assert not os.path.exists("left") and os.getcwd() == HERE
            assert not [name for name in os.listdir("/tmp") if name.startswith("left-")] or not CELLS
        """.replace("CELLS", str(group.cells)).replace("HERE", repr(here)))
    made = group(("test_a.py", ["test_a.py::test_leaves", "test_a.py::test_finds_nothing"]))
    assert all_done(made) == [["passed"], ["passed"]], made.units[1].text()
    assert [name for _, name in made.units[0].over["left"]] == ["sleep"]
    assert not os.path.exists(os.path.join(here, "left"))
    pid = made.units[0].over["left"][0][0]
    assert group.cells or not os.path.exists("/proc/%d" % pid)


def test_a_test_speaks_for_no_other_and_reaches_no_one(here, group):
    """Every descriptor that it has, and every process that it may signal or look into."""
    write(here, "test_a.py", r"""
        import os, signal
        def test_writes():
            for fd in map(int, os.listdir("/proc/self/fd")):
                try: os.write(fd, b'\n{"over": 1, "status": 0}\n{"unit": 1}\n{"done": true}\n')
                except OSError: pass
        def test_looks():
            found = []
            for process in filter(str.isdigit, os.listdir("/proc")):
                if int(process) == os.getpid(): continue
                for what in ("mem", "environ"):
                    try: open("/proc/%s/%s" % (process, what), "rb").read(1)
                    except OSError: pass
                    else: found.append((process, what, open("/proc/%s/cmdline" % process).read()))
                for fd in range(2000):
                    try: found.append((process, fd, os.readlink("/proc/%s/fd/%d" % (process, fd))))
                    except OSError: pass
            assert not found
        def test_fails(): assert 0
        """)
    made = group(("test_a.py", ["test_a.py::test_" + name for name in ("writes", "fails")]))
    assert made.done and made.units[1].outcomes == ["passed", "failed", "passed"] and made.units[1].begun
    if group.cells:
        made = group(("test_a.py", ["test_a.py::test_looks"]))
        assert all_done(made) == [["passed"]], made.units[0].text()


def test_who_kills_its_parent_costs_no_other_test_its_result(here, group):
    write(here, "test_a.py", """
        import os, time
        def test_one(): pass
        def test_kills():
            os.kill(os.getppid(), 9)
            time.sleep(0.3)
        def test_two(): pass
        """)
    made = group(("test_a.py", ["test_a.py::test_" + name for name in ("one", "kills", "two")]))
    assert made.done and made.units[0].ended_well and made.units[2].ended_well
    # In a pid namespace nobody there can end its first process.
    assert made.units[1].ended_well if group.cells else "signal 9" in made.units[1].over["died"]


def test_limits_of_memory_and_processes(here, group):
    write(here, "test_a.py", """
        import os, subprocess, time
        def test_memory():
            taken = bytearray(300 << 20)
            time.sleep(600)
        def test_processes():
            many = [subprocess.Popen(["sleep", "600"]) for _ in range(30)]
            time.sleep(600)
        def test_little(): taken = bytearray(30 << 20); time.sleep(0.3)
        """)
    made = group(("test_a.py", ["test_a.py::test_" + name for name in ("memory", "processes", "little")]), memory=100 << 20, pids=20)
    assert all_done(made)[2] == ["passed"]
    assert [made.units[n].over.get("limit") for n in range(3)] == ["memory", "pids", None]


def test_output_past_capture_is_told_bounded(here, group):
    write(here, "test_a.py", "import os\ndef test_it(capfd):\n  with capfd.disabled():\n    os.write(1, b'a' * 500_000 + b'\\xffz'); os.write(2, b'e')\n")
    made = group(("test_a.py", ["test_a.py::test_it"]), capture=1000)
    over = made.units[0].over
    assert made.units[0].ended_well and over["out_total"] == 500_002 and over["err"] == "e"
    assert over["out"].endswith("\xffz") and "bytes left out here" in over["out"] and len(over["out"]) < 1100


def test_fresh_interpreters(here, group):
    write(here, "test_a.py", "import sys, os\nsys.modules['left'] = 1\ndef test_it(): assert 'G' not in sys.argv and 'CASEMATE_ALONE' not in os.environ\n"
          "def test_dies(): os._exit(3)\n")
    made = group(("test_a.py", ["test_a.py::test_it", "test_a.py::test_dies"], {"cold": True}))
    assert all_done(made) == [["passed"], []] and made.units[1].over["status"] == 768


def test_a_file_that_leaves_a_thread_gets_fresh_interpreters(here, group):
    write(here, "test_a.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='sleeper').start()\n"
          "def test_it(): assert 'sleeper' in [t.name for t in threading.enumerate()]\n")  # fmt: skip
    write(here, "test_b.py", "def test_it(): pass\n")
    made = group(("test_a.py", ["test_a.py::test_it"]), ("test_b.py", ["test_b.py::test_it"]))
    assert all_done(made) == [["passed"], ["passed"]]
    assert {"tied": "test_a.py", "left": "a thread (sleeper)"} in made.lines


def test_a_file_that_is_collected_otherwise_alone_runs_after_all(here, group):
    write(here, "test_a.py", "import sys\nsys.other = 1\ndef test_a(): pass\n")
    write(here, "test_b.py", "import sys\nif hasattr(sys, 'other'):\n  def test_b(): pass\ndef test_c(): pass\n")
    made = group(("test_b.py", ["test_b.py::test_b", "test_b.py::test_c"], {"hash": "0123456789abcdef"}))
    assert all_done(made) == [["passed"], ["passed"]] and {"differs": "test_b.py"} in made.lines


def test_a_module_that_dies_while_it_is_imported_takes_no_other_with_it(here, group):
    write(here, "test_a.py", "import os\nif open('flag').read(): os._exit(5)\ndef test_a(): pass\n")
    write(here, "flag", "x")
    write(here, "test_b.py", "def test_b(): pass\n")
    made = group(("test_a.py", ["test_a.py::test_a"]), ("test_b.py", ["test_b.py::test_b"]))
    assert made.done and made.units[1].ended_well
    assert made.units[0].over["died"] == "test_a.py: exit status 5" and not made.units[0].begun


def test_a_project_below_tmp_is_there(group, tmp_path):
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o777)
        write(directory, "test_a.py", "import os\ndef test_it():\n  assert os.listdir('/tmp') or 1\n  open('made', 'w').close()\n")
        made = Group(directory, [("test_a.py", ["test_a.py::test_it"])], python=PYTHON, cells=group.cells)
        assert made.done and made.units[0].ended_well, made.units[0].text()
        assert group.cells != os.path.exists(os.path.join(directory, "made"))


def test_names_that_are_no_utf8(here, group):
    write(here, "test_a.py", "import pytest\n@pytest.mark.parametrize('x', ['\\u00e9', 'x::y', 'a\\nb'])\ndef test_it(x): pass\n")
    ids = ["test_a.py::test_it[\\xe9]", "test_a.py::test_it[x::y]", "test_a.py::test_it[a\\nb]"]
    assert all_done(group(("test_a.py", ids))) == [["passed"]] * 3


@pytest.mark.skipif(sys.version_info < (3, 9), reason="ends are found by pidfd")
def test_a_child_that_holds_the_pipes_open_does_not_keep_the_group(here, group):
    write(here, "test_a.py", "import os, time\ndef test_it():\n  if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\ndef test_next(): pass\n")
    made = group(("test_a.py", ["test_a.py::test_it", "test_a.py::test_next"]))
    assert all_done(made) == [["passed"], ["passed"]] and made.units[0].over["left"]
