"""`casemate agent --isolation test`: each test of a task in a cell of its own, as far as the suite allows it."""

import json
import signal
import time

import pytest
from agents import below, processes, until_running, without_limits
from labs import CONFTEST, RUN_TESTS

APART = ("--isolation", "test")


def suite(world, tests, **more):
    """A tests repository with these tests in tests/lab1/test_run.py alone."""
    world.tests = world.labs.tests(**{"tests/lab1/test_build.py": None, "tests/lab2/test_more.py": None, "tests/lab1/test_run.py": tests} | more)
    return world.tests


def notes(world):
    """What the step `run` of the last task says."""
    [step] = [one for one in json.loads(world.artifact("steps.json"))["steps"] if one["name"] == "run"]
    return " ".join(without_limits(step["notes"]))


def test_memory_is_that_of_each_test(world):
    suite(world, "def test_small():\n    pass\n\ndef test_large():\n    assert len(bytearray(b'x') * (100 << 20))\n")
    graded = world.grade("good", *APART)
    assert graded.verdicts == {"test_small": True, "test_large": True} and graded.passed is True and notes(world) == ""
    small, large = (graded.by_name[name]["memoryUsed"] for name in ("test_small", "test_large"))
    assert 100 << 10 < large < 250 << 10 and 0 < small < 50 << 10


def test_each_test_has_a_project_of_its_own_and_nobody_writes_to_the_tests(world):
    one = "\ndef test_{}(project, request):\n    assert not (project / 'mark').exists()\n    (project / 'mark').write_text('x')\n    with pytest.raises(OSError): (request.config.rootpath / 'mark').write_text('x')\n"
    suite(world, "import pytest\n" + "".join(one.format(name) for name in "abc"))
    graded = world.grade("good", *APART)
    assert graded.verdicts == {"test_a": True, "test_b": True, "test_c": True}
    world.agents[0].stop()
    assert world.grade("good").verdicts == {"test_a": True, "test_b": False, "test_c": False}, "together they have one project"


def test_what_a_module_remembers_is_not_there_for_the_next_test(world):
    one = "\ndef test_{}():\n    assert not SEEN\n    SEEN.append(1)\n"
    suite(world, "SEEN = []\n" + "".join(one.format(name) for name in "abc"))
    assert set(world.grade("good", *APART).verdicts.values()) == {True}


def test_what_failures_say_is_bounded(world):
    suite(world, "import pytest\n\n@pytest.mark.parametrize('number', range(40))\ndef test_loud(number):\n    pytest.fail(('x' * 99 + '\\n') * 8000, pytrace=False)\n")
    graded = world.grade("good", *APART)
    assert len(graded.cases) == 40 and not any(graded.verdicts.values()) and graded.error is False
    assert len(world.artifact("report.xml")) < 10 << 20 and len(world.artifact("output.txt")) <= 1 << 20


def test_a_test_that_needs_what_another_left_fails(world):
    suite(world, "def test_a(project):\n    (project / 'mark').write_text('x')\n\ndef test_b(project):\n    assert (project / 'mark').exists()\n")
    assert world.grade("good", *APART).verdicts == {"test_a": True, "test_b": False}


def test_what_shares_a_cell_can_be_a_file(world):
    one = "def test_makes(project):\n    (project / 'mark').write_text('x')\n\ndef test_needs(project):\n    assert (project / 'mark').exists()\n"
    alone = "def test_{}(project):\n    assert not (project / 'mark').exists()\n"
    files = {f"tests/lab1/test_{name}.py": alone.format(name) for name in "abcyz"}
    suite(world, one, **files)
    graded = world.grade("good", "--isolation", "file", "--slots", "3")
    assert graded.passed is True
    assert list(graded.verdicts) == ["test_a", "test_b", "test_c", "test_makes", "test_needs", "test_y", "test_z"]
    assert graded.by_name["test_makes"]["memoryUsed"] == graded.by_name["test_needs"]["memoryUsed"] != graded.by_name["test_a"]["memoryUsed"]


@pytest.mark.parametrize("form", ["a", "b"])
def test_what_a_task_asks_for_is_what_runs(world, form):
    graded = world.grade("good", *APART, "--proxy-timeout", "7", form=form, laboratoryNumber=[1, 2], connectedTests=["test_greets", "test_later"])
    assert list(graded.verdicts) == ["test_greets", "test_later"]
    assert graded.verdicts == {"test_greets": True, "test_later": form == "a"}
    missing = world.grade("good", form=form, connectedTests=["test_greets", "test_no_such"])
    assert missing.error is True and "test_no_such" in missing.details and missing.verdicts == {"test_greets": True}
    nothing = world.grade("good", form=form, connectedTests=["test_no_such"])
    assert (nothing.error, nothing.cases) == (True, [])


def test_options_variables_and_modules_of_the_command_reach_the_tests(world):
    runner = RUN_TESTS.replace("import pytest\n", "import pytest\nos.environ['THE_TERM'] = 'autumn'\nsys.path.insert(0, 'more')\n")
    tests = (
        "import os, common, beside\n\ndef test_all(proxy_timeout):\n    assert proxy_timeout == 7\n    assert (os.environ['THE_TERM'], common.HERE, beside.HERE) == ('autumn', 1, 2)\n"
        "    assert 'PYTEST_PLUGINS' not in os.environ and '/work/asking' not in os.environ.get('PYTHONPATH', '')\n"
    )
    suite(world, tests, **{"run_tests.py": runner, "more/common.py": "HERE = 1\n", "beside.py": "HERE = 2\n"})
    graded = world.grade("good", *APART, "--proxy-timeout", "7")
    assert graded.passed is True and notes(world) == "", graded


def test_failures_and_skips_are_told_as_in_one_cell(world):
    together = world.grade("wrong", form="b")
    world.agents[0].stop()
    apart = world.grade("wrong", *APART, form="b")
    assert [(case["name"], case["isPassed"]) for case in apart.cases] == [(case["name"], case["isPassed"]) for case in together.cases]
    for case, other in zip(apart.cases, together.cases, strict=True):
        assert ("good bye" in case["description"]) == ("good bye" in other["description"]), case


def test_what_cannot_be_collected_is_an_error(world):
    suite(world, "import no_such_module\n")
    graded = world.grade("good", *APART)
    assert (graded.error, graded.passed) == (True, False) and "could not be collected" in graded.details and "no_such_module" in graded.details


@pytest.mark.parametrize(
    ("runner", "why"),
    [
        (RUN_TESTS.replace("os.chdir(here)", "import subprocess\nsubprocess.run(['make', '-C', options.src], check=True)\nos.chdir(here)"), "does not call pytest"),
        (RUN_TESTS.replace("sys.exit(pytest.main(words + paths))", "pytest.main(['--collect-only', *paths])\nsys.exit(pytest.main(words + paths))"), "more than once"),
        (RUN_TESTS.replace("words + paths", "words + paths, plugins=[object()]"), "plugins that are objects"),
        (RUN_TESTS.replace("words + paths", "words + paths + ['--setup-show']"), "--setup-show"),
    ],
    ids=["builds", "twice", "objects", "one-process"],
)
def test_a_suite_that_does_not_allow_it_shares_a_cell_and_a_note_says_why(world, runner, why):
    world.tests = world.labs.tests(**{"run_tests.py": runner})
    graded = world.grade("good", *APART, laboratoryNumber=1)
    assert graded.passed is True and graded.verdicts["test_greets"] is True
    assert why in notes(world) and "shared a cell" in notes(world)
    assert len({case["memoryUsed"] for case in graded.cases}) == 1


def test_a_test_that_ends_pytest_is_an_error_with_what_did_run(world):
    suite(world, "import pytest\n\ndef test_a():\n    pass\n\ndef test_b():\n    pytest.exit('enough')\n\ndef test_c():\n    pass\n")
    graded = world.grade("good", *APART, "--slots", "1")
    assert graded.error is True and "interrupted" in graded.details and graded.verdicts.get("test_a") is True


def test_where_pytest_does_not_begin_the_tests_share_a_cell(world):
    stubborn = CONFTEST + "\ndef pytest_sessionstart(session):\n    if not session.config.option.xmlpath:\n        pytest.exit('where is the report?', returncode=3)\n"
    world.tests = world.labs.tests(**{"conftest.py": stubborn})
    graded = world.grade("good", *APART, laboratoryNumber=1)
    assert graded.passed is True and "where is the report?" in notes(world)


def test_the_timeout_has_its_text_and_the_cases_that_did_finish(world):
    suite(world, "import time\n\ndef test_quick():\n    pass\n\ndef test_slow():\n    time.sleep(1000)\n")
    graded = world.grade("good", *APART, "--timeout", "5")
    assert (graded.error, graded.passed) == (True, False)
    assert graded.details.startswith("Timeout, tests run ran more than:5 seconds")
    assert graded.verdicts == {"test_quick": True}
    world.tests.commit({"tests/lab1/test_run.py": "def test_quick():\n    pass\n"}, "quick")
    assert world.grade("good").passed is True


def test_a_stop_signal_ends_it(world):
    world.start_backend()
    key = world.task("endless", form="b", laboratoryNumber=1)
    agent = world.start(*APART, "--proxy-timeout", "500", "--concurrent", "1")
    until_running(agent, "/proxy")
    before = time.monotonic()
    assert agent.stop(signal.SIGTERM, seconds=30) == 0
    graded = world.backend.result(key)
    assert graded.error is True and graded.details == "Stop signal received"
    assert time.monotonic() - before < 25


def test_killed_it_leaves_no_process(world):
    world.start_backend()
    world.task("endless", laboratoryNumber=1)
    agent = world.start(*APART, "--proxy-timeout", "500")
    until_running(agent, "/proxy")
    ours = set(below(agent.pid))
    agent.kill()
    deadline = time.monotonic() + 20
    while ours & set(processes()):
        assert time.monotonic() < deadline, {pid: line for pid, line in processes().items() if pid in ours}
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["bomb", "hungry", "parricide"])
def test_a_hostile_program_fails_its_test_alone(world, kind):
    suite(world, "def test_before():\n    pass\n\ndef test_greets(proxy):\n    assert proxy().stdout == 'hello\\n'\n\ndef test_after():\n    pass\n")
    graded = world.grade(kind, *APART, "--memory", "256M", "--pids", "64", "--proxy-timeout", "3", "--slots", "1")
    assert graded.verdicts == {"test_before": True, "test_greets": False, "test_after": True}, graded
    assert (graded.error, graded.passed) == (False, False)


@pytest.mark.parametrize("isolation", ["test", "file"])
def test_nobody_gets_into_the_process_that_tells(world, isolation):
    """Its fork's descriptors and memory; at import, when warm parents and other tests' forks can be seen, too. A program's own children it may debug."""
    tests = (
        "import os, pytest, subprocess\n\nSAID = ''\nif os.path.exists('/work/project/Makefile'):\n    subprocess.run(['make'], cwd='/work/project', check=True)\n"
        "    SAID = subprocess.run(['/work/project/proxy'], stdout=subprocess.PIPE, text=True).stdout\n"
        "\ndef test_greets(proxy):\n    pytest.fail(proxy().stdout, pytrace=False)\n\ndef test_at_import():\n    pytest.fail(SAID, pytrace=False)\n"
    )
    suite(world, tests)
    graded = world.grade("burglar", "--isolation", isolation)
    assert (graded.error, graded.passed) == (False, False), graded
    for name in ("test_greets", "test_at_import"):
        said = graded.by_name[name]["description"]
        assert "doors: 0 of " in said and "doors: 0 of 0" not in said and "all doors of its own" in said, said
    assert "shared a cell" not in notes(world)


def test_a_forger_finds_no_report(world):
    graded = world.grade("forger", *APART, laboratoryNumber=1)
    assert (graded.error, graded.passed) == (False, False)
    assert graded.verdicts["test_greets"] is False and graded.verdicts["test_make"] is True


def test_a_tests_repository_cannot_ask_casemate_for_more(world):
    settings = '[tool.casemate]\nhtml = "/var/tmp/casemate-made-this.html"\n[[tool.casemate.directives]]\nnetwork = "host"\nmounts = [{ type = "bind", mount_point = "/mine", local_path = "/etc" }]\n'
    tests = "import os\n\ndef test_cell():\n    assert not os.path.exists('/mine') and len(open('/proc/net/dev').readlines()) == 3\n"
    suite(world, tests, **{"pyproject.toml": settings})
    graded = world.grade("good", *APART)
    assert graded.passed is True, graded
    assert notes(world) == ""
