"""The history of `casemate pytest`: which tests are flaky is said by runs of the same code."""

import json
import subprocess

import pytest
from py_test_runner import CASEMATE
from suites import suite  # noqa: F401  (a fixture)

MOST_RUNS = 20

FILE = """
    import os
    def test_of_the_weather():
        assert os.environ["WEATHER"] == "fine"
    def test_of_the_code():
        assert 1 == 1
"""


@pytest.fixture
def weather(suite):  # noqa: F811
    suite.write("test_it.py", FILE)
    return suite


def history(suite, *words):  # noqa: F811
    done = subprocess.run([CASEMATE, "history", *words, "--json"], env=suite.environment, cwd=suite.directory, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def run(suite, weather, *arguments):  # noqa: F811
    """A run whose code was seen: on a host that is too busy for that, another one."""
    for _ in range(MOST_RUNS):
        suite(*arguments, env=suite.environment | {"WEATHER": weather})
        (newest,) = history(suite, "runs", "--project", str(suite.directory), "--limit", "1")
        if newest["source"]:
            return newest["source"]
    raise AssertionError("none of %d runs knows its code" % MOST_RUNS)


def flaky(suite):  # noqa: F811
    return {test["id"].rpartition("::")[2]: test["flaky"] for test in history(suite, "tests", "--flaky")}


def git(suite, *words):  # noqa: F811
    words = ["git", "-c", "user.name=me", "-c", "user.email=me@localhost", "-c", "init.defaultBranch=main", *words]
    subprocess.run(words, cwd=suite.directory, check=True, capture_output=True, timeout=60)


def test_what_passes_and_fails_with_the_same_code_is_flaky(weather):
    fine = run(weather, "fine")
    assert fine.startswith("files:")
    assert "python 3" in fine and "pytest" in fine
    assert flaky(weather) == {}
    assert run(weather, "rain") == fine
    assert list(flaky(weather)) == ["test_of_the_weather"]


def test_what_fails_until_it_is_edited_is_not_flaky(weather):
    git(weather, "init", "--quiet")
    before = run(weather, "fine")
    assert before.startswith("git:")
    weather.write("test_it.py", FILE.replace("1 == 1", "1 == 2"))
    assert run(weather, "fine") != before
    assert flaky(weather) == {}


def test_a_commit_or_a_report_in_the_tree_is_no_other_code(weather):
    git(weather, "init", "--quiet")
    before = run(weather, "fine", "--junit-xml", "report.xml")
    git(weather, "add", "test_it.py")
    git(weather, "commit", "--quiet", "--message", "one")
    assert run(weather, "rain", "--junit-xml", "report.xml") == before
    assert list(flaky(weather)) == ["test_of_the_weather"]
    assert (weather.directory / "report.xml").exists()
