"""`casemate agent` as a program: its options, how it stops, what it says, counts and keeps."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest
from agents import FIRST, below, fetch, log_lines, processes, until_running
from py_test_runner import CASEMATE, gone
from registry import free_port

#: Every flag of ostest-runner, with a value that is not its default.
FLAGS = {
    "--concurrent": "3",
    "--check-interval": "0.2",
    "--check-proc-interval": "0.2",
    "--timeout": "500",
    "--proxy-timeout": "9",
    "--get-api": "/api/task/available",
    "--post-api": "/api/task/result",
    "--login-api": "/api/v1/login",
    "--token-refresh-api": "/api/v1/auth/refresh",
    "--refresh-time": "50",
    "--login": "dora_explorer",
    "--password": "dora_explorer",
    "--logger-level": "info",
    "--logger-output": "agent.log",
}


# --- the command line


def test_every_flag_of_ostest_runner(world):
    world.start_backend(auth=True)
    key = world.task("good", form="b", **FIRST)
    world.start("--auth", *(word for pair in FLAGS.items() for word in pair))
    assert world.backend.wait_for(key).passed is True
    assert (world.directory / "agent.log").read_text()


def test_help_names_every_flag_and_its_default():
    done = subprocess.run([CASEMATE, "agent", "--help"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and done.stderr == ""
    for flag in [*FLAGS, "--mock", "--auth", "--backend-url", "--tests-repo", "--tests-command", "--image", "--once", "--json-log", "--metrics", "--wire"]:
        assert flag in done.stdout
    for default in ("http://localhost:5000", "/api/task/available", "/api/v1/auth/refresh", "600", "error"):
        assert default in done.stdout


def test_the_name_of_the_runner_whose_place_it_takes(world):
    world.start_backend()
    key = world.task("good", **FIRST)
    world.start(program=CASEMATE.parent / "ostest-runner", command=())
    assert world.backend.wait_for(key).passed is True
    done = subprocess.run([CASEMATE.parent / "ostest-runner", "--version"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "") and re.search(r"\d+\.\d+\.\d+", done.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-flag"],
        ["--concurrent", "0"],
        ["--concurrent", "many"],
        ["--timeout", "-1"],
        ["--logger-level", "loud"],
        ["--wire", "c"],
        ["--backend-url", "ftp://localhost"],
        ["--backend-url", "localhost"],
        ["--metrics", "nowhere"],
        ["--password-file", "/nonexistent/secret"],
        ["--ca-file", "/nonexistent/ca.pem"],
        ["one", "more"],
    ],
)
def test_a_command_line_that_makes_no_sense(world, words):
    done = world.run(*words, timeout=30)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in done.stderr and (words[0].lstrip("-") in lines[0] or words[-1] in lines[0])


def test_without_a_tests_repository_it_says_what_to_give(world):
    done = world.run(tests=False, timeout=30)
    assert done.returncode == 2 and "--tests-repo" in done.stderr


# --- one task and out


def test_once_grades_one_task(world):
    world.start_backend()
    keys = [world.task("good", **FIRST) for _ in range(2)]
    done = world.run("--once")
    assert done.returncode == 0, done.stderr
    assert world.backend.result(keys[0]).passed is True and world.backend.result(keys[1]) is None
    assert world.run("--once").returncode == 0
    assert world.backend.result(keys[1]).passed is True


def test_a_whole_round_without_anything(world, tmp_path):
    """--mock --once needs no backend, no repository and no network."""
    environment = {key: value for key, value in world.environment.items() if key != "PIP_NO_INDEX"} | {"PIP_NO_INDEX": "1"}
    done = subprocess.run([CASEMATE, "agent", "--mock", "--once"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1]
    body = json.loads(text)
    cases = body["testResults"] if isinstance(body["testResults"], list) else body["testResults"]["testCases"]
    assert cases and all({"name", "isPassed", "description", "duration", "memoryUsed"} == set(case) for case in cases)


# --- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_agent_stops_at_once(world, number):
    agent = world.start("--check-interval", "600")
    world.backend.wait(lambda state: state["record"])
    before = time.monotonic()
    assert agent.stop(number) == 0
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_while_a_task_runs_is_told_to_the_backend(world, number):
    world.start_backend()
    key = world.task("endless", form="b", laboratoryNumber=1)
    later = world.task("good", form="b", **FIRST)
    agent = world.start("--proxy-timeout", "500", "--concurrent", "1")
    until_running(agent, "/proxy")
    assert agent.stop(number, seconds=30) == 0
    graded = world.backend.result(key)
    assert graded.error is True and graded.details == "Stop signal received"
    assert graded.verdicts.get("test_make") in (True, None)
    assert world.backend.result(later) is None
    world.start()
    assert world.backend.wait_for(later).passed is True


def test_a_second_signal_ends_it_at_once(world):
    world.start_backend()
    stubborn = "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nos.execvp('sleep', ['sleep', '86400.125'])\n"
    world.tests = world.labs.tests(**{"run_tests.py": stubborn})
    key = world.task("good", form="b")
    agent = world.start()
    until_running(agent, "86400.125")
    agent.send(signal.SIGTERM)
    time.sleep(0.5)
    assert agent.process.poll() is None
    before = time.monotonic()
    agent.send(signal.SIGTERM)
    assert agent.wait(10) == 130
    assert time.monotonic() - before < 5
    assert gone("86400.125")
    # What was not posted is not lost.
    world.tests.commit({"run_tests.py": "raise SystemExit(0)\n"})
    world.start()
    assert world.backend.wait_for(key).error is True


def test_killed_it_leaves_no_process(world):
    world.start_backend()
    world.task("endless", laboratoryNumber=1)
    agent = world.start("--proxy-timeout", "500")
    until_running(agent, "/proxy")
    all_of_it = below(agent.pid)
    assert len(all_of_it) >= 3  # a worker, a cell's init, the tests
    agent.kill()
    deadline = time.monotonic() + 20
    while any(processes().get(pid, ("",))[0] == line for pid, line in all_of_it.items()):
        assert time.monotonic() < deadline, all_of_it
        time.sleep(0.1)


def test_sighup_and_sigpipe_do_not_end_it(world):
    agent = world.start()
    world.backend.wait(lambda state: state["record"])
    agent.send(signal.SIGPIPE)
    time.sleep(0.2)
    assert world.grade("good", **FIRST).passed is True


# --- seeing it work


def test_log_lines_are_time_level_message(world):
    world.start_backend()
    world.grade("good", "--logger-level", "debug", **FIRST)
    world.agents[0].stop()
    lines = [line for line in world.agents[0].out.splitlines() if line]
    assert lines
    for line in lines:
        assert re.match(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}[.,]?\d*\S* (DEBUG|INFO|WARNING|ERROR|CRITICAL) \S", line), line
    assert any(" DEBUG " in line for line in lines) and any("attempt 21" in line for line in lines)


def test_by_default_only_errors_are_logged(world):
    world.start_backend()
    world.grade("good", **FIRST)
    world.agents[0].stop()
    assert world.agents[0].out == ""


def test_the_log_in_a_file_goes_on_after_a_restart(world):
    log = world.directory / "logs.txt"
    for _ in range(2):
        world.start_backend() if world.backend is None else None
        world.grade("good", "--logger-level", "info", "--logger-output", log, **FIRST)
        world.agents[-1].stop()
        assert world.agents[-1].out == ""
    assert "attempt 21" in log.read_text() and "attempt 22" in log.read_text()


def test_a_log_as_json(world):
    world.start_backend()
    world.grade("good", "--logger-level", "debug", "--json-log", **FIRST)
    world.agents[0].stop()
    entries = log_lines(world.agents[0].out)
    assert entries and all({"time", "level", "message"} <= set(entry) for entry in entries)
    assert any("attempt 21" in json.dumps(entry) for entry in entries)


def test_a_status_line_on_sigusr1(world):
    world.start_backend()
    world.task("endless", laboratoryNumber=1)
    agent = world.start("--proxy-timeout", "500")
    until_running(agent, "/proxy")
    before = agent.said
    agent.send(signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while agent.said == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    said = agent.said[len(before) :].strip()
    assert len(said.splitlines()) == 1 and "attempt 21" in said


def test_metrics_are_prometheus_text(world):
    world.start_backend()
    port = free_port()
    world.start("--metrics", f"127.0.0.1:{port}")
    world.grade("good", **FIRST)
    world.grade("good", branch="nowhere")
    world.backend.fault("get", "status", status=500)
    time.sleep(2.5)
    text = fetch(f"http://127.0.0.1:{port}/metrics")
    for line in text.splitlines():
        assert not line or line.startswith("# ") or re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+|[a-z_]+(\{.*\})? (\+Inf|NaN)', line), line
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line and not line.startswith("#")}
    passed = [value for name, value in values.items() if "tasks" in name and "passed" in name]
    errors = [value for name, value in values.items() if "tasks" in name and "error" in name]
    assert 1 in passed and 1 in errors, text
    assert any("backend" in name and value >= 1 for name, value in values.items()), text


def test_what_a_task_left_is_kept_and_the_oldest_goes(world):
    world.start_backend()
    keys = [world.task("good", **FIRST) for _ in range(4)]
    world.start("--keep-tasks", "2", "--concurrent", "1")
    world.backend.wait_for(*keys)
    world.agents[0].stop()
    assert len(world.task_directories) == 2
    for name in ("grade.json", "report.xml", "steps.json", "report.html", "output.txt"):
        assert world.artifact(name), name
    steps = json.loads(world.artifact("steps.json"))
    names = json.dumps(steps)
    for step in ("clone", "tests", "environment", "run", "report"):
        assert f'"{step}"' in names


def test_history_knows_the_tasks(world):
    world.start_backend()
    world.grade("good", **FIRST)
    world.grade("wrong", form="b", **FIRST)
    world.agents[0].stop()
    done = subprocess.run([CASEMATE, "history"], env=world.environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and "agent" in done.stdout, done.stdout + done.stderr


def test_what_it_keeps_is_for_nobody_else(world):
    world.start_backend()
    world.grade("good", **FIRST)
    for path in [world.state, *world.task_directories]:
        if path == world.state:
            continue
        modes = [stat.S_IMODE(os.stat(part).st_mode) & 0o077 for part in (path, path.parent, path.parent.parent)]
        assert 0 in modes, path


def test_a_full_disk_or_a_state_that_cannot_be_written_is_said(world):
    (world.directory / "state").write_text("a file\n")
    done = world.run(timeout=30)
    assert done.returncode in (2, 3) and len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_outbox_is_set_aside(world):
    world.start_backend()
    world.grade("good", **FIRST)
    world.agents[0].stop()
    databases = [path for path in world.state.rglob("*") if path.is_file() and path.read_bytes()[:15] == b"SQLite format 3"]
    assert databases
    for path in databases:
        for other in path.parent.glob(path.name + "-*"):
            other.unlink()
        path.write_bytes(b"this is no database" * 400)
    assert world.grade("good", **FIRST).passed is True


def test_https_only_with_a_certificate_that_is_trusted(world):
    if not shutil.which("openssl"):
        pytest.skip("not installed: openssl")
    key, certificate = world.directory / "key.pem", world.directory / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    world.start_backend(tls=[str(certificate), str(key)])
    untrusting = world.run(timeout=60)
    assert untrusting.returncode == 2 and "certificate" in (untrusting.stderr + untrusting.stdout).lower()
    assert world.grade("good", "--ca-file", certificate, **FIRST).passed is True
