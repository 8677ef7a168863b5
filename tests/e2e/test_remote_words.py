"""What `casemate run --remote` says of wrong addresses, limits, credentials and time limits: one line each, of what is true."""

import json
import signal
import socket
import subprocess
import uuid

import pytest
from py_test_runner import CASEMATE


@pytest.fixture
def nobody():
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_an_address_where_nobody_listens(run, nobody, tmp_path):
    hint = "; check the address, or run with --remote-fallback\n"
    for address, why in (
        (nobody, f"{nobody}: nobody listens there: Connection refused"),
        (f"unix:{tmp_path}/none", f"unix:{tmp_path}/none: nobody listens there: No such file or directory"),
        ("no-such-host.invalid:80", "no-such-host.invalid:80: its name can't be resolved: "),
    ):
        done = run("--remote", address, "--", "true")
        said = done.stderr.decode()
        assert done.returncode == 125 and said.startswith(f"casemate run: remote engine {why}"), said
        assert said.endswith(hint) and said.count("\n") == 1, said
    there = run("--remote", nobody, "--remote-fallback", "--", "echo", "here")
    assert there.stdout == b"here\n" and b"nobody listens there: Connection refused\n" in there.stderr


def test_storage_where_nobody_listens(run, casd, nobody):
    done = run("--remote", casd.address, "--remote-cache", nobody, "--", "true")
    assert done.returncode == 125 and b": its cache (--remote-cache): nobody listens there: Connection refused" in done.stderr


@pytest.mark.parametrize("limit", [("--inodes", "20"), ("--disk", "1k"), ("--memory", "1k"), ("--pids-limit", "5000000"), ("--open-files", "2")])
def test_limits_that_no_cell_takes_are_refused_in_the_same_words(run, casd, limit):
    here, there = run(*limit, "--", "true"), run("--remote", casd.address, *limit, "--", "true")
    assert here.returncode == there.returncode == 125
    assert here.stderr == there.stderr and here.stderr.count(b"\n") == 1


def test_an_action_that_outlasts_the_timeout_names_it(run, casd):
    done = run("--remote", casd.address, "--remote-timeout", "1s", "--", "sleep", "50")
    assert done.returncode == 125 and b"was not done within 1.00 s (--remote-timeout) and was cancelled" in done.stderr


def test_what_a_cancelled_job_leaves(run, proxy):
    process = run.start("--json", "--remote", proxy.address, "--outputs", "out", "--", "sh", "-c", "echo said; echo x > file; sleep 100")
    proxy.wait("Execute", "responses")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    told = json.loads(out)
    assert (process.returncode, told["outcome"], err) == (130, "cancelled", b"")
    assert (told["stdout"], told["captured"], told["resources"]["wall_ms"]) == ("", [], 0)


def test_a_token_file_that_is_not_there(run, casd):
    done = run("--remote", casd.address, "--remote-token-file", "/nonexist", "--", "true")
    assert (done.returncode, done.stderr) == (125, b"casemate run: --remote-token-file: can't open /nonexist: No such file or directory\n")


def test_headers_without_tls_are_told_where_they_leave_this_machine(run, casd):
    words = ("--remote-header", "x-key=s3cr3t", "--json", "--", "true")
    assert not any("TLS" in note for note in json.loads(run("--remote", casd.address, *words).stdout)["notes"])
    said = run("--remote", "no-such-host.invalid:80", "--remote-fallback", "--remote-header", "x-key=s3cr3t", "--", "true").stderr.decode()
    assert "reached without TLS: on the way can be read what is sent as x-key" in said and "s3cr3t" not in said


def test_what_is_known_is_not_told_to_run_here(run, nobody):
    word = str(uuid.uuid4())
    words = ("--cache", "--remote", nobody, "--remote-fallback", "--", "echo", word)
    assert b"run here, not on the remote engine" in run(*words).stderr
    again = run(*words)
    assert again.stdout == f"{word}\n".encode() and b"cached: not run again" in again.stderr and b"run here" not in again.stderr
    assert not any("run here" in note for note in json.loads(run("--json", *words).stdout)["notes"])


def test_why_knows_an_engine_by_any_form_of_its_address(run, casd):
    assert run("--cache", "--remote", casd.target, "--", "true").returncode == 0
    again = run("--cache", "--remote", f"grpc://{casd.target}/", "--", "true")
    assert b"nothing has changed since" in again.stderr, again.stderr
    why = subprocess.run([CASEMATE, "explain", "--why", "--", "true"], env=run.environment, cwd=run.directory, capture_output=True, text=True, check=True)
    assert f"gone     engine: {casd.target}\n" in why.stdout and "instance" not in why.stdout, why.stdout
