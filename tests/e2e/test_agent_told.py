"""What people are told of a task: which commit was graded, on its page, in the log and the history, and why it could not be."""

import json
import re
import subprocess

import pytest
from agents import FIRST
from py_test_runner import CASEMATE
from repositories import git as git_in
from repositories import git_daemon

import browser

pytestmark = pytest.mark.once


def history(world, *words):
    done = subprocess.run([CASEMATE, "history", *words], env=world.environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def steps(world, task=-1):
    return {step["name"]: step for step in json.loads(world.artifact("steps.json", task))["steps"]}


# --- the commit


def test_the_commit_that_was_graded_is_told_everywhere_but_to_the_backend(world):
    lab = world.labs.lab("wrong")
    world.tests = world.labs.tests()
    first = lab.commit({"note": "one"}, "one")
    world.start_backend()
    world.start("--logger-level", "info")
    bodies = [world.grade("wrong", **FIRST).body]
    second = lab.commit({"note": "two"}, "two")
    bodies.append(world.grade("wrong", **FIRST).body)
    assert first != second and not any(commit in json.dumps(bodies) for commit in (first, second))
    log = [line for line in world.agents[0].said.splitlines() if " after " in line]
    assert [re.search(r"\(commit ([0-9a-f]{40})\)$", line).group(1) for line in log] == [first, second]
    known = json.loads(history(world, "--json"))
    for task, commit in enumerate((first, second)):
        assert steps(world, task)["clone"]["commit"] == commit
        assert steps(world, task)["tests"]["commit"] == git_in(world.tests.bare, "rev-parse", "main")
        assert commit in world.artifact("report.html", task).decode()
        assert known[1 - task]["details"]["commit"] == commit
        assert f"commit     {commit}\n" in history(world, "show", str(known[1 - task]["id"]))


def test_a_tag_is_told_by_its_commit_and_a_clone_that_failed_by_none(lab):
    student = lab.student()
    commit = git_in(student.path, "rev-parse", "HEAD")
    git_in(student.path, "tag", "-a", "handed-in", "-m", "x")
    student.commit({"later": "x"})
    assert lab.grade(student.url, task={"branch": "handed-in"}).steps["clone"]["commit"] == commit
    failed = lab.grade(student.url, task={"branch": "missing"})
    assert failed.steps["clone"]["commit"] == failed.json("grade.json")["commit"] == ""
    assert "Commit</dt>" not in failed.read("report.html")


def test_a_submodules_name_is_no_commit(lab):
    """git tells of submodules on the stream on which it tells the commit."""
    student = lab.student()
    forged = "f" * 40
    lab.repository("part", {"x": "y"})
    with git_daemon(lab.directory) as server:
        git_in(student.path, "-c", "protocol.git.allow=always", "submodule", "add", "-q", "--name", forged, f"{server}/part", forged)
        git_in(student.path, "commit", "-q", "-m", "part")
        place = lab.grade(f"{server}/student")
    assert place.error is None
    assert place.json("grade.json")["commit"] == git_in(student.path, "rev-parse", "HEAD")


# --- the history


def test_history_has_the_grade_of_each_task(world):
    world.start_backend()
    world.start("--timeout", "4", "--concurrent", "1")
    passed = world.task("good", **FIRST)
    failed = world.task("wrong", form="b", **FIRST)
    error = world.task("good", branch="missing")
    late = world.task("endless", laboratoryNumber=1, connectedTests=["test_greets"])
    world.backend.wait_for(passed, failed, error, late)
    known = {run["details"]["task"]: run for run in json.loads(history(world, "--json"))}
    assert [known[key]["details"]["result"] for key in (passed, failed, error, late)] == ["passed", "failed", "error", "error"]
    assert [known[key]["outcome"] for key in (passed, failed, late)] == ["exited", "exited", "timed out"]
    assert all(run["cpu_us"] is None for run in known.values())
    rows = history(world)
    for key, word in ((passed, "passed"), (failed, "failed"), (error, "error"), (late, "timed out")):
        assert re.search(rf"  agent      {word} .*  {re.escape(key)}: {re.escape(world.git.url(''))}", rows), (key, rows)
        shown = history(world, "show", str(known[key]["id"]))
        assert f"outcome    {word}\n" in shown and "\ncpu " not in shown
    assert [run["details"]["task"] for run in json.loads(history(world, "--json", "--outcome", "timed out"))] == [late]
    assert [run["details"]["task"] for run in json.loads(history(world, "--json", "--name", failed))] == [failed]


# --- the page


@pytest.fixture
def window(tmp_path):
    if reason := browser.missing():
        pytest.skip(reason)
    with browser.driver(tmp_path) as base:
        made = browser.Browser(base, directory=tmp_path / "profile")
        yield made
        made.quit()


def test_the_page_of_a_task(lab, window):
    student = lab.student('#include <stdio.h>\nint main(void) { puts("<b>hel\\033[31mlo</b>"); return 0; }\n')
    place = lab.grade(student.url)
    window.open((place.path / "report.html").as_uri())
    assert window.run("return document.title") == "attempt 21: student"
    facts = window.run("return Object.fromEntries([...document.querySelectorAll('dt')].map(d => [d.textContent, d.nextSibling.textContent]))")
    assert (facts["Repository"], facts["Branch"], facts["Tests"]) == (student.url, "main", lab.tests.url)
    assert (facts["Commit"], facts["Their commit"]) == (place.steps["clone"]["commit"], place.steps["tests"]["commit"])
    rows = window.run("return [...document.querySelector('tbody').rows].map(r => [...r.cells].map(c => c.firstChild.textContent))")
    assert {row[1]: row[0] for row in rows} == place.cases
    assert all(re.fullmatch(r"[0-9.]+ (ms|s|us)", row[2]) and row[3].endswith("MiB") for row in rows)
    assert "all together" in window.run("return document.querySelector('thead').textContent")
    # The reason is to be seen at once, all of the text for the asking; both without a script.
    assert "assert" in window.run("return document.querySelector('summary').textContent")
    window.click("summary")
    assert "<b>hel" in window.run("return document.querySelector('details[open] pre').textContent")
    output = window.run("return [...document.querySelectorAll('section')].at(-1).querySelector('pre').textContent")
    assert "test session starts" in output and "test session starts" not in window.run("return document.querySelector('section').textContent")
    assert window.run("return document.querySelectorAll('script, canvas, b').length") == 0
    assert window.log() == []  # nothing was refused by the page's own policy
    assert window.run("return getComputedStyle(document.querySelector('section')).borderRadius") == "10px"
    assert [url for url in window.requests() if url.startswith(("http", "file"))] == [(place.path / "report.html").as_uri()]


def test_the_page_says_whose_memory_it_is_and_holds_no_password(lab):
    place = lab.grade("http://me:sesame@127.0.0.1:1/x.git", isolation="test")
    assert "sesame" not in place.read("report.html") and "http://127.0.0.1:1/x.git" in place.read("report.html")
    place = lab.grade(lab.student().url, isolation="test")
    assert "Memory (of each test)" in place.read("report.html")


# --- why not


def test_a_laboratory_that_does_not_exist_is_told_in_pytests_words(world, lab):
    # Where its directory is an argument of pytest; a conftest.py in it is missed before the directory is.
    graded = world.grade("good", laboratoryNumber=9)
    assert (graded.passed, graded.error) == (False, True)
    words = "pytest.main(): error: unrecognized arguments: --src --proxy_timeout 10.0 tests/lab9"
    assert graded.details == f"the tests' command exited 4 and left no report; it said last: {words}"
    run = "import sys, pytest\nsys.exit(pytest.main(['--junit-xml', sys.argv[sys.argv.index('--junit-xml') + 1], 'tests/lab9']))\n"
    lab.tests.commit({"run_tests.py": run})
    place = lab.grade(lab.student().url)
    assert place.error == "pytest refused its command line or configuration (status 4): file or directory not found: tests/lab9"


def test_gits_reason_comes_first(lab):
    place = lab.grade(lab.student().url, task={"branch": "missing"})
    assert place.error.startswith("the repository could not be cloned: fatal: Remote branch missing not found in upstream origin")


def test_a_repository_of_this_machine_names_the_option_that_it_needs(lab):
    refused = lab.grade(lab.student().url, tests="http://127.0.0.1:1/tests", allow_file_urls=False)
    assert "--allow-file-urls" in refused.error
    place = lab.grade("http://127.0.0.1:1/x.git", clone_network="outbound")
    if "could not be made" in place.error:
        pytest.skip(place.error)
    assert "http://127.0.0.1:1/x.git is on the loopback of the machine that runs the tests" in place.error and "--clone-network host" in place.error


def test_a_task_without_a_key_is_told_as_what_it_is(world):
    world.start_backend()
    world.start("--logger-level", "error")
    world.backend.raw_task({"attempt": "twenty", "repositoryUrl": "http://127.0.0.1:1/x.git", "branch": "main"})
    world.agents[0].says("offers a task that can't be graded: its \"attempt\" is not a whole number but the text \"twenty\"")
    assert "no task" not in world.agents[0].said
