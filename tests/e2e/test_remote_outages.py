"""What a person hears of an engine that does not answer, that has lost what was sent, that lacks what a job needs, or that nobody named."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid

import pytest
from known_suite import KnownSuite
from py_test_runner import CASEMATE
from terminal import Terminal


@pytest.fixture
def known(tmp_path, run):
    return KnownSuite(tmp_path / "suite", run.environment)


def told(text):
    return [line for line in text.splitlines() if "does not answer" in line]


def test_an_engine_that_dies_is_told_of_and_given_up(run, casd, proxy):
    process = run.start("--remote", proxy.address, "--remote-patience", "12s", "--", "sleep", "100")
    proxy.wait("Execute", "responses")
    began = time.monotonic()
    casd.kill()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 40
    assert (process.returncode, out) == (125, b"")
    # After 5 s, and then at twice the time: 10 s.
    lines = told(err.decode())
    assert 1 <= len(lines) <= 2, err
    assert lines[0].startswith("casemate run: the remote engine does not answer: tried again for ") and "given up after 12 s" in lines[0]
    assert b"casemate run: lost (" in err


def test_an_engine_that_is_quiet_about_it(run, casd, proxy):
    process = run.start("--json", "--remote", proxy.address, "--remote-patience", "6s", "--", "sleep", "100")
    proxy.wait("Execute", "responses")
    casd.kill()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (125, b""), err
    assert "nobody listens there: Connection refused" in json.loads(out)["outcome"]


def test_on_a_terminal_the_line_goes_when_the_engine_comes_back(run, casd, proxy):
    terminal = Terminal([str(CASEMATE), "run", "--remote", proxy.address, "--", "sh", "-c", "sleep 1; echo done"], env=run.environment, cwd=run.directory)
    proxy.wait("Execute", "responses")
    casd.kill()
    terminal.wait_for("the remote engine does not answer: tried again for ")
    casd.start()
    terminal.wait_for("done")
    status = terminal.end()
    assert status == 0 and not told(terminal.text()), terminal.text()
    terminal.close()


def test_the_environment_and_files_set_the_patience(run, casd):
    for words in (["--remote-patience", "soon"], ["--remote-patience", "0"]):
        done = run("--remote", casd.address, *words, "--", "true")
        assert done.returncode == 125 and b"--remote-patience: " in done.stderr
    run.environment["CASEMATE_REMOTE_PATIENCE"] = "later"
    done = run("--remote", casd.address, "--", "true")
    assert done.returncode == 125 and b"CASEMATE_REMOTE_PATIENCE: " in done.stderr


def test_a_deadline_that_passes_while_nobody_answers_is_the_engines_end(known, casd, proxy):
    """Not a test's: no test is told as `lost`, and with a fallback all run here."""
    words = (f"--remote={proxy.address}", "--remote-slots=2", "--group-time=500ms", "--remote-timeout=12s")
    process = known.start(*words)
    proxy.wait("Execute", count=3)
    casd.kill()
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 3 and "nobody listens there" in said, said[-2000:]
    for name, verdict in known.verdicts().items():
        assert verdict == known.expected[name], (name, verdict)
    casd.start()
    proxy.reset()
    process = known.start(*words, "--remote-fallback")
    proxy.wait("Execute", count=3)
    casd.kill()
    assert "the rest runs here" in known.finish(process)


def test_contents_that_are_deleted_under_running_actions(known, casd, proxy):
    """What all groups need: it is sent again, and each test has its verdict."""
    process = known.start(f"--remote={proxy.address}", "--remote-slots=2", "--group-time=500ms")
    needed = [CASEMATE.with_name("casemate-witness"), *known.directory.glob("test_*.py")]
    for count in (2, 4):
        proxy.wait("Execute", count=count)
        for file in needed:
            with contextlib.suppress(FileNotFoundError):
                casd.forget(hashlib.sha256(file.read_bytes()).hexdigest())
    known.finish(process)


def test_a_file_that_is_deleted_before_a_test_of_a_running_group_reads_it(known, casd, proxy):
    """The test is told once, and not by the error that the worker's file system had for it."""
    for file in known.directory.glob("test_*.py"):
        file.unlink()
    data = "needed by a test of test_files_that_go\n"
    (known.directory / "data.txt").write_text(data)
    asleep = f"4.{uuid.uuid4().int % 10**9}"
    text = f"import pathlib, subprocess\ndef test_first(): subprocess.run(['sleep', '{asleep}'])\ndef test_reads(): assert pathlib.Path('data.txt').read_text() == {data!r}\ndef test_fails(): assert 0\n"
    (known.directory / "test_it.py").write_text(text)
    known.expected = {"test_it.py::test_first": "passed", "test_it.py::test_reads": "passed", "test_it.py::test_fails": "failed"}
    process = known.start(f"--remote={proxy.address}", "--remote-slots=1", "--group-time=10s")
    until = time.monotonic() + 60
    while not runs(f"sleep\0{asleep}\0"):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)
    casd.forget(hashlib.sha256(data.encode()).hexdigest())
    known.finish(process)
    assert proxy.counts("Execute")["calls"] >= 3


def test_contents_that_are_deleted_before_actions_begin(known, casd, proxy):
    """All that the engine holds, while two groups are on their way to it."""
    proxy.rules({"method": "Execute", "fault": "delay", "seconds": 25, "skip": 1, "times": 2})
    process = known.start(f"--remote={proxy.address}", "--remote-slots=2", "--group-time=500ms")
    proxy.wait("Execute", count=3)
    assert casd.forget_all() > 100
    known.finish(process)


def test_a_job_whose_inputs_are_deleted_before_it_begins(run, casd, proxy):
    """Between the question what is there and the execution."""
    blob = "of the run"
    for _ in range(3):
        proxy.rules({"method": "Execute", "fault": "delay", "seconds": 1, "times": 1})
        process = run.start("--remote", proxy.address, "-i", "--", "cat", stdin=subprocess.PIPE)
        process.stdin.write(blob.encode())
        process.stdin.close()
        process.stdin = None
        proxy.wait("Execute")
        casd.forget_all()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, blob.encode()), err
        proxy.reset()


@pytest.mark.parametrize("fallback", [False, True], ids=["", "fallback"])
def test_workers_without_an_interpreter(known, start_casd, fallback):
    """That is no test's verdict."""
    engine = start_casd(bare=True)
    for slots in ([], ["--slots=1", "--remote-slots=1"]):  # collected there; collected here
        process = known.start(f"--remote={engine.address}", *slots, *(["--remote-fallback"] if fallback else []))
        if fallback:
            assert known.finish(process).count("the engine's workers have no ") == 1
            continue
        said, _ = process.communicate(timeout=100)
        assert process.returncode == 3, said[-2000:]
        assert said.count("the engine's workers have no ") == 1, said[-2000:]
        assert all(verdict == known.expected[name] for name, verdict in known.verdicts().items())


def test_workers_without_pytest(suite, casd):
    """Nor is that: they have the interpreter in /usr, which is not sent."""
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import pytest"], capture_output=True).returncode == 0:
        pytest.skip(f"{python} of this host has pytest, and casd's workers show it")
    suite.environment["PATH"] = "/usr/bin:/bin"
    del suite.environment["VIRTUAL_ENV"]
    suite.write("test_a.py", "def test_a(): pass\n")
    words = ("--remote", casd.address, "--python", python)
    lacks = f"the {python} of the engine's workers can't import pytest (No module named 'pytest'): send it with --requirements, --image or a virtual environment"
    ended = suite(*words)
    assert (ended.status, ended.problem, ended.tests) == (3, lacks, {}), str(ended)
    assert ended.out.count("can't import pytest") == 1, str(ended)
    here = suite(*words, "--remote-fallback")
    assert f"{lacks}: the rest runs here" in here.notes, str(here)
    assert here.status == 2 and here.problem.startswith(f"{python} has no pytest"), str(here)


def test_a_project_that_names_an_engine_is_told_of(run, casd, known):
    (run.directory / "casemate.toml").write_text(f'[remote]\naddress = "{casd.address}"\n')
    done = run("--", "echo", "there")
    assert (done.returncode, done.stdout) == (0, b"there\n")
    said = done.stderr.decode()
    assert f"casemate run: note: on the remote engine {casd.address}, which {run.directory}/casemate.toml:2 names" in said and said.count("\n") == 1
    assert any("casemate.toml:2" in note for note in json.loads(run("--json", "--", "true").stdout)["notes"])
    assert b"note" not in run("--remote", casd.address, "--", "true").stderr
    here = run("--json", "--remote", "", "--", "true")
    assert here.returncode == 0 and "remote" not in json.loads(here.stdout)
    run.environment["CASEMATE_REMOTE"] = "grpc://127.0.0.1:1"
    assert run("--remote", "", "--", "true").returncode == 0
    shutil.copy(run.directory / "casemate.toml", known.directory)
    assert f"on the remote engine {casd.address}, which {known.directory}/casemate.toml:2 names" in known.finish(known.start())
    assert "on the remote engine" not in known.finish(known.start("--remote", ""))


def history(run, *words):
    done = subprocess.run([CASEMATE, "history", *words], env=run.environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_history_tells_where_a_run_was(run, casd, known, tmp_path):
    for environment in (run.environment, known.environment):
        environment["CASEMATE_STATE_DIR"] = str(tmp_path / "own-state")
    run("--", "true")
    run("--remote", casd.address, "--", "true")
    known.finish(known.start(f"--remote={casd.address}"))
    lines = [line for line in history(run).splitlines()[1:] if line]
    assert ["(remote)" in line for line in lines] == [True, True, False], lines
    assert "run (remote)" in history(run, "show", lines[1].split()[0])


def test_print_config_tells_who_names_an_engine(known):
    (known.directory / "casemate.toml").write_text('[remote]\naddress = "grpc://me:s3cr3t@127.0.0.1:1"\npatience = 5\n[remote.headers]\nx-key = "s3cr3t"\n')
    process = known.start("--print-config", "--remote-instance", "main")
    said, _ = process.communicate(timeout=60)
    file = f"{known.directory}/casemate.toml"
    assert f'address = "...@127.0.0.1:1"  # {file}:2\n' in said, said
    assert 'instance = "main"  # --remote-instance\n' in said and f'patience = "5"  # {file}:3\n' in said, said
    assert 'headers = { "x-key" = "..." }' in said and "s3cr3t" not in said
    said, _ = known.start("--print-config", "--remote", "").communicate(timeout=60)
    assert 'address = ""  # --remote\n' in said


@pytest.mark.parametrize("flag", [["--remote-instance", "main"], ["--remote-patience", "5s"], ["--remote-property", "a=b"], ["--remote-fallback"]])
def test_flags_of_an_engine_that_nobody_named(run, known, flag):
    done = run(*flag, "--", "true")
    assert done.returncode == 125 and done.stderr.count(b"\n") == 1
    assert f"casemate run: {flag[0]} is of a remote engine, and none is named".encode() in done.stderr
    process = known.start(*flag)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and f"{flag[0]} is of a remote engine, and none is named" in said
    assert run("--remote", "", *flag, "--", "true").returncode == 0


def test_a_command_that_a_worker_does_not_have(run, casd):
    there, here = run("--remote", casd.address, "--", "no-such-program"), run("--", "no-such-program")
    assert there.returncode == here.returncode == 127
    assert here.stderr.startswith(b"casemate run: no-such-program: command not found in the cell; ")
    assert there.stderr.startswith(b"casemate run: no-such-program: command not found on the worker; "), there.stderr
    there = run("--remote", casd.address, "--", "/no/such/program")
    assert there.returncode == 127 and there.stderr.startswith(b"casemate run: /no/such/program: not found on the worker, or the loader")


def test_a_wrong_instance_name(run, casd, proxy):
    proxy.rules({"method": "GetCapabilities", "fault": "status", "code": "INVALID_ARGUMENT", "message": "Instance name [wrong] not recognised"})
    done = run("--remote", proxy.address, "--remote-instance", "wrong", "--", "true")
    assert done.returncode == 125 and b"is --remote-instance 'wrong' right?" in done.stderr, done.stderr
    done = run("--remote", proxy.address, "--", "true")
    assert b"name the instance with --remote-instance" in done.stderr, done.stderr
    proxy.reset()
    done = run("--remote", casd.address, "--remote-instance", "wrong", "--", "true")
    assert done.returncode == 125 and b"--remote-instance 'wrong'" in done.stderr, done.stderr


def test_what_a_killed_casemate_left_is_ended_by_the_next(run, casd, proxy):
    process = run.start("--remote", proxy.address, "--", "sleep", "987654")
    proxy.wait("Execute", "responses")
    left = pathlib.Path(run.environment["CASEMATE_STATE_DIR"]) / "remote"
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in left.glob("*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(left.iterdir())) == 1
    assert run("--remote", proxy.address, "--", "true").returncode == 0
    proxy.wait("CancelOperation")
    # Its action is over: one that sleeps is nowhere any more.
    deadline = time.monotonic() + 30
    while runs("sleep\x00987654\x00") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not runs("sleep\x00987654\x00")
    assert list(left.iterdir()) == []


def runs(words):
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(os.fsencode(words)):
                return True
        except OSError:
            continue
    return False
