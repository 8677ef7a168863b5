"""`casemate agent` as the one who looks after workers: what it does when one dies, when it is stopped itself, and what it leaves for its next start."""

import contextlib
import os
import shutil
import signal
import subprocess

import pytest
from agents import FIRST, wait_until, workers
from py_test_runner import CASEMATE


def worker_runs(world):
    wait_until(lambda: workers(world), lambda: world.agents[-1].said)


def test_stopped_in_form_a_nothing_is_told_and_the_task_runs_again_at_the_next_start(world):
    world.start_backend()
    key = world.task("endless", laboratoryNumber=1)
    agent = world.start("--proxy-timeout", "500", "--logger-level", "info")
    worker_runs(world)
    assert agent.stop(signal.SIGTERM, seconds=40) == 0
    assert world.backend.posts(key) == []
    again = world.start("--proxy-timeout", "1", "--logger-level", "info")
    graded = world.backend.wait_for(key)
    assert graded.error is False and graded.passed is False
    again.says("attempt 21: the result is posted")
    assert "run again" in again.out and len(world.task_directories) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system that is small")
def test_a_disk_that_is_full_is_no_students_result(world):
    """What the outbox writes goes where its journal was before, so that it alone would not see it."""
    world.start_backend()
    small = world.directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        words = ("--state-dir", small / "state", "--concurrent", "1", "--logger-level", "info")
        agent = world.start(*words)
        for number in range(300, 500):
            world.backend.raw_task({"attempt": number}, known=f"attempt {number}")
        agent.says("attempt 499: the result is posted")
        fill = os.open(small / "fill", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(fill, b"x" * 4096)
        os.close(fill)
        key = world.task("good", **FIRST)
        assert agent.wait() == 3 and "no space left" in agent.said
        assert world.backend.posts(key) == []
        (small / "fill").unlink()
        world.start(*words)
        assert world.backend.wait_for(key).passed is True
    finally:
        world.agents[-1].stop()
        subprocess.run(["umount", small], check=True)


def test_a_log_that_was_moved_away_is_begun_again_on_sighup(world):
    log = world.directory / "agent.log"
    world.start_backend()
    world.grade("good", "--logger-output", log, "--logger-level", "info", **FIRST)
    wait_until(lambda: "attempt 21: the result is posted" in log.read_text(), log.read_text)
    log.rename(world.directory / "agent.log.1")
    world.agents[0].send(signal.SIGHUP)
    assert world.grade("good", **FIRST).passed is True
    wait_until(lambda: log.exists() and "attempt 22" in log.read_text(), lambda: "no new log")
    assert "attempt 22" not in (world.directory / "agent.log.1").read_text()


def test_a_program_that_is_not_whole_says_what_it_lacks(world):
    alone = world.directory / "alone"
    alone.mkdir()
    shutil.copy(CASEMATE, alone / "casemate")
    done = subprocess.run([alone / "casemate", "agent", "--version"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 125 and len(done.stderr.splitlines()) == 1 and "casemate-agent" in done.stderr
