"""Plugins that people use, in forks of an interpreter that has all of them at once; what needs none, in those of any."""
import subprocess

import pytest


@pytest.fixture
def plugged(project, python_with_plugins):
    project.python = python_with_plugins
    return project


def needs(project, *modules):
    """$CASEMATE_WARM_PLUGINS may have fewer."""
    for module in modules:
        if subprocess.run([project.python, "-c", "import " + module], stderr=subprocess.DEVNULL, check=False).returncode:
            pytest.skip(f"{project.python} has no {module}")


def test_xdist_is_told_to_stay_out(plugged):
    needs(plugged, "xdist")
    plugged.write("test_it.py", "import os\ndef test_x(worker_id): assert worker_id == 'master' and 'PYTEST_XDIST_WORKER' not in os.environ\n")
    for options in (("-n", "2"), ("-n", "auto", "--dist=loadfile"), ("-f",)):
        base = plugged.base(*options)
        assert "xdist" in base.begun["notes"][0]
        assert base.module("test_it.py").run("test_it.py::test_x").outcomes()["call"] == "passed"


def test_timeouts_of_pytest_timeout(plugged):
    needs(plugged, "pytest_timeout")
    plugged.write("test_it.py", """
        import time, pytest
        @pytest.mark.timeout(0.2)
        def test_signal(): time.sleep(20)
        @pytest.mark.timeout(0.2, method="thread")
        def test_thread(): time.sleep(20)
    """)
    parent = plugged.module()
    result = parent.run("test_it.py::test_signal")
    assert result.outcomes()["call"] == "failed" and "Timeout" in result.reports[1]["message"]
    result = parent.run("test_it.py::test_thread")
    assert result.status == 1 << 8 and "Timeout" in result.out + result.err


def test_reruns_of_pytest_rerunfailures(plugged):
    needs(plugged, "pytest_rerunfailures")
    plugged.write("test_it.py", """
        import pytest
        count = []
        @pytest.mark.flaky(reruns=2)
        def test_flaky():
            count.append(1)
            assert len(count) == 2
    """)
    for options in ((), ("--reruns", "1")):
        parent = plugged.module("test_it.py", *options)
        assert parent.ready["threads"] == []
        result = parent.run("test_it.py::test_flaky")
        assert [r["outcome"] for r in result.reports if r["when"] == "call"] == ["rerun", "passed"]
        assert result.lines[-1] == {"done": True}


def test_pytest_randomly_seeds_each_fork_as_it_does(plugged):
    needs(plugged, "pytest_randomly")
    plugged.write("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\n")
    plugged.write("test_it.py", "import random\n" + "".join(f"def test_{n}(): print(random.random())\n" for n in range(5)))
    parent = plugged.module()
    one, other = parent.run("test_it.py::test_1"), parent.run("test_it.py::test_1")
    assert one.section("Captured stdout call") == other.section("Captured stdout call") != ""


def test_hypothesis(plugged):
    needs(plugged, "hypothesis")
    plugged.write("test_it.py", """
        from hypothesis import given, strategies
        @given(strategies.integers())
        def test_fine(x): assert x + 0 == x
        @given(strategies.integers())
        def test_falsified(x): assert x < 100
    """)
    parent = plugged.module()
    assert parent.run("test_it.py::test_fine").outcomes()["call"] == "passed"
    result = parent.run("test_it.py::test_falsified")
    assert result.outcomes()["call"] == "failed" and "x=100" in result.text() + str(result.lines)


def test_asyncio_anyio_and_mock(plugged):
    needs(plugged, "pytest_asyncio", "pytest_mock", "anyio")
    plugged.write("test_it.py", """
        import asyncio, pytest
        @pytest.mark.asyncio
        async def test_asyncio(): await asyncio.sleep(0)
        @pytest.mark.anyio
        async def test_anyio(anyio_backend_name): await asyncio.sleep(0)
        def test_mock(mocker):
            mocker.patch("os.getcwd", return_value="x")
            import os
            assert os.getcwd() == "x"
    """)
    base = plugged.base("-k", "not trio")
    parent = base.module("test_it.py")
    for line in base.collect():
        if "item" in line:
            assert parent.run(line["item"]).outcomes()["call"] == "passed", line


def test_subtests_fixture(project):
    project.write("test_it.py", """
        def test_it(subtests):
            for i in range(3):
                with subtests.test(msg="part", i=i): assert i != 1
    """)
    result = project.module().run("test_it.py::test_it")
    if "fixture 'subtests' not found" in result.text("setup"):
        pytest.skip("this pytest has no subtests")
    assert [r["subtest"] for r in result.reports if r.get("subtest") and r["outcome"] == "failed"] == ["[part] (i=1)"]


def test_sugar_finds_a_terminal_reporter(plugged):
    needs(plugged, "pytest_sugar")
    plugged.write("test_it.py", "def test_x(request): assert request.config.pluginmanager.getplugin('terminalreporter')\n")
    assert plugged.module("test_it.py", "--force-sugar").run("test_it.py::test_x").outcomes()["call"] == "passed"


def test_the_terminal_reporter_is_there_for_who_asks(project):
    project.write("test_it.py", "def test_x(request): assert request.config.pluginmanager.getplugin('terminalreporter').config is request.config\n")
    assert project.module().run("test_it.py::test_x").outcomes()["call"] == "passed"


def test_pytests_own_pytester_runs_inside(project):
    project.write("test_it.py", """
        pytest_plugins = "pytester"
        def test_inner(pytester):
            pytester.makepyfile("def test_a(): pass\\ndef test_b(): assert 0")
            pytester.runpytest_inprocess("-p", "no:randomly").assert_outcomes(passed=1, failed=1)
    """)
    project.write("conftest.py", "pytest_plugins = 'pytester'\n")
    result = project.module().run("test_it.py::test_inner")
    assert result.outcomes()["call"] == "passed", result.text()
    assert len(result.reports) == 3
