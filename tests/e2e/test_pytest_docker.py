"""casemate pytest --executor docker: with a dockerd of the test's own, in namespaces of its own, without a network."""

import json
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree

import pytest
from images import image_layout
from suites import Suite
from test_plan_docker import IMAGE, daemon  # noqa: F401

CASES = """
    import os, pathlib, sys, time
    import pytest

    @pytest.fixture
    def broken():
        raise RuntimeError("no set-up")

    def test_passes(): print("said")
    def test_fails(): assert [1, 2] == [1, 3]
    def test_skips(): pytest.skip("not today")
    @pytest.mark.xfail(reason="known")
    def test_xfails(): assert False
    def test_error(broken): pass
    @pytest.mark.parametrize("word", ["a b", "\\u00e9", "x::y"])
    def test_words(word): assert word
    def test_ends_it(): os._exit(3)
    def test_leaves():
        pathlib.Path("/tmp/left").write_text("x")
        os.environ["LEFT"] = "1"
    def test_finds_nothing():
        assert not os.path.exists("/tmp/left") and "LEFT" not in os.environ
    def test_sees_what_a_plain_pytest_has():
        assert sys.argv[0].endswith("__main__.py") and "K" not in sys.argv
        assert not {"CASEMATE_ALONE", "CASEMATE_COLD"} & set(os.environ)
        assert sorted(map(int, os.listdir("/proc/self/fd")))[:3] == [0, 1, 2]
        assert not os.path.exists("/proc/self/fd/3") or not os.readlink("/proc/self/fd/3").startswith("pipe:")
    @pytest.mark.parametrize("size", [10, 200_000])
    def test_long_report(size): assert "x" * size == ""
"""


@pytest.fixture
def boxed(suite, daemon, wheelhouse):  # noqa: F811
    """A suite whose tests run in containers of IMAGE with pytest of our own wheels: installed by the first test, kept for the others."""
    packages = suite.directory.parent / "packages"
    shutil.copytree(wheelhouse, packages)
    (packages / "requirements.txt").write_text("--no-index\n--find-links .\npytest\n")
    suite.write("pytest.ini", "[pytest]\n")

    class Boxed(Suite):
        def start(self, *words, plain=False, **options):
            where = () if plain else ("--executor", "docker", "--image", f"docker-daemon:{IMAGE}", "--requirements", packages / "requirements.txt")
            return super().start(*where, *words, **options)

    yield Boxed(suite.directory, suite.environment | daemon.environment)
    if daemon.process.poll() is None:
        assert daemon.docker("ps", "-aq", "--filter", "label=casemate.engine") == ""


def told(ended):
    return {name: (result["verdict"], result["reason"], result["outcome"]) for name, result in ended.results.items()}


def test_the_same_verdicts_and_reports_as_in_cells(boxed):
    boxed.write("test_it.py", CASES)
    boxed.write("conftest.py", "import os\nassert os.path.exists('/.dockerenv') or os.environ.get('IN_A_CELL')\n")
    junit = boxed.directory.parent / "junit.xml"
    inside = boxed("--junit-xml", junit)
    boxed.environment["IN_A_CELL"] = "1"
    outside = boxed(plain=True)
    assert (inside.status, outside.status) == (1, 1), str(inside)
    assert told(inside) == told(outside)
    assert inside.results["test_fails"]["reports"] and all(result["cold"] for result in inside.finished)
    assert [case.get("name") for case in xml.etree.ElementTree.parse(junit).iter("testcase")]
    assert inside.of("collected")[0]["pytest"] == outside.of("collected")[0]["pytest"]


def test_a_module_may_share_a_container_and_the_project_is_read_only(boxed):
    boxed.write(
        "test_it.py",
        """
        import errno, pathlib, pytest
        state = []
        def test_first(): state.append(1)
        def test_second(): assert state == [1]
        def test_project():
            with pytest.raises(OSError) as raised: pathlib.Path(__file__).with_name("new").write_text("x")
            assert raised.value.errno == errno.EROFS
        """,
    )
    assert boxed("--isolation", "module").verdicts == {"test_first": "passed", "test_second": "passed", "test_project": "passed"}
    assert boxed("-k", "second", "--retries", "1").verdicts == {"test_second": "failed"}
    listed = boxed("--collect-only", "-k", "first or second")
    assert listed.out == "test_it.py::test_first\ntest_it.py::test_second\n"


def test_limits_and_time(boxed):
    boxed.write(
        "test_it.py",
        """
        import time
        def test_sleeps(): time.sleep(100)
        def test_eats(): b"x" * (400 << 20)
        """,
    )
    ended = boxed("--timeout", "3", "--memory", "64m")
    assert {name: result["outcome"]["kind"] for name, result in ended.results.items()} == {"test_sleeps": "timed out", "test_eats": "out of memory"}, str(ended)


def test_coverage(boxed):
    packages = boxed.directory.parent / "packages"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "--python-version", "3.11", "--dest", packages]
    done = subprocess.run([*pip, "pytest-cov", "coverage"], capture_output=True, text=True, check=False, timeout=200)
    if done.returncode != 0:
        pytest.skip("no package index can be reached: " + done.stderr[-200:])
    with open(packages / "requirements.txt", "a") as file:
        file.write("pytest-cov\n")
    boxed.write("mine.py", "def one():\n    return 1\ndef two():\n    return 2\ndef three():\n    return 3\n")
    boxed.write("test_it.py", "import mine\ndef test_1(): assert mine.one() == 1\ndef test_2(): assert mine.two() == 2\n")
    ended = boxed("--cov=mine", "--cov-report=term", "--cov-report=xml")
    assert ended.status == 0, str(ended)
    assert re.search(r"mine\.py +6 +1 +83%", ended.of("run_finished")[0]["coverage"]), str(ended)
    assert (boxed.directory / "coverage.xml").exists() and (boxed.directory / ".coverage").exists()


def test_what_collection_says(boxed):
    assert boxed("no_such_file.py").status == 2
    assert "no_such_file.py" in boxed("no_such_file.py").problem
    assert boxed().status == 4
    boxed.write("test_broken.py", "import nothing_of_the_kind\n")
    boxed.write("test_good.py", "def test_good(): pass\n")
    ended = boxed()
    assert ended.status == 1
    assert "nothing_of_the_kind" in json.dumps(ended.of("collected"))
    assert ended.tests["test_good.py::test_good"]["verdict"] == "passed"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--image", f"docker-daemon:{IMAGE}"), 2, "has no pytest"),
        ((), 2, "--executor docker needs an image"),
        (("--image", "oci:{layout}"), 2, "can't be had with --executor docker"),
        (("--image", "docker-daemon:casemate-test/none:latest"), 3, "casemate-test/none"),
        (("--image", f"docker-daemon:{IMAGE}", "--python", "python9"), 2, "has no python9"),
        (("--image", f"docker-daemon:{IMAGE}", "--requirements", "missing.txt"), 2, "missing.txt"),
    ],
)
def test_what_is_missing_is_said(boxed, words, status, said):
    boxed.write("test_it.py", "def test_it(): pass\n")
    layout = image_layout("python3.11").removeprefix("oci:")
    ended = boxed("--executor", "docker", *(word.format(layout=layout) for word in words), plain=True)
    assert (ended.status, said in ended.problem) == (status, True), str(ended)


def test_layers_are_of_cells(boxed):
    boxed.write("test_it.py", "def test_it(): pass\n")
    boxed.write("maelstrom-pytest.toml", f'[[directives]]\nimage = "docker-daemon:{IMAGE}"\nadded_layers = [{{ glob = "*.py" }}]\n')
    ended = boxed("--executor", "docker", plain=True)
    assert ended.status == 2 and "layers" in ended.problem, str(ended)


def test_without_a_daemon(suite):
    suite.write("test_it.py", "def test_it(): pass\n")
    suite.environment["DOCKER_HOST"] = f"unix://{suite.directory}/nobody"
    ended = suite("--executor", "docker", "--image", "docker://x", timeout=60)
    assert (ended.status, "nobody answers as docker daemon" in ended.problem) == (3, True), str(ended)


def test_killed_and_swept(boxed, daemon):  # noqa: F811
    """SIGKILL in the middle; what others labelled, or run, stays."""
    foreign = daemon.docker("create", "--label", "casemate.engine=another", "--network", "none", IMAGE, "true").strip()
    other = daemon.docker("create", "--network", "none", IMAGE, "true").strip()
    boxed.write("test_it.py", "import time\ndef test_it(): time.sleep(4718)\ndef test_that(): pass\n")
    process = boxed.start("--slots", "2")
    wait_for_container(daemon, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(ours(daemon)) > 1
    boxed.write("test_it.py", "def test_it(): pass\n")
    assert boxed().status == 0
    assert ours(daemon) == [foreign]
    daemon.docker("rm", "-f", foreign, other)


def ours(daemon):  # noqa: F811
    return daemon.docker("ps", "-aq", "--no-trunc", "--filter", "label=casemate.engine").split()


def wait_for_container(daemon, process):  # noqa: F811
    """Until one of our containers runs a test."""
    for _ in range(1200):
        assert process.poll() is None
        running = daemon.docker("ps", "--no-trunc", "--format", "{{.Command}}", "--filter", "label=casemate.engine")
        if " K " in running:
            return
    raise AssertionError("no container of a test ever ran")


def test_a_daemon_that_dies_in_the_middle(boxed, daemon):  # noqa: F811
    """The last test: the daemon is gone after it."""
    boxed.write("test_it.py", "import time\ndef test_1(): time.sleep(4719)\ndef test_2(): pass\ndef test_3(): pass\n")
    process = boxed.start("--slots", "1")
    wait_for_container(daemon, process)
    daemon.process.kill()
    ended = boxed.ended(process, timeout=120)
    assert ended.status == 3, str(ended)
    assert ended.verdicts == {"test_1": "lost"}
    assert "docker daemon" in ended.problem
    assert ended.of("run_finished")[0]["not_run"] == 2
