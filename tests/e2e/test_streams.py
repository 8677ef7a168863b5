"""casemate run between its signals and standard streams: slow readers, readers that went away, streams that can't be written."""

import os
import pathlib
import pty
import signal
import subprocess
import time

import pytest
from py_test_runner import CASEMATE, gone


# --- signals, slow readers, readers that went away


def begun(process):
    assert process.stdout.readline() == b"begun\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_reaches_the_command_and_ends_it(run, number, status):
    name = f"7{os.getpid()}.{int(number)}"
    process = run.start("--", "sh", "-c", f"echo begun; exec sleep {name}")
    begun(process)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == status
    assert gone(name)


def test_a_command_may_handle_a_signal(run):
    process = run.start("--", "sh", "-c", "trap 'echo handled; exit 5' INT; echo begun; while :; do sleep 0.05; done")
    begun(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert out == b"handled\n"
    assert process.returncode == 5


def test_the_second_signal_means_it(run):
    process = run.start("--", "sh", "-c", "trap '' INT TERM; echo begun; while :; do sleep 0.05; done")
    begun(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_slow_reader_holds_the_command_and_not_its_limits(run):
    process = run.start("--timeout", "2", "--", "yes")
    time.sleep(1)
    resident = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert resident < 64 << 20
    process.communicate(timeout=30)
    assert process.returncode == 124


def test_a_reader_that_goes_away_ends_a_writer(run):
    process = run.start("--", "yes")
    assert process.stdout.read(2) == b"y\n"
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    process.stderr.close()


def test_nobody_reads_from_the_start(run):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = run.start("--", "sh", "-c", "echo one; echo two >&2; exit 6", stdout=writing)
    finally:
        os.close(writing)
    _, told = process.communicate(timeout=30)
    assert process.returncode in (6, 141)  # whether the shell's write comes before our pipe is closed is a matter of time
    assert told == b"two\n" or process.returncode == 141


# --- standard streams that can't be written


def left_pipe():
    """The writing end of a pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "wb", buffering=0)


@pytest.fixture(params=["full", "left"])
def no_stderr(request):
    with open("/dev/full", "wb", buffering=0) if request.param == "full" else left_pipe() as stream:
        yield stream


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--", "/nosuch"], 127),
        (["--timeout", "100ms", "--", "sleep", "5"], 124),
        (["--", "sh", "-c", "exit 3"], 3),
        (["--", "sh", "-c", "sleep 60 & exit 4"], 4),  # a note tells of what was left
        (["--image", "python:3", "--", "true"], 125),
        (["--nosuch", "x"], 125),
        ([], 125),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_exit_status_stays_when_nobody_can_be_told_why(run, no_stderr, arguments, status):
    done = run(*arguments, stdout=subprocess.PIPE, stderr=no_stderr, capture_output=False)
    assert (done.returncode, done.stdout) == (status, b"")


@pytest.mark.parametrize("arguments", [["bad"], [], ["explain", "--image", "x", "--", "true"], ["doctor", "--bad"], ["cache", "--bad"], ["history", "--bad"]])
def test_every_command_fails_alike_when_nobody_can_be_told_why(run, no_stderr, arguments):
    assert subprocess.run([CASEMATE, *arguments], env=run.environment, stderr=no_stderr, stdout=subprocess.DEVNULL, timeout=60, check=False).returncode == 125


TELLING = [
    ["explain", "--", "true"],
    ["explain", "--json", "--", "true"],
    ["doctor"],
    ["doctor", "--json"],
    ["doctor", "--help"],
    ["cache", "info"],
    ["history"],
    ["run", "--help"],
    ["run", "--json", "--", "true"],
    ["run", "--json", "--", "false"],
    ["run", "--json", "--nosuch"],
    ["--help"],
    ["--version"],
]


@pytest.mark.parametrize("arguments", TELLING, ids=" ".join)
def test_what_does_not_fit_on_stdout_is_told(run, arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([CASEMATE, *arguments], env=run.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 125
    assert done.stderr.startswith("casemate") and done.stderr.endswith("can't write to stdout: No space left on device\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", TELLING[:10], ids=" ".join)
def test_a_reader_of_what_is_told_may_leave(run, arguments):
    with left_pipe() as left:
        done = subprocess.run([CASEMATE, *arguments], env=run.environment, stdout=left, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1 if "false" in arguments else 0, b"")


def test_closed_standard_streams(run):
    done = subprocess.run(["sh", "-c", 'exec "$0" run -- sh -c "echo out; exit 4" <&- >&- 2>&-', str(CASEMATE)], env=run.environment, timeout=30, check=False)
    assert done.returncode in (4, 141)


def test_a_terminal_is_protected(run):
    ours, theirs = pty.openpty()
    try:
        process = run.start("--", "printf", r"\033]0;title\007plain\n", stdout=theirs, stderr=theirs)
        assert process.wait(timeout=30) == 0
        shown = os.read(ours, 4096)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"plain" in shown
    assert b"\x1b" not in shown and b"\x07" not in shown


def test_a_file_size_limit_of_the_caller_is_told_and_not_died_of(run):
    # History and the cache can't be written then: the command's output and status are as good without.
    script = 'ulimit -f 0; exec "$0" "$@"'
    done = subprocess.run(
        ["bash", "-c", script, str(CASEMATE), "run", "--", "sh", "-c", "echo out; exit 4"], env=run.environment, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, b"out\n", b"")
    with open(run.directory / "file", "wb") as file:
        done = subprocess.run(
            ["bash", "-c", script, str(CASEMATE), "explain", "--", "true"], env=run.environment, stdout=file, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (125, b"casemate explain: can't write to stdout: File too large\n")


def test_the_command_gets_no_ignored_signal_of_ours(run):
    ignored = run.out("--", "grep", "SigIgn", "/proc/self/status")
    assert int(ignored.split()[1], 16) == 0
    done = run("--file-size", "4k", "--", "head", "-c", "8192", "/dev/zero", stdout=subprocess.DEVNULL, capture_output=False)
    assert done.returncode == 0
    assert run("--file-size", "4k", "--", "dd", "if=/dev/zero", "of=/tmp/x", "bs=8k", "count=2").returncode == 128 + signal.SIGXFSZ


def test_an_object_for_a_closed_stdout_is_not_lost_silently(run):
    done = subprocess.run(["sh", "-c", '"$0" run --json -- true >&-', str(CASEMATE)], env=run.environment, stderr=subprocess.PIPE, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (125, b"casemate run: can't write to stdout: Bad file descriptor\n")
