"""`casemate pytest --cache`: what is not run again, what is, and what is never kept."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from py_test_runner import CASEMATE
from suites import suite  # noqa: F401  (a fixture)

# A test that has run has another number each time.
FILE = """
    import uuid, pytest
    @pytest.fixture(autouse=True)
    def number(record_property):
        record_property("number", str(uuid.uuid4()))
    def test_a(): pass
    def test_b(): pass
    @pytest.mark.parametrize("n", ["x", "y"])
    def test_of(n): pass
"""
ALL = {"test_a", "test_b", "test_of[x]", "test_of[y]"}


@pytest.fixture
def kept(suite, tmp_path):  # noqa: F811
    suite.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "cache")
    suite.write("test_it.py", FILE)
    return suite


def ran(ended):
    """Those that were run, by name."""
    return {name for name, one in ended.results.items() if not one["cached"]}


def number(ended, name):
    return dict(ended.results[name]["properties"]).get("number")


def test_what_passed_is_not_run_again(kept):
    first, second, third = kept("--cache"), kept("--cache"), kept()
    assert first.status == second.status == 0, str(second)
    assert (ran(first), ran(second), ran(third)) == (ALL, set(), ALL)
    assert second.verdicts == dict.fromkeys(ALL, "passed")
    assert all(number(first, name) == number(second, name) != number(third, name) for name in ALL)
    assert all(first.results[name]["duration_ms"] == second.results[name]["duration_ms"] for name in ALL)
    assert second.of("test_started") == []
    assert second.of("run_finished")[0]["cached"] == 4 and first.of("run_finished")[0]["cached"] == 0
    assert "4 passed (4 cached)" in second.out and "cached" not in first.out.lower()
    assert second.out.count("CACHED") == 4
    assert "cpu" not in kept("--cache", "-vv").out


def test_what_changes_makes_them_run(kept):
    kept.write("conftest.py", "")
    kept.write("pyproject.toml", "[tool.pytest.ini_options]\n")
    kept.write("data/x.txt", "1")
    kept("--cache")
    assert ran(kept("--cache")) == set()
    for name, text in (("conftest.py", "X = 1\n"), ("data/x.txt", "2"), ("pyproject.toml", "[tool.pytest.ini_options]\nxfail_strict = true\n"), ("new", "")):
        kept.write(name, text)
        assert ran(kept("--cache")) == ALL, name
        assert ran(kept("--cache")) == set(), name
    other = kept.environment | {"SEED": "1"}
    assert ran(kept("--cache", env=other)) == ALL
    assert ran(kept("--cache", "--memory", "300m")) == ALL
    assert ran(kept("--cache", "--timeout", "50")) == ALL
    assert ran(kept("--cache", "-o", "log_level=INFO")) == ALL
    assert ran(kept("--cache", "--isolation", "cold")) == ALL
    kept.write("data/x.txt", "1")
    (kept.directory / "new").unlink()
    kept.write("conftest.py", "")
    kept.write("pyproject.toml", "[tool.pytest.ini_options]\n")
    assert ran(kept("--cache")) == set()  # as it was once


def test_what_changes_nothing(kept):
    kept("--cache")
    path = kept.directory / "test_it.py"
    os.utime(path, (1, 1))
    assert ran(kept("--cache")) == set()
    for tool in (".git/HEAD", "__pycache__/x.pyc", ".pytest_cache/v", "a/.mypy_cache/x"):
        kept.write(tool, "x")
    (kept.directory / "a" / ".mypy_cache" / "x").unlink()
    assert ran(kept("--cache", "-v", "--tb", "short", "--junit-xml", "out.xml", "--html", "out.html")) == ALL  # the directory a is new
    assert ran(kept("--cache", "--junit-xml", "out.xml", "--html", "out.html")) == set()
    assert '<property name="casemate.cached" value="true"' in (kept.directory / "out.xml").read_text()
    assert "casemate.cached" not in path.read_text()
    shell = kept.environment | {"SHLVL": "7", "TMUX_PANE": "%3", "SSH_TTY": "/dev/pts/9"}
    assert ran(kept("--cache", "--junit-xml", "out.xml", "--html", "out.html", env=shell)) == set()


def test_a_selection_takes_what_it_knows(kept):
    assert ran(kept("--cache", "-k", "test_a or of")) == {"test_a", "test_of[x]", "test_of[y]"}
    assert ran(kept("--cache")) == {"test_b"}
    for words in (("-k", "test_b"), ("test_it.py::test_b",), ("--include", "name.equals(test_b)"), ("--deselect", "test_it.py::test_a"), ("--shard", "1/2")):
        ended = kept("--cache", *words)
        assert ended.results and ran(ended) == set(), (words, str(ended))


def test_another_root_is_another_suite(kept):
    """The same ids below another directory."""
    kept.write("pytest.ini", "[pytest]\n")
    kept.write("sub/pytest.ini", "[pytest]\n")
    kept.write("sub/test_it.py", "def test_a(): assert False\n")
    assert kept("--cache", "test_it.py").status == 0
    ended = kept("--cache", "sub")
    assert ended.status == 1 and ended.verdicts == {"test_a": "failed"}, str(ended)


def test_only_plain_passes_are_kept(kept):
    kept.write(
        "test_it.py",
        """
        import os, pathlib, subprocess, time, unittest, pytest
        def test_passes(): pass
        def test_fails(): assert False
        @pytest.mark.xfail
        def test_xfails(): assert False
        @pytest.mark.xfail
        def test_xpasses(): pass
        @pytest.mark.skip
        def test_skipped(): pass
        @pytest.fixture
        def breaks():
            yield
            assert False
        def test_teardown(breaks): pass
        def test_leaves(): subprocess.Popen(["sleep", "100"])
        def test_crashes(): os.abort()
        def test_hangs(): time.sleep(100)
        @pytest.mark.casemate(cache=False)
        def test_marked(): pass
        @pytest.mark.casemate(cache=False)
        class TestMarked:
            def test_in_class(self): pass
        class TestSub(unittest.TestCase):
            def test_sub(self): pass
        """,
    )
    words = ("--cache", "--timeout", "3")
    first, second = kept(*words), kept(*words)
    assert first.status == second.status == 1
    assert first.verdicts == second.verdicts
    assert set(second.results) - ran(second) == {"test_passes", "TestSub::test_sub"}


def test_what_passed_at_its_second_attempt_is_not_kept(kept, tmp_path):
    (tmp_path / "shared").mkdir()
    kept.write("test_it.py", "import random\ndef test_now_and_then(): assert random.random() < 0.5\n")
    ended = kept("--cache", "--retries", "50")
    while not ended.results["test_now_and_then"]["flaky"]:
        kept.write("test_it.py", f"import random  # {time.time()}\ndef test_now_and_then(): assert random.random() < 0.5\n")
        ended = kept("--cache", "--retries", "50")
    assert ran(kept("--cache", "--retries", "50")) == {"test_now_and_then"}


def test_tests_that_share_a_cell_are_not_kept(kept):
    for _ in range(2):
        assert ran(kept("--cache", "--isolation", "module")) == ALL
    kept("--cache")
    assert ran(kept("--cache", "--isolation", "module")) == ALL


def test_a_directive_says_what_is_not_kept(kept):
    kept.write("maelstrom-pytest.toml", '[[directives]]\nfilter = "name.starts_with(test_of)"\ncache = false\n')
    kept("--cache")
    assert ran(kept("--cache")) == {"test_of[x]", "test_of[y]"}


def test_containers_have_inputs_of_their_own(kept):
    kept.write("maelstrom-pytest.toml", '[[directives]]\nfilter = "name.starts_with(test_of)"\nadded_environment = { OTHER = "1" }\n')
    kept("--cache")
    assert ran(kept("--cache")) == set()
    why = [CASEMATE, "pytest", "--why"]
    told = subprocess.run(why, env=kept.environment, cwd=kept.directory, capture_output=True, text=True, timeout=120, check=True).stdout
    assert told.startswith("Nothing has changed since the last run with --cache (") and "Results of 2 tests are kept" in told
    kept.write("maelstrom-pytest.toml", '[[directives]]\nfilter = "name.starts_with(test_of)"\nadded_environment = { OTHER = "2" }\n')
    assert ran(kept("--cache")) == ALL  # a file of the project has changed


def test_warnings_are_told_again(kept):
    kept.write("test_it.py", "import warnings\ndef test_a(): warnings.warn('mind this', UserWarning)\n")
    first, second = kept("--cache"), kept("--cache")
    assert ran(second) == set() and first.results["test_a"]["warnings"] == second.results["test_a"]["warnings"] != []
    assert "mind this" in second.out


def test_what_runs_nothing_from_the_cache(kept):
    kept("--cache")
    ended = kept("--cache", "--repeat", "2")
    assert ran(ended) == ALL and len(ended.finished) == 8
    assert "--cache: all tests run, and nothing is kept: --repeat is for running them" in ended.notes
    assert ran(kept("--cache", "--no-cache")) == ALL
    assert ran(kept(env=kept.environment | {"CASEMATE_PYTEST_CACHE": "true"})) == set()
    done = kept("--cache", "--executor", "docker")
    assert done.status == 2 and "--cache can't be had with --executor docker" in done.err


def test_files_that_change_while_tests_run(kept):
    kept.write("test_it.py", "import time\ndef test_a(): time.sleep(3)\n")
    process = kept.start("--cache")
    until = time.monotonic() + 60
    while "test_started" not in (kept.events_file.read_text() if kept.events_file.exists() else "") and time.monotonic() < until:
        time.sleep(0.05)
    kept.write("other.py", "")
    ended = kept.ended(process)
    assert ended.status == 0
    assert "--cache: files changed while the tests ran: their results are not kept" in ended.notes
    (kept.directory / "other.py").unlink()
    assert ran(kept("--cache")) == {"test_a"}


def files(kept):
    return list(pathlib.Path(kept.environment["CASEMATE_CACHE_DIR"]).glob("tests/*"))


def test_a_damaged_file_is_told_once_and_made_anew(kept):
    kept("--cache")
    (file,) = files(kept)
    data = bytearray(file.read_bytes())
    for damaged in (data[: len(data) // 2], data[:-70] + b"x" + data[-69:], b""):
        file.write_bytes(damaged)
        ended = kept("--cache")
        assert ended.status == 0 and ran(ended) == ALL
        of_the_cache = [note for note in ended.notes if note.startswith("--cache: ")]
        assert of_the_cache == ["--cache: what was kept of these tests is damaged: all of them run"]
        assert ran(kept("--cache")) == set()


def test_runs_at_the_same_time_keep_what_each_found(kept):
    kept("--cache", "-k", "nothing")
    processes = []
    for name in ("test_a", "test_b", "test_of"):
        command = [CASEMATE, "pytest", "--cache", "-k", name]
        processes.append(subprocess.Popen(command, cwd=kept.directory, env=kept.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert ran(kept("--cache")) == set()


def test_a_run_that_is_killed_leaves_what_was_there(kept):
    kept("--cache", "-k", "test_a")
    for seconds in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
        process = kept.start("--cache")
        time.sleep(seconds)
        process.kill()
        process.communicate()
    ended = kept("--cache")
    assert ended.status == 0 and "test_a" not in ran(ended) and ended.notes == []


def test_an_interrupted_run_keeps_what_passed(kept):
    kept.write("test_it.py", "import time\ndef test_a(): pass\ndef test_b(): time.sleep(30)\n")
    process = kept.start("--cache")
    until = time.monotonic() + 60
    while "test_finished" not in (kept.events_file.read_text() if kept.events_file.exists() else "") and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert kept.ended(process).status == 130
    assert ran(kept("--cache", "-k", "test_a")) == set()


def test_prune_removes_them(kept):
    kept("--cache")
    subprocess.run([CASEMATE, "cache", "prune"], env=kept.environment, check=True, capture_output=True, timeout=60)
    assert files(kept) == []
    assert ran(kept("--cache")) == ALL


def test_the_history_takes_no_time_from_them(kept):
    kept.write("test_it.py", "import time\ndef test_a(): time.sleep(0.2)\n")
    kept("--cache")

    def history(*words):
        words = [CASEMATE, "history", "tests", *words, "--project", kept.directory, "--json"]
        return json.loads(subprocess.run(words, env=kept.environment, capture_output=True, timeout=60, check=True).stdout)

    before = history("--slowest")
    for _ in range(3):
        assert ran(kept("--cache")) == set()
    (after,), (first,) = history("--slowest"), before
    assert after["mean_us"] == first["mean_us"] and after["runs"] >= first["runs"]
    shown = subprocess.run([CASEMATE, "show"], env=kept.environment, cwd=kept.directory, capture_output=True, text=True, timeout=60)
    assert "1 passed (1 cached)" in shown.stdout, shown
    assert kept("--lf").status == 0


def test_last_failed_of_what_is_as_it_was(kept):
    kept("--cache")
    kept.write("test_it.py", "def test_a(): assert False\n")
    assert kept("--cache").status == 1
    kept.write("test_it.py", "import textwrap\n")
    kept.write("test_it.py", FILE)
    assert ran(kept("--cache", "--lf")) == set()
    assert kept("--cache", "--lf").status == 0


def test_coverage_runs_all(kept, tmp_path):
    if subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", tmp_path / "wheels", "pytest-cov"]).returncode != 0:
        pytest.skip("no package index can be reached")
    kept.write("requirements.txt", "pytest\npytest-cov\n")
    words = ("--cache", "--requirements", "requirements.txt")
    kept(*words)
    assert ran(kept(*words)) == set()  # compiled meanwhile
    ended = kept(*words, "--cov=.")
    assert ran(ended) == ALL
    assert "--cache: all tests run, and nothing is kept: coverage is of what runs" in ended.notes


def test_why_names_what_changed(kept):
    def why(*words):
        command = [CASEMATE, "explain", "--why", *words, "--", CASEMATE, "pytest", "-k", "test_a"]
        return subprocess.run(command, env=kept.environment, cwd=kept.directory, capture_output=True, text=True, timeout=120, check=True).stdout

    none = "No results are kept for these inputs: 'casemate pytest --cache' runs all tests.\n"
    assert why() == "No results of these tests were kept in this directory.\n" + none
    kept("--cache")
    assert why().splitlines()[0].startswith("Nothing has changed since the last run with --cache (")
    assert why().endswith("Results of 4 tests are kept for these inputs: 'casemate pytest --cache' does not run them.\n")
    kept.write("conftest.py", "")
    kept.write("test_it.py", FILE + "\n# other\n")
    kept.environment["SEED"] = "1"
    first, *lines = why().splitlines()
    assert first.startswith("Changed since the last run with --cache (")
    assert lines == ["  new      variable SEED", f"  changed  {kept.directory}/test_it.py", f"  new      {kept.directory}/conftest.py", none.strip()]
    told = json.loads(why("--json"))
    assert told["results_kept"] == 0 and told["changes_in_all"] == 3
    assert {"kind": "changed", "path": f"{kept.directory}/test_it.py"} in told["changes"]


def test_a_package_of_the_environment(kept, tmp_path):
    """As an upgrade would change it."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "thing.py").write_text("VERSION = 1\n")
    kept.environment["PYTHONPATH"] = str(packages)
    kept.write("test_it.py", "import thing\ndef test_a(): assert thing.VERSION\n")
    if kept("--cache").status != 0:
        pytest.skip("PYTHONPATH is not shown")
    assert ran(kept("--cache")) == set()
    (packages / "thing.py").write_text("VERSION = 2\n")
    assert ran(kept("--cache")) == {"test_a"}
