"""casemate on BuildGrid with two workers: one is killed, one is cut off, the scheduler starts again; all verdicts are right. ./dev test buildgrid."""

import json
import os
import time

import pytest
from cells import Cells
from known_suite import KnownSuite


@pytest.fixture
def run(buildgrid, tmp_path, casemate_directories):
    (tmp_path / "work").mkdir()
    return Cells(tmp_path / "work", dict(os.environ) | casemate_directories | {"CASEMATE_REMOTE": buildgrid.address})


@pytest.fixture
def healthy(buildgrid, run):
    """Two workers again at the end, for the next test."""
    yield buildgrid
    for _ in range(60):
        several = [run.start("--json", "--", "sleep", "0.5") for _ in range(2)]
        if {json.loads(one.communicate(timeout=120)[0])["remote"]["worker"] for one in several} == {"worker1", "worker2"}:
            return
    raise AssertionError("a worker does not come back")


def test_jobs_and_their_worker(run, healthy):
    made, status = run.object("--", "sh", "-c", "echo out; exit 3")
    assert (status, made["outcome"], made["stdout"]) == (3, "exited 3", "out\n")
    assert made["remote"]["worker"] in ("worker1", "worker2")


def several(run, seconds):
    """Jobs at the same time, each with a status and an output of its own."""
    return [run.start("--json", "--", "sh", "-c", f"sleep {seconds}; echo {number}; exit {number}") for number in range(4)]


def all_right(processes):
    for number, process in enumerate(processes):
        out, err = process.communicate(timeout=200)
        made = json.loads(out)
        assert (process.returncode, made["outcome"], made["stdout"]) == (number, f"exited {number}", f"{number}\n"), err


@pytest.mark.parametrize(("how", "after"), [("kill", "hire"), ("cut", "mend")])
def test_a_worker_is_lost_while_jobs_run(run, healthy, how, after):
    processes = several(run, 2)
    time.sleep(2)
    getattr(healthy, how)(1)
    all_right(processes)
    getattr(healthy, after)(1)


def test_the_scheduler_starts_again_while_jobs_run(run, healthy):
    processes = several(run, 2)
    time.sleep(2)
    healthy.stop()
    healthy.start()
    all_right(processes)


@pytest.fixture
def known(tmp_path, run):
    return KnownSuite(tmp_path / "suite", run.environment, pause=0.3)


@pytest.mark.parametrize(("how", "after"), [("kill", "hire"), ("cut", "mend")])
def test_a_worker_is_lost_while_tests_run(known, healthy, how, after):
    process = known.start("--slots=0", "--remote-slots=2")
    time.sleep(3)
    getattr(healthy, how)(1)
    known.finish(process)
    getattr(healthy, after)(1)


def test_the_scheduler_starts_again_while_tests_run(known, healthy):
    process = known.start("--slots=0", "--remote-slots=2")
    time.sleep(3)
    healthy.stop()
    healthy.start()
    known.finish(process)
