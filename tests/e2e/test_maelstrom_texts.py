"""What maelstrom-pytest prints, line by line and stream by stream, as version 0.14.0 was seen to print it for the same tests."""

import re

import pytest

TESTS = """
import os
import signal
import sys
import time

import pytest


def test_pass():
    print("never shown")


def test_fail():
    print("before failing")
    print("err before failing", file=sys.stderr)
    value = [1, 2]
    assert value == [1, 3]


@pytest.mark.skip(reason="no need")
def test_skip():
    pass


@pytest.mark.skipif(sys.version_info > (3,), reason="old only")
def test_skipif():
    pass


@pytest.mark.xfail(reason="known")
def test_xfail():
    assert False


@pytest.fixture
def broken():
    raise RuntimeError("broken fixture")


def test_error(broken):
    pass


def test_ignored():
    pass


def test_slow():
    time.sleep(30)


def test_exit():
    os._exit(7)


def test_abort():
    os.kill(os.getpid(), signal.SIGABRT)


class TestThings:
    @pytest.mark.parametrize("i", [1, "two words"])
    def test_one(self, i):
        assert i
"""

DIRECTIVES = """
[[directives]]
filter = "name.equals(test_ignored)"
ignore = true

[[directives]]
filter = "name.equals(test_slow)"
timeout = 0.5
"""


@pytest.fixture
def project(suite):
    suite.write("test_a.py", TESTS)
    suite.write("maelstrom-pytest.toml", DIRECTIVES)
    return suite


def line_of(code):
    return TESTS[: TESTS.index(code)].count("\n") + 1


def without_times(text):
    """The output with x for each digit of a time: their columns stay. Without notes on limits, which only a user without cgroups gets."""
    text = re.sub(r"^note: \w+ limit held by .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<=[ \d])\d+\.\d\d\ds$", lambda found: re.sub(r"\d", "x", found[0]), text, flags=re.MULTILINE)


def summary_of(text):
    """From the empty line before its heading to the end."""
    return text[text.index("\n\n================================= Test Summary") + 1 :]


def details_of(text, line):
    """The lines between the one of a test and the next test's or the summary."""
    lines = text.splitlines()
    at = next(i for i, found in enumerate(lines) if found.startswith(line)) + 1
    end = next(i for i in range(at, len(lines)) if re.match(r"test_\w+\.py::.*\.\.\.|=+ Test Summary", lines[i]))
    return lines[at:end]


LINES = """\
test_a.py::test_ignored.........................................IGNORED         
test_a.py::test_skip............................................IGNORED         
test_a.py::test_skipif..........................................IGNORED         
test_a.py::test_pass.................................................OK   x.xxxs
test_a.py::test_xfail................................................OK   x.xxxs
test_a.py::TestThings::test_one[1]...................................OK   x.xxxs
test_a.py::TestThings::test_one[two words]...........................OK   x.xxxs
test_a.py::test_fail...............................................FAIL   x.xxxs
test_a.py::test_error..............................................FAIL   x.xxxs
test_a.py::test_exit...............................................FAIL   x.xxxs
test_a.py::test_abort..............................................FAIL   x.xxxs
test_a.py::test_slow............................................TIMEOUT   x.xxxs
"""  # noqa: W291


def test_a_line_a_test_and_the_failures(project):
    done = project.maelstrom("--ui", "simple")
    assert (done.status, done.err) == (1, "")
    lines = [line for line in without_times(done.out).splitlines() if re.match(r"test_a\.py::.*\.\.\.", line)]
    assert sorted(lines) == sorted(LINES.splitlines())
    assert lines[0].startswith("test_a.py::test_ignored"), "what a directive ignores comes first"
    assert "never shown" not in done.out
    fail = details_of(done.out, "test_a.py::test_fail.")
    assert fail[:7] == [
        "",
        "    def test_fail():",
        '        print("before failing")',
        '        print("err before failing", file=sys.stderr)',
        "        value = [1, 2]",
        ">       assert value == [1, 3]",
        "E       AssertionError: assert [1, 2] == [1, 3]",
    ]
    assert any("Full diff" in line for line in fail), "pytest is called with --verbose"
    place = f"test_a.py:{line_of('assert value')}: AssertionError"
    assert fail[fail.index(place) :] == [
        place,
        "----------------------------- Captured stdout call -----------------------------",
        "before failing",
        "----------------------------- Captured stderr call -----------------------------",
        "err before failing",
    ]
    assert details_of(done.out, "test_a.py::test_error.") == [
        "_________________________ ERROR at setup of test_error _________________________",
        "",
        "    @pytest.fixture",
        "    def broken():",
        '>       raise RuntimeError("broken fixture")',
        "E       RuntimeError: broken fixture",
        "",
        f"test_a.py:{line_of('raise RuntimeError')}: RuntimeError",
    ]
    abort = details_of(done.out, "test_a.py::test_abort.")
    assert abort[:2] == ["killed by signal 6", "stderr: Fatal Python error: Aborted"]


SUMMARY = """
================================= Test Summary =================================
Successful Tests:         4
Failed Tests    :         5
{}Ignored Tests   :         3
{}"""


@pytest.mark.parametrize(("ui", "end"), [("simple", "\n"), ("quiet", "")])
def test_the_summary(project, ui, end):
    done = project.maelstrom("--ui", ui)
    assert (done.status, done.err) == (1, "")
    summary = summary_of("\n" + done.out)
    failed = re.findall(r"^    test_a\.py::test_\w+ *: failure\n", summary, re.MULTILINE)
    ignored = re.findall(r"^    test_a\.py::test_\w+ *: ignored\n", summary, re.MULTILINE)
    assert summary == SUMMARY.format("".join(failed), "".join(ignored)) + end
    assert sorted(failed) == [f"    test_a.py::{name}: failure\n" for name in ("test_abort", "test_error", "test_exit ", "test_fail ", "test_slow ")]
    assert sorted(ignored) == [f"    test_a.py::{name}: ignored\n" for name in ("test_ignored", "test_skip   ", "test_skipif ")]
    if ui == "quiet":
        assert done.out == summary


def test_where_the_output_is_no_terminal_auto_is_simple(project):
    done = project.maelstrom("-i", "name.equals(test_pass)")
    assert without_times(done.out) == (
        "test_a.py::test_pass.................................................OK   x.xxxs\n"
        "\n"
        "================================= Test Summary =================================\n"
        "Successful Tests:         1\n"
        "Failed Tests    :         0\n"
        "\n"
    )


def test_repetitions_have_one_summary(project):
    done = project.maelstrom("--ui", "simple", "--repeat", 2, "-i", "name.equals(test_pass) || name.equals(test_ignored)")
    assert (done.status, done.err) == (0, "")
    assert without_times(done.out) == (
        "test_a.py::test_ignored.........................................IGNORED         \n"
        "test_a.py::test_pass.................................................OK   x.xxxs\n"
        "test_a.py::test_pass.................................................OK   x.xxxs\n"
        "\n"
        "================================= Test Summary =================================\n"
        "Successful Tests:         2\n"
        "Failed Tests    :         0\n"
        "Ignored Tests   :         1\n"
        "    test_a.py::test_ignored: ignored\n"
        "\n"
    )


def test_failures_of_all_repetitions_count_to_stop_after(project):
    done = project.maelstrom("--ui", "simple", "--slots", 1, "--repeat", 3, "--stop-after", 2, "-i", "name.equals(test_fail)")
    assert done.status == 1
    assert summary_of(done.out).endswith("Failed Tests    :         2\n    test_a.py::test_fail: failure\n    test_a.py::test_fail: failure\nTests Not Run   :         1\n\n")


def test_stop_after_says_what_was_not_run(project):
    done = project.maelstrom("--ui", "simple", "--slots", 1, "--stop-after", 1, "-i", "name.equals(test_error) or name.equals(test_exit) or name.equals(test_fail)")
    assert done.status == 1
    assert re.search(r"\nSuccessful Tests:         0\nFailed Tests    :         1\n    test_a\.py::\w+: failure\nTests Not Run   :         2\n\n$", done.out)


def test_nothing_that_matches(project):
    done = project.maelstrom("--ui", "simple", "-i", "name.equals(nothing)")
    summary = "\n================================= Test Summary =================================\nSuccessful Tests:         0\nFailed Tests    :         0\n\n"
    assert (done.status, done.out, done.err) == (4, summary, "error: no tests\n")
    done = project.maelstrom("--list", "-i", "name.equals(nothing)")
    assert (done.status, done.out, done.err) == (4, "", "maelstrom-pytest: no tests\n")


@pytest.mark.parametrize("ui", ["auto", "simple", "quiet", "fancy"])
def test_a_list_is_a_node_id_a_line(project, ui):
    done = project.maelstrom("--list", "--ui", ui, "-i", "name.ends_with(]) || name.contains(skip)")
    assert (done.status, done.err) == (0, "")
    assert done.out == "test_a.py::test_skip\ntest_a.py::test_skipif\ntest_a.py::TestThings::test_one[1]\ntest_a.py::TestThings::test_one[two words]\n"


def test_a_file_that_cannot_be_collected(project):
    project.write("test_b.py", "import nothing_such\n")
    done = project.maelstrom("--list", "-i", "name.equals(test_pass)")
    assert (done.status, done.out) == (1, "test_a.py::test_pass\n")
    assert "ERROR  test_b.py" in done.err and "E   ModuleNotFoundError: No module named 'nothing_such'\n" in done.err
    done = project.maelstrom("--ui", "simple", "-i", "name.equals(test_pass)")
    assert (done.status, done.err) == (1, "")
    assert "\ntest_b.py..........................................................FAIL         \n" in "\n" + done.out
    assert "    test_b.py: failure\n" in done.out
    done = project.maelstrom("--ui", "quiet", "-i", "name.equals(test_pass)")
    assert done.status == 1
    assert re.search(r"    test_b\.py: failure\nImportError while importing(.*\n)*E   ModuleNotFoundError: No module named 'nothing_such'\n$", done.out)


@pytest.mark.parametrize(
    ("addition", "line"),
    [
        ('[[directives]]\nmemroy = "64M"\n', ":10: a directive has no field 'memroy', did you mean 'memory'?\n"),
        ('[[directives]]\nfilter = "bogus"\n', ":10: filter: column 1: there is no selector 'bogus'"),
        ("[nonsense]\n", ":9: this file has no field 'nonsense'; known are directives, containers\n"),
    ],
)
def test_a_wrong_file_is_told_on_stderr_and_nothing_is_summed_up(project, addition, line):
    project.write("maelstrom-pytest.toml", DIRECTIVES.lstrip() + "\n" + addition)
    done = project.maelstrom("--ui", "simple")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {project.directory}/maelstrom-pytest.toml{line}"), done.err
    assert done.err.count("\n") == 1


def test_what_the_files_and_variables_of_maelstrom_say_counts_in_its_order(project, tmp_path):
    places = {name: tmp_path / name for name in ("own", "first", "second")}
    texts = {"own": 'ui = "quiet"\nslots = 3\n', "first": "slots = 4\nrepeat = 2\n", "second": 'repeat = 5\nextra-pytest-args = ["-k", "pass"]\n'}
    for name, text in texts.items():
        path = places[name] / "maelstrom" / "maelstrom-pytest" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    project.environment |= {"XDG_CONFIG_HOME": str(places["own"]), "XDG_CONFIG_DIRS": f"{places['first']}:{places['second']}"}
    done = project.maelstrom()
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("Successful Tests:         2\nFailed Tests    :         0\n") and "..." not in done.out
    project.environment |= {"MAELSTROM_REPEAT": "3", "MAELSTROM_PYTEST_REPEAT": "4", "MAELSTROM_UI": "simple"}
    done = project.maelstrom()
    assert done.out.count("test_a.py::test_pass....") == 4
    assert project.maelstrom("-r", 1).out.count("test_a.py::test_pass....") == 1
    done = project.maelstrom("--config-file", "-", "-r", 1, "-i", "name.equals(test_xfail)")
    assert without_times(done.out).startswith("test_a.py::test_xfail...."), "no -k of any file"


SKIPPED_AND_ENDED = """
import pytest

@pytest.mark.skip(reason="all of it")
class TestSkipped:
    def test_one(self):
        pass

def test_at_run_time():
    pytest.skip("now")

def test_exits():
    pytest.exit("enough", returncode=5)
"""


def test_skips_of_all_kinds_are_ignored_and_pytest_exit_is_a_failure(suite):
    suite.write("test_a.py", SKIPPED_AND_ENDED)
    done = suite.maelstrom("--ui", "simple", "-x", "name.equals(test_exits)")
    assert (done.status, done.err) == (0, "")
    assert summary_of(done.out).startswith(
        "\n================================= Test Summary =================================\nSuccessful Tests:         0\nFailed Tests    :         0\nIgnored Tests   :         2\n"
    )
    done = suite.maelstrom("--ui", "simple", "-i", "name.equals(test_exits)")
    assert done.status == 1
    assert details_of(done.out, "test_a.py::test_exits.")[0] == "it ended pytest: Exit: enough"
    assert "    test_a.py::test_exits: failure\n" in done.out


def test_directories_that_a_container_does_not_have_are_made(suite):
    suite.write("maelstrom-pytest.toml", '[[directives]]\nworking_directory = "/nowhere"\nadded_mounts = [{ type = "tmp", mount_point = "/elsewhere" }]\n')
    suite.write("test_a.py", "import os\n\ndef test_a():\n    assert os.getcwd() == '/nowhere' and os.path.ismount('/elsewhere')\n")
    done = suite.maelstrom("--ui", "simple")
    assert (done.status, done.err) == (0, ""), done.out


def test_letters_take_their_values_with_an_equals_sign_too(project):
    done = project.maelstrom("-l", "-i=name.equals(test_pass)", "-c=-", "-r=2")
    assert (done.status, done.out) == (0, "test_a.py::test_pass\n")


def test_its_version_and_that_no_file_is_needed(suite):
    done = suite.maelstrom("--version")
    assert done.out.split()[:2] == ["maelstrom-pytest", "0.14.0"] and "casemate" in done.out
    suite.write("test_a.py", "def test_a():\n    pass\n")
    assert suite.maelstrom("--ui", "simple").status == 0
