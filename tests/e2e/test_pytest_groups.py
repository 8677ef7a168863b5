"""casemate pytest --group-time: tests of many files in one interpreter, each unit a process of its own, as remote engines run them. Here that
interpreter is in a cell, where it may not make namespaces."""

import json
import signal
import subprocess
import sys
import time

import pytest

ODD = """
    import os, signal, subprocess, sys, time
    import pytest

    def test_passes(): print("said")
    def test_fails(): assert [1, 2] == [1, 3]
    def test_skips(): pytest.skip("not today")
    @pytest.mark.skip(reason="never")
    def test_is_skipped(): pass
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
    @pytest.mark.xfail
    def test_xpasses(): pass
    @pytest.mark.xfail(strict=True)
    def test_must_fail(): pass

    @pytest.fixture
    def broken(): raise RuntimeError("no set-up")
    def test_error(broken): pass
    @pytest.fixture
    def breaks():
        yield
        raise RuntimeError("no tear-down")
    def test_breaks(breaks): pass

    @pytest.mark.parametrize("word", ["a b", "\\u00e9", "x::y", "<&>", "a[b]"])
    def test_words(word): assert word

    def test_dies(): os.kill(os.getpid(), signal.SIGSEGV)
    def test_ends(): os._exit(3)
    def test_exits(): sys.exit(4)
    def test_is_slow(): time.sleep(600)
    def test_warns():
        import warnings
        warnings.warn("mind")
    def test_writes(capfd):
        with capfd.disabled():
            os.write(1, b"past capture\\n")
    def test_leaves(): subprocess.Popen(["sleep", "600"], start_new_session=True)
    def test_long(): assert "x" * 200_000 == ""

    class TestShared:
        seen = []
        @pytest.fixture(scope="class")
        def made(self): return []
        def test_a(self, made): made.append(1); self.seen.append(1)
        def test_b(self, made): assert made == []
        def test_c(self): assert not self.seen
"""


def of_all(ended):
    """What makes a result, of each."""
    return {name: (one["verdict"], one["outcome"]["kind"], one["outcome"].get("code"), one["reason"], one["flaky"]) for name, one in ended.tests.items()}


def odd(suite):
    suite.write("pytest.ini", "[pytest]\nmarkers = casemate\n")
    suite.write("test_odd.py", ODD)
    for n in range(3):
        suite.write(f"sub/test_more_{n}.py", "import pytest\n@pytest.mark.parametrize('n', range(10))\ndef test_it(n): assert n != %d\n" % n)


@pytest.mark.parametrize("isolation", ["test", "class", "module"])
def test_verdicts_are_those_of_cells(suite, isolation):
    odd(suite)
    words = ("--timeout", 1.5, "--isolation", isolation, "--slots", 2)
    local = suite(*words)
    grouped = suite(*words, "--group-time", 2)
    assert of_all(grouped) == of_all(local), str(grouped)
    assert grouped.status == local.status == 1
    assert len([one for one in grouped.finished if one["last"]]) == len(grouped.tests)
    started = [event["id"] for event in grouped.of("test_started")]
    assert len(started) >= len(set(started)) >= (50 if isolation == "test" else 10)
    if isolation == "test":
        leak, said = grouped.results["test_leaves"], grouped.results["test_writes"]
        assert [left["name"] for left in leak["leftovers"]] == ["sleep"] and "past capture" in json.dumps(said)
        assert grouped.results["test_warns"]["warnings"] == local.results["test_warns"]["warnings"] != []
    assert any("tests are processes without namespaces" in note for note in grouped.notes), str(grouped)


def test_pytest_keeps_what_it_has_rewritten(suite):
    """As it does unless somebody forbids it: in files that name their source by its status, or from 9.2 on by its hash."""
    suite.environment.pop("PYTHONDONTWRITEBYTECODE", None)
    suite.write("conftest.py", "import pytest\n@pytest.fixture\ndef one(): return 1\n")
    suite.write("test_a.py", "def test_a(one): assert one == 1\n")
    suite.write("test_b.py", "def test_b(one): assert one == 2\n")
    ended = suite("--group-time", 2)
    assert ended.verdicts == {"test_a": "passed", "test_b": "failed"}, str(ended)
    assert "assert 1 == 2" in json.dumps(ended.results["test_b"])


def test_a_pytest_that_can_run_none_says_why(suite):
    suite.write("conftest.py", "import os\ndef pytest_collection():\n  if os.path.exists('/.casemate-group'): raise TypeError('not there, ' + 'that')\n")
    suite.write("test_a.py", "def test_a(): pass\n")
    ended = suite("--group-time", 2)
    assert ended.status == 1 and ended.verdicts == {"test_a": "lost"}, str(ended)
    assert "TypeError: not there, that" in ended.results["test_a"]["reason"]


def test_files_that_need_others(suite):
    suite.write("test_a.py", "import sys\nsys.other = 1\ndef test_a(): pass\n")
    suite.write("test_b.py", "import sys\ndef test_needs(): assert sys.other\n")
    suite.write("test_c.py", "import sys\nif hasattr(sys, 'other'):\n  def test_there(): pass\ndef test_c(): pass\n")
    ended = suite("--group-time", 2)
    assert set(ended.verdicts.values()) == {"passed"} and len(ended.tests) == 4, str(ended)
    assert any("test_b.py: tests need what other files import" in note for note in ended.notes), str(ended)


def test_fresh_interpreters(suite):
    suite.write("pytest.ini", "[pytest]\nmarkers = casemate\n")
    suite.write("test_d.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='sleeper').start()\n"
                "def test_d(): assert len(threading.enumerate()) > 1\n")  # fmt: skip
    suite.write("test_e.py", "import pytest\n@pytest.mark.casemate(isolation='cold')\ndef test_e(): pass\n")
    suite.write("test_f.py", "def test_f(): pass\n")
    ended = suite("--group-time", 2)
    assert set(ended.verdicts.values()) == {"passed"} and len(ended.tests) == 3, str(ended)
    assert ended.results["test_d"]["cold"] and ended.results["test_e"]["cold"] and not ended.results["test_f"]["cold"]
    assert any("test_d.py leaves a thread (sleeper)" in note for note in ended.notes), str(ended)


def test_what_takes_its_group_with_it_is_found_and_alone_is_lost(suite):
    suite.write("test_a.py", "import pytest\n@pytest.mark.parametrize('n', range(30))\ndef test_it(n): assert n != 7\n")
    suite.write("test_b.py", "import os, time\ndef test_kills():\n  time.sleep(0.3)\n  os.kill(-1, 9)\ndef test_kills_at_once(): os.kill(-1, 9)\ndef test_b(): pass\n")
    ended = suite("--group-time", 2, "--slots", 1)
    assert {name for name, verdict in ended.verdicts.items() if verdict != "passed"} == {"test_it[7]", "test_kills", "test_kills_at_once"}, str(ended)
    assert ended.verdicts["test_kills"] == ended.verdicts["test_kills_at_once"] == "lost"
    assert "SIGKILL" in ended.results["test_kills"]["reason"] and ended.verdicts["test_it[7]"] == "failed"
    lasts = [one["id"] for one in ended.finished if one["last"]]
    assert len(lasts) == len(set(lasts)) == 33
    assert any("run again in parts" in note for note in ended.notes)


def test_who_kills_the_process_that_keeps_it_costs_no_other_a_result(suite):
    suite.write("test_a.py", "import os, time\ndef test_one(): pass\ndef test_kills():\n  os.kill(os.getppid(), 9)\n  time.sleep(600)\ndef test_two(): pass\n")
    ended = suite("--group-time", 2)
    assert ended.verdicts == {"test_one": "passed", "test_kills": "lost", "test_two": "passed"}, str(ended)


def test_retries_and_stopping(suite):
    suite.write("test_a.py", "import pathlib, time\ndef test_fails(): assert 0\n" + "".join(f"def test_{n}(): time.sleep(0.2)\n" for n in range(40)))
    ended = suite("--group-time", 2, "--retries", 2, "--slots", 1)
    assert [one["attempt"] for one in ended.finished if one["id"].endswith("test_fails")] == [1, 2, 3], str(ended)
    ended = suite("--group-time", 2, "-x", "--slots", 1)
    end = ended.of("run_finished")[-1]
    assert ended.status == 1 and end["counts"]["failed"] == 1 and end["not_run"] >= 30, str(ended)
    assert end["not_run"] + len(ended.tests) == 41


def test_an_interrupt_ends_a_group_at_once(suite):
    suite.write("test_a.py", "import time\n" + "".join(f"def test_{n}(): time.sleep(30)\n" for n in range(4)))
    running = suite.start("--group-time", 2, "--slots", 1, start_new_session=True)
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, (out, err)


def test_coverage_is_that_of_cells(suite):
    if subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", suite.directory.parent / "wheels", "pytest-cov"]).returncode != 0:
        pytest.skip("no package index can be reached")
    suite.write("requirements.txt", "pytest\npytest-cov\n")
    suite.write("measured.py", "def f(x):\n  if x:\n    return 1\n  return 2\ndef g():\n  return 3\n")
    suite.write("test_a.py", "import measured\ndef test_a(): assert measured.f(1) == 1\n")
    suite.write("test_b.py", "import measured\ndef test_b(): assert measured.f(0) == 2\n")
    words = ("--requirements", "requirements.txt", "--cov=measured", "--cov-report=term-missing")
    ran = [suite(*more, *words) for more in ((), ("--group-time", 2))]
    texts = [[line for line in one.of("run_finished")[-1]["coverage"].splitlines() if "measured.py" in line] for one in ran]
    assert texts[0] == texts[1] and "83%" in texts[0][0], texts


def test_many_tests_of_many_files(suite):
    for file in range(12):
        suite.write(f"test_{file}.py", "import pytest\n@pytest.mark.parametrize('n', range(25))\ndef test_it(n): assert n\n")
    assert suite("--group-time", 0, "test_1.py").status == 1  # no groups
    ended = suite("--group-time", 2)
    assert len(ended.tests) == 300 and sum(one["verdict"] == "failed" for one in ended.tests.values()) == 12, str(ended)[-2000:]
