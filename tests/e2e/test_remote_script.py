"""`casemate script --remote` (py_test_runner) on a real engine: files, object and statuses are those of a cell, and errors are one line."""

import json
import signal

import pytest
from images import image_layout
from py_test_runner import wait_for_process

SCRIPT = """
import pathlib, sys
pathlib.Path('output.csv').write_text(pathlib.Path('data.csv').read_text().upper())
pathlib.Path('sub').mkdir()
pathlib.Path('sub/link').symlink_to('../output.csv')
for i in range(40): pathlib.Path(f'sub/{i}').write_text(str(i) * i)
print(sys.argv[1:], pathlib.Path.cwd(), sep=' ')
"""


@pytest.fixture
def remote(casd, runner):
    """Runs a script's source there: the object and the exit status."""
    runner.write("data.csv", "a,b\n")
    runner.environment["PATH"] = "/usr/bin:/bin"  # the Python that the worker has too: another one would be sent
    return lambda source, *more, **options: runner.object(source, "--inputs", "data.csv", "--remote", casd.address, *more, **options)


def test_the_object_is_that_of_a_cell(remote, runner):
    there, status = remote(SCRIPT, "--script-args", "--mode 'two words'")
    there_files = runner.results()
    here, _ = runner.object(SCRIPT, "--inputs", "data.csv", "--script-args", "--mode 'two words'")
    assert (status, there["status"]) == (0, "success"), there
    assert list(there) == list(here)
    assert there["captured_files"] == here["captured_files"]
    assert there["message"] == here["message"]
    assert there_files == runner.results()
    assert there_files["output.csv"] == b"A,B\n"
    for key in ("raw_logs", "exit_code", "outcome", "stdout", "deleted", "skipped"):
        assert there["details"][key] == here["details"][key], key
    assert there["details"]["environment"]["key"] == here["details"]["environment"]["key"]
    digests = [{each["path"]: each.get("digest") for each in told["details"]["captured"]} for told in (there, here)]
    assert digests[0] == digests[1]
    assert there["details"]["remote"]["run_ms"] > 0
    assert "remote" not in here["details"]


@pytest.mark.parametrize(
    ("source", "flags", "outcome", "code"),
    [
        ("raise SystemExit(3)", [], "exited 3", 3),
        ("import os; os.kill(os.getpid(), 11)", [], "signaled 11 (SIGSEGV)", 139),
        ("import time; time.sleep(100)", ["--timeout", "1s"], "timed out", 124),
        ("x = bytearray(300 << 20); import time; time.sleep(5)", ["--memory", "100M"], "out of memory", 137),
    ],
)
def test_failures(remote, runner, source, flags, outcome, code):
    told, status = remote("open('kept', 'w').write('x')\n" + source, *flags)
    assert (status, told["status"], told["error_type"]) == (1, "error", "script_execution_failed")
    assert told["details"]["outcome"].startswith(outcome), told
    assert told["details"]["exit_code"] == code
    assert runner.results() == {"kept": b"x"}


def test_packages_are_made_here_and_sent(remote, runner, wheelhouse):
    runner.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheelhouse)}
    runner.write("requirements.txt", "iniconfig\n")
    told, status = remote("import iniconfig; print(iniconfig.__file__)", requirements="requirements.txt")
    assert status == 0, told
    assert told["details"]["raw_logs"].startswith("/casemate/env/lib/")
    again, _ = remote("import iniconfig; print(iniconfig.__file__)", requirements="requirements.txt")
    assert again["details"]["environment"]["cached"]
    assert again["details"]["remote"]["sent_bytes"] < 20_000 < told["details"]["remote"]["sent_bytes"]


@pytest.mark.big
def test_an_image_is_sent(runner, start_casd):
    source = "import sys; print(sys.version_info[:2])"
    told, status = runner.object(source, "--image", image_layout("python3.13"), "--remote", start_casd(bare=True).address, timeout=400)
    assert status == 0, told
    assert told["details"]["raw_logs"] == "(3, 13)\n"
    assert told["details"]["image"]["digest"].startswith("sha256:")


@pytest.mark.once
def test_many_files_of_all_sizes_come_in_turns(remote, runner):
    source = "for i in range(1100): open(f'{i:04}', 'w').write(str(i) * (20000 if i % 100 == 0 else 3000 if i < 400 else i % 3))\n"
    told, status = remote(source)
    assert status == 0, told
    sizes = {f"{i:04}": str(i) * (20000 if i % 100 == 0 else 3000 if i < 400 else i % 3) for i in range(1100)}
    assert runner.results() == {name: content.encode() for name, content in sizes.items()}


def test_interrupted(casd, runner):
    runner.environment["PATH"] = "/usr/bin:/bin"
    runner.write("script.py", "import sys, time\nprint('began', flush=True)\ntime.sleep(1000)\n")
    with runner.start("--script", "script.py", "--reqs", "/dev/null", "--remote", casd.address, "--json-output") as running:
        wait_for_process("/app/script.py")
        running.send_signal(signal.SIGTERM)
        out, said = running.communicate(timeout=60)
    told = json.loads(out)
    assert (running.returncode, told["details"]["reason"], said) == (143, "interrupted", b""), told


def test_an_engine_that_is_not_there(runner):
    runner.write("results/old", "mine")
    told, status = runner.object("print('here')", "--remote", "grpc://127.0.0.1:1")
    assert (status, told["error_type"]) == (1, "runner_internal_error")
    assert "127.0.0.1:1" in told["message"]
    assert runner.results() == {"old": b"mine"}
    done = runner.script("print('here')", "--remote", "grpc://127.0.0.1:1", "-q")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
    told, status = runner.object("print('here')", "--remote", "grpc://127.0.0.1:1", "--remote-fallback")
    assert (status, told["details"]["raw_logs"]) == (0, "here\n"), told
    assert any("run here" in note for note in told["details"]["notes"])


def test_what_can_not_be_is_told_before_anything_is_done(remote, runner):
    runner.write("results/old", "mine")
    told, status = remote("print(1)", "--cpus", "1")
    assert (status, told["details"]["reason"]) == (1, "not_supported")
    assert "--cpus" in told["message"]
    assert runner.results() == {"old": b"mine"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--executor", "native"], b"leave it or --remote out"),
        (["--remote-image", "property"], b"leave --remote-image property out"),
        (["--remote-priority", "soon"], b"--remote-priority 'soon'"),
        (["--remote-header", "s3cr3t"], b"write NAME=VALUE"),
    ],
)
def test_wrong_usage(runner, flags, says):
    done = runner.script("print(1)", "--remote", "grpc://127.0.0.1:1", *flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert b"s3cr3t" not in done.stderr


def test_variables_and_files_name_an_engine(casd, runner):
    runner.environment["PATH"] = "/usr/bin:/bin"
    runner.environment["CASEMATE_REMOTE"] = casd.address
    assert "remote" in runner.object("print(1)")[0]["details"]
    assert "remote" not in runner.object("print(1)", "--executor", "native")[0]["details"]
    del runner.environment["CASEMATE_REMOTE"]
    runner.write("casemate.toml", f'[remote]\naddress = "{casd.address}"\n')
    assert "remote" in runner.object("print(1)")[0]["details"]


def test_workers_without_the_interpreter(runner, start_casd):
    runner.environment["PATH"] = "/usr/bin:/bin"
    told, status = runner.object("print()", "--remote", start_casd(bare=True).address)
    assert (status, told["status"]) == (1, "error")
    assert "its workers need the Python that this host has, /usr/bin/python3" in told["message"], told
    assert told["message"].endswith("send one with --image.") and "/casemate/env" not in told["message"], told
