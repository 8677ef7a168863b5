"""`casemate agent`: what it grades and how. Every row of what the old runner got wrong about a task is here; what it got wrong about its backend is
in test_agent_backend.py."""

import json
import re

import pytest
from labs import HELLO, git

ALL = ["test_make", "test_binary", "test_greets", "test_echoes[a]", "test_echoes[b c]", "test_echoes[d-\\u0451]", "test_configured"]

# A tests repository that says what it was called with, in a report of its own making.
ECHO = r'''
import sys
from xml.sax.saxutils import quoteattr
report = sys.argv[sys.argv.index("--junit-xml") + 1]
with open(report, "w", encoding="utf-8") as stream:
    stream.write('<testsuites><testsuite name="pytest" errors="0" failures="1" skipped="0" tests="1" time="0.5">'
                 '<testcase classname="tests.echo" name="test_words" time="0.25"><failure message="m">%s</failure></testcase></testsuite></testsuites>'
                 % quoteattr(repr(sys.argv[1:]))[1:-1])
sys.exit(1)
'''


def words_of(result):
    """What ECHO was called with."""
    return eval(result.by_name["test_words"]["description"].strip().splitlines()[-1].replace("&quot;", '"'), {})  # noqa: S307 (ours)


# --- both forms, to the letter


def test_form_a(world):
    graded = world.grade("good", laboratoryNumber=1)
    assert set(graded.body) == {"testResults", "attempt"} and graded.body["attempt"] == 21
    assert set(graded.result) == {"isPassed", "isError", "errorDetails", "duration", "testCases"}
    assert (graded.passed, graded.error, graded.details) == (True, False, "")
    assert re.fullmatch(r"\d+\.\d{3}", graded.result["duration"])
    assert [case["name"].partition("::")[2] for case in graded.cases] == ALL
    for case in graded.cases:
        assert set(case) == {"name", "isPassed", "description", "duration", "memoryUsed"}
        assert re.fullmatch(r"lab1\.test_(build|run)::test_.+", case["name"])
        assert case["isPassed"] is True and case["description"] == ""
        assert re.fullmatch(r"\d+\.\d{3}", case["duration"])
        assert isinstance(case["memoryUsed"], int) and 1000 < case["memoryUsed"] < 2 << 20  # KiB


def test_form_b(world):
    graded = world.grade("wrong", form="b", laboratoryNumber=1)
    assert set(graded.body) == {"id", "isPassed", "isError", "errorDetails", "duration", "testResults"}
    assert (graded.passed, graded.error, graded.details) == (False, False, "")
    assert isinstance(graded.body["duration"], int) and graded.body["duration"] > 0
    assert graded.verdicts["test_greets"] is False and graded.verdicts["test_make"] is True
    assert "good bye" in graded.by_name["test_greets"]["description"]
    assert all(isinstance(case["duration"], int) and isinstance(case["memoryUsed"], int) for case in graded.cases)


def test_a_skipped_case_in_form_a_is_passed_and_says_nothing(world):
    graded = world.grade("good", laboratoryNumber=2)
    assert graded.verdicts == {"test_refuses": True, "test_later": True, "test_known": True}
    assert [case["description"] for case in graded.cases] == ["", "", ""]
    assert graded.passed is True


def test_a_skipped_case_in_form_b_is_not_passed_and_says_why(world):
    graded = world.grade("good", form="b", laboratoryNumber=2)
    assert graded.verdicts == {"test_refuses": True, "test_later": False, "test_known": False}
    assert (graded.by_name["test_later"]["description"], graded.by_name["test_known"]["description"]) == ("not this term", "known")
    assert graded.passed is True  # the student's work is not to blame


def test_strict_skips_count_against_the_student(world):
    assert world.grade("good", "--strict-skips", form="b", laboratoryNumber=2).passed is False


@pytest.mark.parametrize("wire", ["a", "b"])
def test_a_form_can_be_forced(world, wire):
    world.start_backend()
    world.start("--wire", wire)
    key = world.task("good", form="b" if wire == "a" else "a", laboratoryNumber=1)
    [post] = world.backend.wait(lambda state: [one for one in state["record"] if one["what"] == "post" and one["status"]])[:1]
    assert ("testCases" in json.dumps(json.loads(post["body"]))) == (wire == "a"), key


# --- what the tests' command is given


def test_the_command_line_of_the_tests(world):
    world.tests = world.labs.tests(**{"run_tests.py": ECHO})
    names = ["test_greets", "TestX", "test_y[b-1]", "test_words"]
    graded = world.grade("good", "--proxy-timeout", "7", laboratoryNumber=[1, 2], connectedTests=names)
    # ECHO's report has only the last of the names: an error that lists the others. What it was called with is in the same result.
    assert graded.error is True
    assert [name in graded.details for name in names] == [True, True, True, False]
    words = words_of(graded)
    assert words[0] == "--src" and words[2] == "--junit-xml"
    assert words[words.index("-k") + 1] == " or ".join(names)
    at = words.index("--lab-num")
    assert words[at + 1 : at + 3] == ["1", "2"]
    assert float(words[words.index("--proxy_timeout") + 1]) == 7


def test_what_a_task_does_not_say_is_not_given(world):
    world.tests = world.labs.tests(**{"run_tests.py": ECHO})
    words = words_of(world.grade("good", "--proxy-timeout", "0"))
    assert not {"-k", "--lab-num", "--proxy_timeout"} & set(words)


def test_a_tests_command_of_ones_own(world):
    world.tests = world.labs.tests(**{"run_tests.py": None, "check.py": ECHO})
    assert words_of(world.grade("good", "--tests-command", "python check.py --mine"))[0] == "--mine"


def test_connected_tests_alone_are_run(world):
    graded = world.grade("good", connectedTests=["test_greets", "test_make"])
    assert graded.verdicts == {"test_greets": True, "test_make": True} and graded.passed is True


def test_every_laboratory_where_none_is_named(world):
    assert {case["name"].partition(".")[0] for case in world.grade("good").cases} == {"lab1", "lab2"}


# --- what the old runner got wrong


def test_a_branch_that_is_missing_is_an_error_with_gits_message(world):
    graded = world.grade("good", branch="no-such-branch")
    assert (graded.passed, graded.error, graded.cases) == (False, True, [])
    assert "no-such-branch" in graded.details and len(graded.details) <= 255


def test_a_repository_that_is_missing_is_an_error_with_gits_message(world):
    world.start_backend()
    world.start()
    graded = world.backend.wait_for(world.backend.task(world.git.url("nobody.git")))
    assert (graded.passed, graded.error, graded.cases) == (False, True, [])
    assert "not found" in graded.details or "nobody.git" in graded.details


def test_no_report_is_an_error_and_never_another_students(world):
    world.tests = world.labs.tests()
    assert world.grade("good", laboratoryNumber=1).passed is True
    world.tests.commit({"run_tests.py": "print('nothing to see')\n"}, "no report")
    graded = world.grade("good", laboratoryNumber=1)
    assert (graded.passed, graded.error, graded.cases) == (False, True, [])
    world.tests.commit({"run_tests.py": "raise SystemExit('the suite is broken')\n"}, "worse")
    assert world.grade("good").error is True


def test_names_that_match_nothing_are_an_error_that_lists_them(world):
    graded = world.grade("good", connectedTests=["test_greets", "test_no_such", "test_nor_this"])
    assert graded.error is True and graded.passed is False
    assert "test_no_such" in graded.details and "test_nor_this" in graded.details and "test_greets" not in graded.details
    assert graded.verdicts.get("test_greets") is True  # what did run is still told
    nothing = world.grade("good", connectedTests=["test_no_such"])
    assert (nothing.error, nothing.passed, nothing.cases) == (True, False, []) and "test_no_such" in nothing.details


def test_an_error_of_a_fixture_is_a_failed_case_with_its_text(world):
    graded = world.grade("wrong", laboratoryNumber=1)
    case = graded.by_name["test_configured"]  # this lab has no proxy.conf
    assert case["isPassed"] is False and "proxy.conf is missing: no fixture" in case["description"]
    assert graded.passed is False and graded.error is False


def test_output_of_200_kib_is_drained_and_kept(world):
    graded = world.grade("chatty", connectedTests=["test_make"])
    assert graded.passed is True
    assert world.artifact("output.txt").count(b"eighty times a thousand") >= 2500


@pytest.mark.parametrize("name", ["digit.git", "plain", "dots.in.it.git"])
def test_names_of_repositories_are_not_cut(world, name):
    world.start_backend()
    world.start()
    url = world.lab(name=name)
    assert world.backend.wait_for(world.backend.task(url, laboratoryNumber=1)).verdicts["test_make"] is True
    assert world.backend.wait_for(world.backend.task(url + "/", laboratoryNumber=1)).verdicts["test_make"] is True


def test_a_repository_without_a_slash_is_an_error_of_its_task(world):
    world.start_backend()
    world.start()
    graded = world.backend.wait_for(world.backend.task("digit.git"))
    assert graded.error is True and "digit.git" in graded.details
    assert world.grade("good", laboratoryNumber=1).passed is True


def test_error_details_are_cut_to_what_a_backend_takes(world):
    graded = world.grade("good", branch="я" * 190)
    assert graded.error is True and len(graded.details) <= 255
    names = [f"test_that_is_nowhere_{number}" for number in range(50)]
    graded = world.grade("good", connectedTests=names)
    assert 200 < len(graded.details) <= 255 and graded.details.endswith(("…", "...")) and names[0] in graded.details
    assert all(one["status"] == 200 for one in world.backend.requests("post"))


def test_nul_is_removed_from_every_text(world):
    world.labs.lab("nuls")
    graded = world.grade("nuls", connectedTests=["test_greets"])
    assert graded.verdicts == {"test_greets": False} and "\0" not in json.dumps(graded.body)
    assert world.grade("good", branch="ma\0in").error is True
    assert world.grade("good", connectedTests=["test\0greets"]) is not None
    assert all(one["status"] == 200 for one in world.backend.requests("post"))


BAD_TASKS = {
    "no-url": {"attempt": 901, "branch": "main"},
    "url-is-a-number": {"attempt": 902, "repositoryUrl": 17, "branch": "main"},
    "branch-is-null": {"attempt": 903, "repositoryUrl": "http://127.0.0.1:1/x.git", "branch": None},
    "laboratory-is-a-word": {"attempt": 904, "repositoryUrl": "http://127.0.0.1:1/x.git", "branch": "main", "laboratoryNumber": "first"},
    "names-are-numbers": {"attempt": 905, "repositoryUrl": "http://127.0.0.1:1/x.git", "branch": "main", "connectedTests": [1, None]},
    "nobody-listens": {"attempt": 906, "repositoryUrl": "http://127.0.0.1:1/x.git", "branch": "main"},
    "empty": {"attempt": 907, "repositoryUrl": "", "branch": ""},
}


def test_a_bad_task_is_an_error_of_its_own_and_the_agent_goes_on(world):
    world.start_backend()
    for task in BAD_TASKS.values():
        world.backend.raw_task(task, known=f"attempt {task['attempt']}")
    for hopeless in ([1, 2], {"attempt": "twenty"}, {"attempt": 1.5, "repositoryUrl": "x", "branch": "y"}):
        world.backend.raw_task(hopeless)
    assert world.grade("good", laboratoryNumber=1).passed is True
    for task in BAD_TASKS.values():
        key = f"attempt {task['attempt']}"
        graded = world.backend.wait_for(key)
        assert (graded.error, graded.passed) == (True, False) and graded.details, key
    assert world.agents[0].process.poll() is None


def test_the_overall_timeout_has_its_text_and_the_cases_that_did_finish(world):
    graded = world.grade("endless", "--timeout", "4", "--proxy-timeout", "100", laboratoryNumber=1)
    assert (graded.error, graded.passed) == (True, False)
    assert graded.details.startswith("Timeout, tests run ran more than:4 seconds")
    assert graded.verdicts.get("test_make") is True and graded.verdicts.get("test_binary") is True


def test_a_program_that_does_not_end_is_a_failed_case_where_the_suite_has_a_limit(world):
    graded = world.grade("endless", "--proxy-timeout", "1", laboratoryNumber=1, connectedTests=["test_greets"])
    assert (graded.error, graded.passed) == (False, False)
    assert "Proxy not finished in 1" in graded.by_name["test_greets"]["description"]


def test_what_does_not_compile(world):
    graded = world.grade("broken", laboratoryNumber=1)
    assert (graded.error, graded.passed) == (False, False)
    assert graded.verdicts["test_make"] is False and graded.verdicts["test_greets"] is False
    assert b"undeclared_name" in world.artifact("output.txt")


# --- repositories


def test_a_branch_with_slashes(world):
    world.labs.lab("good").commit({"proxy.c": HELLO.replace('"hello"', '"branched"')}, branch="feature/lab-1/x")
    graded = world.grade("good", branch="feature/lab-1/x", laboratoryNumber=1, connectedTests=["test_greets"])
    assert graded.verdicts == {"test_greets": False} and "branched" in graded.by_name["test_greets"]["description"]


def test_a_later_commit_is_seen(world):
    lab = world.labs.lab("wrong")
    assert world.grade("wrong", connectedTests=["test_greets"]).passed is False
    lab.commit({"proxy.c": HELLO}, "mended")
    assert world.grade("wrong", connectedTests=["test_greets"]).passed is True


def test_the_tests_repository_is_never_stale(world):
    assert world.grade("good", connectedTests=["test_greets"]).passed is True
    world.tests.commit({"tests/lab1/test_run.py": "def test_greets():\n    assert 0, 'harder now'\n"}, "harder")
    graded = world.grade("good", connectedTests=["test_greets"])
    assert graded.passed is False and "harder now" in graded.by_name["test_greets"]["description"]


def test_the_tests_repository_at_a_revision(world):
    world.tests = world.labs.tests()
    easy = world.tests.commit({"tests/lab1/test_run.py": "def test_greets():\n    pass\n"}, "easy")
    world.tests.commit({"tests/lab1/test_run.py": "def test_greets():\n    assert 0\n"}, "hard")
    world.start_backend()
    world.start("--tests-repo", f"{world.git.url(world.tests)}@{easy}", tests=False)
    assert world.grade("wrong", connectedTests=["test_greets"]).passed is True


def test_a_server_that_only_has_files_cannot_clone_shallow_and_is_cloned_whole(world):
    world.start_backend()
    world.start()
    key = world.backend.task(world.git.url(world.labs.lab("good"), "dumb/"), laboratoryNumber=1)
    assert world.backend.wait_for(key).passed is True


def test_submodules_come_along(world):
    part = world.labs.repository("part.git", {"proxy.c": HELLO})
    lab = world.labs.repository("whole.git", {"Makefile": "all: proxy\nproxy:\n\tcc -o proxy part/proxy.c\nclean:\n\trm -f proxy\n"})
    commit = part.commit()
    lab.commit({".gitmodules": f'[submodule "part"]\n\tpath = part\n\turl = {world.git.url(part)}\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},part", cwd=lab.work)
    git("commit", "--quiet", "--message", "part", cwd=lab.work)
    git("push", "--quiet", "origin", "main", cwd=lab.work)
    assert world.grade("whole", connectedTests=["test_greets"]).passed is True


def test_an_url_of_a_file_only_where_it_is_allowed(world):
    lab = world.labs.lab("good")
    world.start_backend()
    world.start()
    for url in (lab.file_url, str(lab.bare)):
        graded = world.backend.wait_for(world.backend.task(url))
        assert (graded.error, graded.cases) == (True, [])
    world.agents[0].stop()
    world.start("--allow-file-urls")
    assert world.backend.wait_for(world.backend.task(lab.file_url, laboratoryNumber=1)).passed is True


# --- tests in cells of their own


def test_isolation_of_tests_grades_the_same(world):
    together = world.grade("good", laboratoryNumber=1)
    world.agents[0].stop()
    apart = world.grade("good", "--isolation", "test", laboratoryNumber=1)
    assert apart.verdicts == together.verdicts and apart.passed is True
    assert [case["name"] for case in apart.cases] == [case["name"] for case in together.cases]
    # One number for all in a cell; each its own in cells of their own: that which compiles needs most.
    assert len({case["memoryUsed"] for case in together.cases}) == 1
    used = {case["name"].partition("::")[2]: case["memoryUsed"] for case in apart.cases}
    assert 0 < used["test_configured"] < used["test_make"]


# --- several tasks


def test_several_tasks_at_a_time_each_get_their_own_grade(world):
    world.start_backend()
    kinds = ["good", "wrong", "broken", "good", "wrong", "good"]
    keys = [world.task(kind, form="ab"[number % 2], laboratoryNumber=1) for number, kind in enumerate(kinds)]
    world.start("--concurrent", "3")
    world.backend.wait_for(*keys)
    for key, kind in zip(keys, kinds, strict=True):
        graded = world.backend.result(key)
        assert graded.verdicts["test_make"] is (kind != "broken") and graded.verdicts["test_greets"] is (kind == "good"), (key, graded)
        assert len(world.backend.posts(key)) == 1
