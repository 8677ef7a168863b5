"""casemate pytest: what becomes of tests, which are run, and what the exit status is."""

import json
import os
import re
import sys

import pytest

EVERY_VERDICT = '''
import unittest
import pytest

@pytest.fixture
def bad_setup():
    raise ValueError("no set-up")

@pytest.fixture
def bad_teardown():
    yield
    raise ValueError("no tear-down")

def test_pass(): pass
def test_fail(): assert 1 == 2, "numbers"
def test_setup_error(bad_setup): pass
def test_teardown_error(bad_teardown): pass
def test_both(bad_teardown): assert False
@pytest.mark.skip(reason="by mark")
def test_skip(): pass
@pytest.mark.skipif(True, reason="by condition")
def test_skipif(): pass
def test_skip_inside(): pytest.skip("from inside")
def test_importorskip(): pytest.importorskip("no_such_module_anywhere")
@pytest.fixture
def skipping(): pytest.skip("by fixture")
def test_skip_fixture(skipping): pass
@pytest.mark.xfail(reason="known")
def test_xfail(): assert False
def test_xfail_inside(): pytest.xfail("from inside")
@pytest.mark.xfail
def test_xpass(): pass
@pytest.mark.xfail(strict=True, reason="strict")
def test_xpass_strict(): pass
@pytest.mark.xfail(raises=KeyError)
def test_xfail_other(): raise ValueError

class TestPlain:
    def test_pass(self): pass

@pytest.mark.skip(reason="class")
class TestSkipped:
    def test_it(self): pass

class TestCase(unittest.TestCase):
    def setUp(self): self.it = 1
    def test_pass(self): self.assertEqual(self.it, 1)
    def test_fail(self): self.assertEqual(self.it, 2)
    @unittest.skip("by unittest")
    def test_skip(self): pass
    def test_skip_inside(self): self.skipTest("inside")
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    @unittest.expectedFailure
    def test_unexpected(self): pass
    def test_subtests(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)

class TestSetUpClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no class")
    def test_it(self): pass
'''

VERDICTS = {
    "test_pass": "passed",
    "test_fail": "failed",
    "test_setup_error": "error",
    "test_teardown_error": "error",
    "test_both": "failed",
    "test_skip": "skipped",
    "test_skipif": "skipped",
    "test_skip_inside": "skipped",
    "test_importorskip": "skipped",
    "test_skip_fixture": "skipped",
    "test_xfail": "xfailed",
    "test_xfail_inside": "xfailed",
    "test_xpass": "xpassed",
    "test_xpass_strict": "failed",
    "test_xfail_other": "failed",
    "TestPlain::test_pass": "passed",
    "TestSkipped::test_it": "skipped",
    "TestCase::test_pass": "passed",
    "TestCase::test_fail": "failed",
    "TestCase::test_skip": "skipped",
    "TestCase::test_skip_inside": "skipped",
    "TestCase::test_expected": "xfailed",
    "TestCase::test_unexpected": "failed",
    "TestCase::test_subtests": "failed",
    "TestSetUpClass::test_it": "error",
}


@pytest.mark.parametrize("isolation", ["test", "class", "module", "file", "cold"])
def test_every_verdict_however_cells_are_shared(suite, isolation):
    suite.write("test_it.py", EVERY_VERDICT)
    ended = suite("--isolation", isolation)
    assert ended.verdicts == VERDICTS
    assert ended.status == 1
    assert ended.results["test_fail"]["reason"] == "AssertionError: numbers"
    assert "no set-up" in ended.results["test_setup_error"]["reason"]
    assert ended.results["test_skipif"]["reason"] == "by condition"
    counts = ended.of("run_finished")[0]["counts"]
    assert {name: count for name, count in counts.items() if count} == {
        verdict: list(VERDICTS.values()).count(verdict) for verdict in set(VERDICTS.values())
    }
    assert all(result["cold"] == (isolation == "cold") for result in ended.results.values())
    for name, verdict in VERDICTS.items():
        if verdict in ("failed", "error"):
            assert re.search(r"^ *(FAIL|ERROR) .*::%s" % re.escape(name), ended.out, re.M), name


def test_names_of_any_kind(suite):
    names = ["ü", "a::b", "two\nlines", "[brackets]", "a/b", "-k", "tab\t", "ESC\x1b[31m", "##[error]", "", "日本", "x" * 500]
    suite.write("test_it.py", "import pytest\n@pytest.mark.parametrize('it', %r)\ndef test_named(it): assert it in %r\n" % (names, names))
    ended = suite()
    assert ended.status == 0, str(ended)
    assert len(ended.results) == len(names) and set(ended.verdicts.values()) == {"passed"}
    assert "\x1b" not in ended.out
    listed = suite("--list")
    assert listed.status == 0 and len(listed.out.splitlines()) == len(names)


@pytest.mark.parametrize(
    "end, reason",
    [("raise KeyboardInterrupt", "KeyboardInterrupt"), ("pytest.exit('enough')", "enough"), ("raise SystemExit(0)", "SystemExit")],
)
def test_who_ends_pytest_has_not_passed(suite, end, reason):
    suite.write("test_other.py", "def test_other(): pass\n")
    suite.write("test_it.py", "import pytest\ndef test_it():\n    %s\n" % end)
    ended = suite("--slots", 1)
    assert ended.status == 1, str(ended)
    assert ended.results["test_it"]["verdict"] == "failed"
    assert reason in ended.results["test_it"]["reason"]


@pytest.fixture
def numbered(suite):
    for name in "abc":
        suite.write("tests/test_%s.py" % name, "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_%s(n): pass\n" % name)
    suite.write("pytest.ini", "[pytest]\nmarkers = slow: takes long\n")
    return suite


def test_shards_are_a_partition(numbered):
    every = numbered().results.keys()
    parts = [set(numbered("--shard", "%d/3" % part).results) for part in (1, 2, 3)]
    assert sum(map(len, parts)) == len(every) and set().union(*parts) == set(every)


def test_shards_are_a_partition_whatever_each_has_seen(numbered):
    numbered.write("tests/test_d.py", "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_d(n): assert n != 3\n")
    parts = [set(numbered("--shard", "%d/3" % part).results) for part in (1, 2, 3, 1, 2, 3)]  # the first ones have no past
    assert parts[:3] == parts[3:] and sum(map(len, parts[:3])) == len(set().union(*parts)) == 20
    failed = [set(numbered("--lf", "--shard", "%d/3" % part).results) for part in (1, 2, 3)]
    assert sorted(failed, key=len) == [set(), set(), {"test_d[3]"}]


def test_list_is_in_pytests_order_each_time(numbered):
    lists = [numbered("--list").out.splitlines() for _ in range(2)]
    expected = ["tests/test_%s.py::test_%s[%d]" % (name, name, n) for name in "abc" for n in range(5)]
    assert lists == [expected, expected]
    numbered()  # a history does not change it
    assert numbered("--list").out.splitlines() == expected


@pytest.mark.parametrize(
    "arguments, count",
    [
        (["-k", "test_a or (test_b and 3)"], 6),
        (["tests/test_a.py", "tests/test_c.py::test_c[2]"], 6),
        (["tests"], 15),
        (["--include", "file.equals(tests/test_b.py)", "--exclude", "name.contains([1])"], 4),
        (["--deselect", "tests/test_a.py"], 10),
        (["--ignore", "tests/test_a.py"], 10),
    ],
)
def test_selections(numbered, arguments, count):
    ended = numbered(*arguments)
    assert ended.status == 0, str(ended)
    assert len(ended.results) == count


def test_markers_select(suite):
    suite.write("pytest.ini", "[pytest]\nmarkers = slow: takes long\n")
    suite.write("test_it.py", "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\ndef test_fast(): pass\n")
    assert suite("-m", "slow").verdicts == {"test_slow": "passed"}
    assert suite("-m", "not slow").verdicts == {"test_fast": "passed"}


FAILING = "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_it(n): assert n % 2 == 0\n"


@pytest.mark.parametrize("option, most", [(["-x"], 1), (["--maxfail", 3], 3), (["--stop-after", 2], 2)])
def test_stops_after_failures(suite, option, most):
    suite.write("test_it.py", FAILING)
    ended = suite(*option, "--slots", 1)
    assert ended.status == 1
    end = ended.of("run_finished")[0]
    assert end["counts"]["failed"] == most, str(ended)
    assert end["not_run"] == 20 - len(ended.results)
    assert end["stopped_because"].startswith("stopping after %d failure" % most)


def test_last_failed_and_failed_first(suite):
    suite.write("test_it.py", FAILING)
    failed = {name for name, verdict in suite().verdicts.items() if verdict == "failed"}
    assert len(failed) == 10
    again = suite("--lf")
    assert set(again.results) == failed
    listed = suite("--lf", "--list").out.splitlines()
    assert listed == ["test_it.py::test_it[%d]" % n for n in range(1, 20, 2)]
    first = suite("--ff", "--slots", 1)
    assert {event["id"].partition("::")[2] for event in first.of("test_started")[:10]} == failed


def test_repeat_runs_each_again(suite):
    suite.write("test_it.py", "def test_it(): pass\ndef test_other(): pass\n")
    ended = suite("--repeat", 3)
    assert ended.status == 0
    assert len(ended.finished) == 6 and len(ended.of("run_finished")) == 3


def test_a_failure_in_an_earlier_repetition_is_a_failure(suite):
    # What differs between repetitions is only the time.
    suite.write("test_it.py", "import time\ndef test_it(): assert time.time() > %r\n" % 0)
    assert suite("--repeat", 2).status == 0
    marker = suite.write("count", "")
    suite.write("maelstrom-pytest.toml", '[[directives]]\nadded_mounts = [{type = "bind", mount_point = "/count", local_path = "count"}]\n')
    marker.chmod(0o666)
    suite.write("test_it.py", "def test_it():\n    open('/count', 'a').write('x')\n    assert len(open('/count').read()) > 1\n")
    ended = suite("--repeat", 2)
    assert [event["verdict"] for event in ended.finished] == ["failed", "passed"], str(ended)
    assert ended.status == 1


def test_retries_make_flaky(suite):
    suite.write("count", "").chmod(0o666)
    suite.write("maelstrom-pytest.toml", '[[directives]]\nadded_mounts = [{type = "bind", mount_point = "/count", local_path = "count"}]\n')
    suite.write(
        "test_it.py",
        "def test_flaky():\n    open('/count', 'a').write('x')\n    assert len(open('/count').read()) > 2\ndef test_never(): assert False\n",
    )
    ended = suite("--retries", 3)
    flaky, never = ended.results["test_flaky"], ended.results["test_never"]
    assert (flaky["verdict"], flaky["flaky"], flaky["attempt"]) == ("passed", True, 3), str(ended)
    assert (never["verdict"], never["flaky"], never["attempt"]) == ("failed", False, 4)
    assert ended.status == 1 and ended.of("run_finished")[0]["flaky"] == 1
    assert len(ended.finished) == 7


def test_what_is_ignored_needs_no_image(suite):
    suite.write("maelstrom-pytest.toml", '[[directives]]\nfilter = "name.equals(test_it)"\nimage = "oci:nowhere"\nignore = true\n')
    suite.write("test_it.py", "def test_it(): assert False\ndef test_other(): pass\n")
    ended = suite()
    assert ended.status == 0, str(ended)
    assert ended.verdicts == {"test_it": "ignored", "test_other": "passed"}
    assert ended.results["test_it"]["container"] == "oci:nowhere"


def test_the_interpreter_is_asked_once_for_all_containers(suite):
    asked = suite.directory.parent / "asked"
    python = suite.write("python", '#!/bin/sh\necho asked >>"%s"\nexec "%s" "$@"\n' % (asked, sys.executable))
    python.chmod(0o755)
    suite.write("maelstrom-pytest.toml", "".join('[[directives]]\nfilter = "name.equals(test_%d)"\npids = %d\n' % (n, 100 + n) for n in range(3)))
    suite.write("test_it.py", "".join("def test_%d(): pass\n" % n for n in range(3)))
    ended = suite("--python", python)
    assert ended.status == 0, str(ended)
    assert asked.read_text() == "asked\n"


def test_a_timeout_of_its_own_needs_no_parent_of_its_own(suite):
    suite.write("maelstrom-pytest.toml", '[[directives]]\nfilter = "name.equals(test_slow)"\ntimeout = 30\nretries = 1\n')
    suite.write("test_it.py", "import os, pytest\nIMPORT = os.urandom(8).hex()\ndef test_it(): pytest.skip(IMPORT)\ndef test_slow(): pytest.skip(IMPORT)\n")
    results = suite("--slots", 1).results
    assert results["test_it"]["reason"] == results["test_slow"]["reason"], str(results)


def test_ignored_by_a_directive(suite):
    suite.write("test_it.py", "def test_it(): assert False\n")
    suite.write("maelstrom-pytest.toml", "[[directives]]\nignore = true\n")
    ended = suite()
    assert ended.verdicts == {"test_it": "ignored"}
    assert ended.status == 0


@pytest.mark.parametrize(
    "files, arguments, status, words",
    [
        ({"test_it.py": "def test_it(): pass"}, ["-k", "nothing_like_it"], 4, "no tests"),
        ({}, [], 4, "no tests"),
        ({"test_it.py": "def test_it(): pass"}, ["no/such/file.py"], 2, "no/such/file.py"),
        ({"test_it.py": "def test_it(): pass"}, ["--no-such-option"], 2, "--no-such-option"),
        ({"test_it.py": "def test_it(): pass"}, ["--shard", "4/3"], 2, "4/3"),
        ({"test_it.py": "def test_it(): pass"}, ["--include", "name.like(x"], 2, "name.like"),
        ({"test_it.py": "def test_it(): pass"}, ["-k", "and and"], 2, "and and"),
        ({"test_it.py": "def test_it(): pass", "conftest.py": "import no_such_module"}, [], 2, "no_such_module"),
        ({"test_it.py": "def test_it(): pass", "conftest.py": "def broken("}, [], 2, "SyntaxError"),
        ({"test_it.py": "def test_it(): pass", "conftest.py": "import os; os._exit(7)"}, [], 3, "exited 7"),
        ({"test_it.py": "def test_it(): pass", "conftest.py": "import os; os.kill(os.getpid(), 11)"}, [], 3, "SIGSEGV"),
        ({"test_it.py": "def test_it(): pass", "pytest.ini": "[pytest]\naddopts = --nonsense"}, [], 2, "--nonsense"),
        ({"test_it.py": "def test_it(): pass", "maelstrom-pytest.toml": "nonsense = ["}, [], 2, "maelstrom-pytest.toml"),
        ({"test_it.py": "def test_it(): pass"}, ["--python", "/no/such/python"], 2, "/no/such/python"),
        ({"test_it.py": "def test_it(): pass"}, ["--image", "oci:/no/such/layout"], 2, "/no/such/layout"),
        ({"test_it.py": "import os\nos._exit(9)\ndef test_it(): pass"}, [], 3, "exited"),
    ],
)
def test_one_clear_text_and_the_documented_status(suite, files, arguments, status, words):
    for name, text in files.items():
        suite.write(name, text)
    ended = suite(*arguments)
    assert ended.status == status, str(ended)
    assert words in ended.out + ended.err
    assert "terminate called" not in ended.err


def test_a_file_that_cannot_be_collected_is_an_error_beside_the_others(suite):
    suite.write("test_bad.py", "def broken(\n")
    suite.write("test_import.py", "import no_such_module\n")
    suite.write("test_good.py", "def test_good(): pass\n")
    ended = suite()
    assert ended.status == 1
    assert ended.verdicts == {"test_good": "passed"}
    problems = ended.of("collected")[0]["problems"]
    assert {problem["id"]: problem["verdict"] for problem in problems} == {"test_bad.py": "error", "test_import.py": "error"}
    assert "SyntaxError" in ended.out and "no_such_module" in ended.out


def test_an_interpreter_without_pytest_is_one_clear_text(suite):
    suite.write("test_it.py", "def test_it(): pass\n")
    ended = suite("--python", "/usr/bin/python3")
    assert ended.status in (2, 3), str(ended)
    assert "pytest" in ended.err + ended.out and "Traceback" not in ended.err


@pytest.mark.parametrize("passes", [range(2, 20), [2], [2, 4, 5], [3, 4]], ids=["later", "once", "twice", "thrice"])
def test_a_test_that_fails_now_and_then_has_failed(suite, passes):
    """What a test needs other files for is found out by trying it with them. One that passes then for reasons of its own is told as it was first."""
    marks = suite.directory.parent / "marks"
    marks.mkdir()
    marks.chmod(0o777)
    suite.write("maelstrom-pytest.toml", "[[directives]]\nmounts = [{ type = 'bind', local_path = '%s', mount_point = '/marks' }]\n" % marks)
    suite.write("test_other.py", "def test_it(): pass\n")
    suite.write(
        "test_now_and_then.py",
        """
        import os, tempfile
        def test_it():
            tempfile.mkstemp(dir="/marks")
            assert len(os.listdir("/marks")) in %r
        """
        % list(passes),
    )
    ended = suite("--slots", 2)
    assert ended.status == 1 and len(ended.finished) == 2, str(ended)
    assert [one["verdict"] for one in ended.finished if "now_and_then" in one["id"]] == ["failed"], str(ended)
    assert not [note for note in ended.notes if "need what other files import" in note], str(ended)
    if len(passes) > 3:
        for mark in marks.iterdir():
            mark.unlink()
        ended = suite("--retries", 1)
        told = [(one["verdict"], one["attempt"], one["flaky"]) for one in ended.finished if "now_and_then" in one["id"]]
        assert told == [("failed", 1, False), ("passed", 2, True)], str(ended)


def test_a_test_that_needs_what_another_file_imports_passes(suite):
    """As in a plain pytest, which collects all before the first test. It is found out once a file."""
    suite.write("test_a.py", "import pytest, sys\n@pytest.mark.parametrize('n', range(6))\ndef test_it(n): assert hasattr(sys, 'mark')\n")
    suite.write("test_b.py", "import sys\nsys.mark = 1\ndef test_it(): pass\n")
    ended = suite()
    assert ended.status == 0, str(ended)
    assert set(ended.verdicts.values()) == {"passed"} and not any(one["flaky"] for one in ended.results.values())
    assert [note for note in ended.notes if note.startswith("test_a.py: tests need what other files import")], str(ended)


def test_what_needed_others_goes_on_with_them_until_its_file_changes(suite):
    """Tried once in a run that knows it; and told so."""
    suite.write("test_a.py", "import sys\ndef test_it(): assert hasattr(sys, 'mark')\n")
    suite.write("test_b.py", "import sys\nsys.mark = 1\ndef test_it(): pass\n")
    note = "test_a.py: tests need what other files import"

    def tries():
        ended = suite("-v")
        assert ended.status == 0, str(ended)
        return len([one for one in ended.of("test_started") if one["id"].startswith("test_a.py")]), any(told.startswith(note) for told in ended.notes)

    assert tries() == (9, True)
    assert tries() == (1, True)
    suite.write("test_a.py", "def test_it(): pass\n")
    assert tries() == (1, False)
    suite.write("test_a.py", "import sys\ndef test_it(): assert hasattr(sys, 'mark')\n")
    assert tries() == (9, True)


def test_only_the_marked_test_is_cold(suite):
    suite.write("test_it.py", "import os, pytest\n@pytest.mark.casemate(isolation='cold')\ndef test_cold(): pass\ndef test_warm(): pass\n")
    ended = suite()
    assert ended.status == 0, str(ended)
    assert {name: result["cold"] for name, result in ended.results.items()} == {"test_cold": True, "test_warm": False}


@pytest.mark.parametrize("where", ["--json-lines", "--junit-xml", "--html"])
def test_a_report_on_a_full_disk_is_told(suite, where):
    suite.write("test_it.py", "def test_it(): pass\n")
    ended = suite(where, "/dev/full")
    assert ended.status == 3, str(ended)
    assert "/dev/full" in ended.out + ended.err or "No space left" in ended.out + ended.err


@pytest.mark.parametrize("words", [["--json-lines", "-"], ["--json-lines=-", "--durations", "0", "-vv", "--github"]], ids=" ".join)
def test_json_lines_on_stdout_have_it_to_themselves(suite, words):
    suite.write("test_it.py", "def test_good(): pass\ndef test_bad(): assert False, 'why not'\n")
    ended = suite(*words)
    assert ended.status == 1, str(ended)
    events = [json.loads(line)["event"] for line in ended.out.splitlines()]
    assert (events[0], events[-1], events.count("test_finished")) == ("run_started", "run_finished", 2)
    assert "1 failed, 1 passed" in ended.err
    assert "why not" in ended.err
    assert not (suite.directory / "-").exists()


@pytest.mark.parametrize("settings", ["", "pytest.ini"])
def test_started_in_the_root_directory_the_project_is_that_of_the_named_tests(suite, settings):
    suite.write("test_it.py", "import helper\ndef test_it(): assert helper.answer == 42\n")
    suite.write("helper.py", "answer = 42\n")
    suite.write("sub/test_sub.py", "def test_sub(): pass\n")
    if settings:
        suite.write(settings, "[pytest]\n")
    named = suite(suite.directory / "test_it.py", cwd="/")
    assert (named.status, list(named.tests)) == (0, ["test_it.py::test_it"]), str(named)
    relative = suite(f"{suite.directory}/sub/test_sub.py::test_sub".lstrip("/"), suite.directory / "test_it.py", cwd="/")
    assert (relative.status, sorted(relative.tests)) == (0, ["sub/test_sub.py::test_sub", "test_it.py::test_it"]), str(relative)


@pytest.mark.parametrize("words", [[], ["nowhere/test_it.py"], ["--list", "/"]], ids=" ".join)
def test_the_root_directory_is_no_project(suite, words):
    ended = suite(*words, cwd="/")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "casemate pytest: / is no project: cd into the one whose tests are to run, or name them by their paths\n"


def test_no_workers_of_xdist_are_one_slot(suite):
    suite.write("test_it.py", "def test_a(): pass\ndef test_b(): pass\n")
    for word, slots in (("0", {1}), ("auto", {os.cpu_count()}), ("logical", {os.cpu_count()})):
        ended = suite("-n", word)
        assert (ended.status, {run["slots"] for run in ended.of("run_started")}) == (0, slots), str(ended)


def test_a_closed_stdout_does_not_stop_the_run(suite):
    suite.write("test_it.py", "import pytest\n@pytest.mark.parametrize('n', range(30))\ndef test_it(n): print('x' * 10000)\n")
    process = suite.start()
    process.stdout.close()
    process.wait(120)
    events = [json.loads(line) for line in suite.events_file.read_text().splitlines()]
    assert sum(event["event"] == "test_finished" for event in events) in (0, 30)
    assert process.returncode >= 0, "killed by a signal"
    process.stderr.close()


def test_of_a_file_with_thousands_of_tests_each_part_has_a_parent(suite):
    suite.write(
        "test_many.py",
        """
        import pytest

        @pytest.mark.parametrize("number", range(8100))
        def test_it(number, request):
            assert len(request.session.items) in (4000, 100, 8100), "a part's parent, or the file's until that is ready"
            assert number != 8099
        """,
    )
    ended = suite("--include", "name.matches(\\[(0|3999|4000|7999|8000|8099)\\])")
    assert ended.verdicts == {f"test_it[{number}]": "passed" for number in (0, 3999, 4000, 7999, 8000)} | {"test_it[8099]": "failed"}, str(ended)
    assert ended.status == 1


def test_a_file_that_skips_itself_counts_as_skipped(suite):
    suite.write("test_none.py", "import pytest\npytest.importorskip('no_such_module_anywhere')\ndef test_it(): pass\n")
    suite.write("test_one.py", "def test_one(record_property): record_property('exact', True)\n")
    ended = suite()
    assert [(event["id"], event["verdict"]) for event in ended.finished if event["verdict"] == "skipped"] == [("test_none.py", "skipped")], str(ended)
    counts = ended.of("run_finished")[0]["counts"]
    assert {verdict: count for verdict, count in counts.items() if count} == {"passed": 1, "skipped": 1}
    assert [event["properties"] for event in ended.finished if event["properties"]] == [[["exact", "True"]]]
    assert ended.status == 0
