"""casemate plan --executor docker: with a dockerd of the test's own, in namespaces of its own, without a network."""

import json
import pathlib
import signal
import tempfile

import pytest
from dockerd import Dockerd, NotHere
from images import image_layout
from py_test_runner import wait_for_process
from test_plan import Plans, by_id, plans  # noqa: F401

IMAGE = "casemate-test/debian:latest"


@pytest.fixture(scope="module")
def daemon():
    layout = image_layout("python3.11")
    with tempfile.TemporaryDirectory(prefix="casemate-plan-", dir="/var/tmp") as directory:
        try:
            daemon = Dockerd(pathlib.Path(directory))
        except NotHere as reason:
            pytest.skip(str(reason))
        try:
            daemon.load(layout, IMAGE)
            yield daemon
        finally:
            daemon.end()


@pytest.fixture
def docker_plans(plans, daemon):  # noqa: F811
    made = Plans(plans.directory, plans.environment | daemon.environment)
    yield made
    assert daemon.docker("ps", "-aq", "--filter", "label=casemate.engine") == ""


WORDS = ("--executor", "docker", "--image", IMAGE)


def test_the_same_results_as_in_cells(docker_plans):
    plan = docker_plans.cases(
        "cd /tmp && export A=kept && echo x > file",
        {"command_line": "pwd; echo $A; cat file; echo oops >&2; exit 3", "expected_exit_code": 3, "depends_on": ["c1"]},
        "sleep 60",
        execution={"timeout": 2},
    )
    inside = docker_plans.results(plan, *WORDS, status=1)
    outside = docker_plans.results(plan, "--image", image_layout("python3.11"), status=1)
    assert (inside["executor"], outside["executor"]) == ("docker", "native")

    def told(results):
        return [(case["status"], case["return_code"], case["outcome"], case["stdout"], case["stderr"], [change["path"] for change in case["changed_files"]]) for case in results["cases"]]

    assert told(inside) == told(outside)


def test_containers_go_and_the_kept_image_stays(docker_plans, daemon):
    script = docker_plans.directory / "install.sh"
    script.write_text("printf '#!/bin/sh\\necho greet 1\\n' > /usr/local/bin/greet; chmod +x /usr/local/bin/greet; date +%s%N > /when\n")
    plan = docker_plans.write(tool_name="greet", test_cases=[{"id": "c1", "name": "x", "description": "x", "command_line": "greet; cat /when"}])
    first = docker_plans.results(plan, *WORDS, "--install", f"script:{script}")
    second = docker_plans.results(plan, *WORDS, "--install", f"script:{script}")
    assert by_id(first)["c1"]["stdout"] == by_id(second)["c1"]["stdout"]


def test_limits_hold_in_containers(docker_plans):
    plan = docker_plans.cases("head -c 200m /dev/zero | tail", "echo next", execution={"use_docker": True, "docker_image": IMAGE})
    results = docker_plans.results(plan, "--memory", "64m", status=1)
    assert results["executor"] == "docker"
    cases = by_id(results)
    assert cases["c1"]["status"] in ("error", "failed")
    assert cases["c2"]["status"] == "passed"


def test_a_killed_run_goes_on_and_its_container_goes(docker_plans):
    plan = docker_plans.cases("echo one", "sleep 4716; true", "echo three")
    process = docker_plans.start("run", plan, *WORDS)
    wait_for_process("4716")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    results = docker_plans.results(plan, *WORDS, "--resume", "--case", "c1", "--case", "c3")
    assert [case["status"] for case in results["cases"]][::2] == ["passed", "passed"]
    assert any("goes on" in note for note in results["notes"])


def test_an_image_that_is_missing(docker_plans):
    plan = docker_plans.cases("true")
    done = docker_plans("run", plan, "--executor", "docker", "--image", "casemate-test/none:latest", "--pull", "never")
    assert done.returncode == 125
    assert "casemate-test/none" in done.err


def test_without_a_daemon(plans):  # noqa: F811
    plans.environment["DOCKER_HOST"] = f"unix://{plans.directory}/nobody"
    plan = plans.cases("true")
    done = plans("run", plan, "--executor", "docker", "--image", "x", "--json", timeout=60)
    assert done.returncode == 125
    results = json.loads(done.out)
    assert results["cases"][0]["status"] == "not_run"
    assert "docker" in results["problem"].lower()


def test_a_daemon_that_dies_in_the_middle(plans, daemon):  # noqa: F811
    """The last test: the daemon is gone after it."""
    made = Plans(plans.directory, plans.environment | daemon.environment)
    plan = made.cases("echo one", "sleep 4717; true", "echo three")
    process = made.start("run", plan, *WORDS, "--json")
    wait_for_process("4717")
    daemon.process.kill()
    out, _ = process.communicate(timeout=120)
    results = json.loads(out)
    assert process.returncode == 125
    cases = by_id(results)
    assert cases["c1"]["status"] == "passed"
    assert cases["c2"]["status"] == cases["c3"]["status"] == "not_run"
    assert "docker daemon" in cases["c2"]["error_message"] and "docker daemon" in results["problem"]
    again = json.loads(made("run", plan, "--image", image_layout("python3.11"), "--json", "--resume", "--case", "c1").out)
    assert any("1 of its cases had ended" in note for note in again["notes"])
