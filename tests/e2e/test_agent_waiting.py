"""`casemate agent` where a task fails for a reason that is no student's: it waits, and nothing is posted until it was graded."""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import time
import zipfile

import pytest
from agents import FIRST, fetch, wait_until, workers
from labs import GitServer, requirements
from registry import free_port

pytestmark = pytest.mark.once


def posted(world, key):
    return world.backend.posts(key)


@contextlib.contextmanager
def server_of_tests(world, port=0):
    """The tests have a server of their own, which may go and come back."""
    if world.tests is None:
        world.tests = world.labs.tests()
    server = GitServer(world.labs.root, port)
    try:
        yield server
    finally:
        server.close()


def wheel(directory, name):
    """A package with nothing in it."""
    base = f"{name}-1.0"
    with zipfile.ZipFile(pathlib.Path(directory) / f"{base}-py3-none-any.whl", "w") as made:
        made.writestr(f"{name}.py", "")
        made.writestr(f"{base}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        made.writestr(f"{base}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: casemate\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{base}.dist-info/RECORD", f"{name}.py,,\n{base}.dist-info/METADATA,,\n{base}.dist-info/WHEEL,,\n{base}.dist-info/RECORD,,\n")


# --- the tests' repository


def test_tests_whose_server_goes_away_and_comes_back(world):
    world.start_backend()
    metrics = free_port()
    with server_of_tests(world) as server:
        port = server.server.server_port
        url = server.url(world.tests)
        agent = world.start("--tests-repo", url, "--logger-level", "info", "--metrics", metrics, tests=False)
        world.backend.wait(lambda state: state["record"])
    key, later = world.task("good", **FIRST), world.task("wrong", form="b", **FIRST)
    agent.says("can't be had")
    wait_until(lambda: "casemate_agent_hindered 1\n" in fetch(f"http://127.0.0.1:{metrics}/metrics"), lambda: agent.said)
    assert 'casemate_agent_tasks_held_total{fault="tests"} 0' not in fetch(f"http://127.0.0.1:{metrics}/metrics")
    polls = len(world.backend.requests("get"))
    agent.send(signal.SIGUSR1)
    agent.says("from being run: the tests repository can't be had")
    time.sleep(3)
    assert polls == len(world.backend.requests("get")), "asked for more while nothing can be run"
    assert not posted(world, key) and not posted(world, later)
    assert agent.out.count(" ERROR ") == 1, agent.out
    with server_of_tests(world, port):
        assert world.backend.wait_for(key).passed is True
        assert world.backend.wait_for(later).passed is False
    agent.says("tasks are run again, after ")
    assert len(posted(world, key)) == 1


def test_a_tests_server_that_boots_beside_the_agent(world):
    world.start_backend()
    key = world.task("good", **FIRST)
    with server_of_tests(world) as server:
        port = server.server.server_port
        url = server.url(world.tests)
    agent = world.start("--tests-repo", url, tests=False)
    agent.says("no task is taken: the tests repository can't be had: ")
    time.sleep(1)
    assert world.backend.requests("get") == []
    with server_of_tests(world, port):
        assert world.backend.wait_for(key).passed is True
    assert agent.stop() == 0


@pytest.mark.parametrize("repository", ["gone.git", "tests.git@no-such-branch", "tests.git@" + "1" * 40])
def test_without_tests_it_does_not_start(world, repository):
    world.start_backend()
    world.task("good", **FIRST)
    world.tests = world.labs.tests()
    done = world.run("--tests-repo", world.git.url(repository), tests=False)
    assert done.returncode == 2
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1 and "--tests-repo" in lines[0] and "the tests repository can't be had" in lines[0], lines
    assert world.backend.requests("get") == []
    assert not list(world.state.rglob("asking"))


def test_a_path_as_tests_names_what_allows_it(world):
    world.tests = world.labs.tests()
    done = world.run("--tests-repo", world.labs.root / "tests.git", tests=False)
    assert done.returncode == 2 and "--allow-file-urls" in done.stdout


def test_a_clone_that_fails_while_the_tests_are_away_is_not_judged(world):
    """It may be this machine's network."""
    world.start_backend()
    with server_of_tests(world) as server:
        port = server.server.server_port
        url = server.url(world.tests)
        agent = world.start("--tests-repo", url, tests=False)
        world.backend.wait(lambda state: state["record"])
    key = world.backend.task("http://127.0.0.1:1/away.git")
    agent.says("can't be had")
    assert not posted(world, key)
    with server_of_tests(world, port):
        graded = world.backend.wait_for(key)
    assert graded.error is True and "127.0.0.1:1/away.git" in graded.details


# --- their environment


def test_an_index_that_has_not_the_requirement_yet(world, wheelhouse):
    world.start_backend()
    name = f"casemate_awaited_{os.getpid()}_{time.time_ns()}"
    world.tests = world.labs.tests(**{"requirements.txt": f"{requirements()}{name}==1.0\n"})
    house = world.directory / "house"
    house.mkdir()
    for one in wheelhouse.iterdir():
        (house / one.name).write_bytes(one.read_bytes())
    environment = {"PIP_FIND_LINKS": str(house)}
    key, later = world.task("good", **FIRST), world.task("good", form="b", **FIRST)
    once = world.run("--once", environment=environment)
    assert once.returncode == 1 and "waits (task 1): the tests' environment could not be made: " in once.stdout, once.stdout
    assert posted(world, key) == []
    # At its next start it waits, and so at the one after that.
    agent = world.start("--logger-level", "info", environment=environment)
    agent.says("waits (task ")  # whichever comes first: the other says the same words, at level debug
    assert agent.stop() == 0
    assert posted(world, key) == [] and posted(world, later) == []
    agent = world.start("--logger-level", "info", environment=environment)
    agent.says("waits (task ")
    wheel(house, name)
    assert world.backend.wait_for(key).passed is True
    assert world.backend.wait_for(later).passed is True
    assert agent.stop() == 0
    assert len(posted(world, key)) == 1 and len(posted(world, later)) == 1


def test_a_command_of_the_tests_that_is_not_there(world):
    world.start_backend()
    key = world.task("good", **FIRST)
    agent = world.start("--tests-command", "no-such-program")
    agent.says("no-such-program")
    assert agent.stop() == 0
    assert posted(world, key) == []
    world.start()
    assert world.backend.wait_for(key).passed is True


# --- this machine


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system that is small")
def test_a_cache_without_room(world):
    world.start_backend()
    small = world.directory / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", small], check=True)
    try:
        environment = {"CASEMATE_CACHE_DIR": str(small / "cache")}
        agent = world.start("--logger-level", "info", environment=environment)
        # Twice, for what the first one left to be made for later; and its worker takes room until it ends.
        assert world.grade("good", **FIRST).passed is True
        assert world.grade("good", **FIRST).passed is True
        wait_until(lambda: not workers(world), lambda: agent.said)
        fill = os.open(small / "fill", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(fill, b"x" * 65536)
        os.close(fill)
        keys = [world.task("good", **FIRST), world.task("good", form="b", **FIRST)]
        agent.says("waits (task ")
        time.sleep(4)
        assert [posted(world, key) for key in keys] == [[], []]
        (small / "fill").unlink()
        for key in keys:
            assert world.backend.wait_for(key).passed is True
            assert len(posted(world, key)) == 1
    finally:
        world.agents[-1].stop()
        subprocess.run(["umount", small], check=True)


def test_a_worker_that_is_killed_once_costs_nobody_anything(world):
    world.start_backend()
    key = world.task("endless", laboratoryNumber=1)
    agent = world.start("--proxy-timeout", "3", "--logger-level", "info")
    wait_until(lambda: workers(world), lambda: agent.said)
    os.kill(workers(world)[0], signal.SIGKILL)
    graded = world.backend.wait_for(key)
    assert graded.error is False and graded.verdicts["test_make"] is True and graded.verdicts["test_greets"] is False
    assert "SIGKILL" in agent.out and len(posted(world, key)) == 1


def test_a_task_whose_worker_is_killed_each_time_is_an_error_that_blames_no_student(world):
    world.start_backend()
    key = world.backend.task(world.git.url("hang/x.git"))
    agent = world.start("--logger-level", "info")
    killed = set()
    for _ in range(5):
        wait_until(lambda: set(workers(world)) - killed, lambda: agent.said)
        assert posted(world, key) == []
        for pid in workers(world):
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    graded = world.backend.wait_for(key)
    assert graded.error is True and "not the student's doing" in graded.details and "SIGKILL" in graded.details
    assert "tell whoever runs the grading" in graded.details
    assert world.grade("good", **FIRST).passed is True


def test_where_no_worker_can_be_started_the_task_waits(world):
    world.start_backend()
    agent = world.start("--concurrent", "20", "--logger-level", "info")
    world.backend.wait(lambda state: state["record"])
    had = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (40, had[1]))
    hanging = [world.backend.task(world.git.url("hang/x.git")) for _ in range(20)]
    agent.says("waits (task ")
    started = agent.out.count(" starts: ")
    assert 0 < started < 20
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, had)
    wait_until(lambda: agent.out.count(" starts: ") >= 20, lambda: agent.said)
    assert not any(posted(world, key) for key in hanging)
    agent.send(signal.SIGTERM)
    agent.stop()


def test_when_the_tests_are_back_one_slow_task_keeps_nobody(world):
    world.start_backend()
    with server_of_tests(world) as server:
        port = server.server.server_port
        url = server.url(world.tests)
        agent = world.start("--tests-repo", url, "--proxy-timeout", "500", "--logger-level", "info", tests=False)
        world.backend.wait(lambda state: state["record"])
    slow = world.task("endless", laboratoryNumber=1)
    agent.says("can't be had")
    key = world.task("good", **FIRST)
    with server_of_tests(world, port):
        assert world.backend.wait_for(key).passed is True
        assert posted(world, slow) == []
    agent.send(signal.SIGTERM)
    agent.stop()


# --- the limit of descriptors


def start_with_descriptors(world, limits, *words):
    command = world.command(*words)
    return subprocess.run(
        command, cwd=world.directory, env=world.environment, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
    )  # fmt: skip


def test_more_tasks_at_a_time_than_descriptors(world):
    world.start_backend()
    key = world.task("good", **FIRST)
    refused = start_with_descriptors(world, (128, 256), "--concurrent", "1000", "--once")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "2064 descriptors" in refused.stderr and "256 at most" in refused.stderr and "at most 96" in refused.stderr
    taken = start_with_descriptors(world, (128, 4096), "--concurrent", "1000", "--once")
    assert taken.returncode == 0, taken.stderr + taken.stdout
    assert world.backend.result(key).passed is True


@pytest.mark.parametrize("word", ["0.0001", "0.4ms"])
def test_a_time_that_is_none_is_refused(world, word):
    done = world.run("--timeout", word, timeout=30)
    assert done.returncode == 2 and "0.001" in done.stderr and len(done.stderr.splitlines()) == 1
