"""Jobs on a remote engine to which things happen: never a wrong verdict, never a result twice, `lost` with the reason, and the rest goes on. The faults
are those of tests/remote/proxy.py, before a real engine; some are the engine's own: killed, full, without a blob it had."""

import hashlib
import json
import os
import signal
import subprocess

import pytest
from py_test_runner import CASEMATE

UPLOADS = ("FindMissingBlobs", "BatchUpdateBlobs")
# Reads its input, says so on both streams, leaves a file: what of it is missing shows.
SCRIPT = "cat; echo to stderr >&2; echo made > /app/made"
# Of one execution; for faults that do not end.
SHORT = "--remote-timeout=4s"


@pytest.fixture
def remote(run, proxy):
    """`casemate run --json` through the proxy: (the object, the exit status)."""
    if not CASEMATE.with_name("casemate-remote").exists():
        pytest.fail("casemate-remote is missing: ./dev build")

    def ask(*words, address=proxy.address, timeout=120, **options):
        done = run("--json", "--remote", address, *words, timeout=timeout, **options)
        return (json.loads(done.stdout) if done.stdout else {"error": done.stderr.decode()}), done.returncode

    return ask


def good(remote, *words):
    """Runs SCRIPT, all of which has to come back."""
    (made, status) = remote("-i", *words, "--", "sh", "-c", SCRIPT, input=b"some input", stdin=None)
    assert (status, made.get("outcome"), made.get("stdout"), made.get("stderr")) == (0, "exited 0", "some input", "to stderr\n"), made
    return made


def lost(answer, *words):
    """Says `lost`, and why."""
    made, status = answer
    assert status == 125, made
    assert made["outcome"].startswith("lost"), made
    for word in words:
        assert word in made["outcome"], made["outcome"]


def test_without_a_fault(remote, proxy):
    assert good(remote)["remote"]["attempts"] == 1
    assert proxy.counts("Execute")["calls"] == 1


@pytest.mark.parametrize("method", ["GetCapabilities", *UPLOADS, "Execute", "BatchReadBlobs"])
def test_unavailable_for_a_while(remote, proxy, method):
    proxy.rules({"method": method, "fault": "status", "code": "UNAVAILABLE", "times": 2})
    good(remote)
    if method != "BatchReadBlobs":  # what an engine inlines nobody reads
        assert proxy.counts(method)["broken"] == 2


@pytest.mark.parametrize("method", ["GetCapabilities", *UPLOADS, "Execute", "Read", "BatchReadBlobs"])
def test_connections_that_are_reset(remote, proxy, method):
    proxy.rules({"method": method, "fault": "cut", "times": 1})
    good(remote)


def test_too_many_calls_are_told_when_to_come_again(remote, proxy):
    proxy.rules({"method": "Execute", "fault": "status", "code": "RESOURCE_EXHAUSTED", "retry_after": 0.5, "times": 2})
    good(remote)
    assert proxy.counts("Execute")["codes"] == {"RESOURCE_EXHAUSTED": 2, "OK": 1}


@pytest.mark.parametrize("fault", [{"fault": "cut"}, {"fault": "status", "code": "UNAVAILABLE"}], ids=["cut", "status"])
def test_a_stream_that_breaks_is_taken_up_again(remote, proxy, fault):
    proxy.rules({"method": "Execute", "messages": 1, "times": 1, **fault})
    made, status = remote("--", "sh", "-c", "sleep 1; echo once")
    assert (status, made["stdout"]) == (0, "once\n")
    # The action ran once: it was waited for, not sent again.
    assert (proxy.counts("Execute")["calls"], proxy.counts("WaitExecution")["calls"]) == (1, 1)
    assert made["remote"]["attempts"] == 2


def test_a_stream_that_always_breaks(remote, proxy):
    proxy.rules(*({"method": method, "messages": 1, "fault": "cut"} for method in ("Execute", "WaitExecution")))
    made, status = remote("--", "sh", "-c", "sleep 1; echo once")
    assert (status, made["stdout"]) == (0, "once\n")


def test_an_engine_that_hangs(remote, proxy):
    proxy.rules({"method": "Execute", "fault": "hang"})
    lost(remote(SHORT, "--", "true"))


def test_an_engine_that_hangs_once_it_executes(remote, proxy):
    proxy.rules(*({"method": method, "messages": 1, "fault": "hang"} for method in ("Execute", "WaitExecution")))
    lost(remote(SHORT, "--", "sleep", "1"))


def test_wrong_bytes_for_a_while(remote, proxy):
    proxy.rules(*({"method": method, "fault": "corrupt", "times": 1} for method in ("Read", "BatchReadBlobs")))
    good(remote)


def test_wrong_bytes_for_ever(remote, proxy):
    """An output that is not what its digest says is no output: whatever else is known of the job, it is not told as a success."""
    proxy.rules(*({"method": method, "fault": "corrupt"} for method in ("Read", "BatchReadBlobs")))
    lost(remote("--", "sh", "-c", "echo output"))


def test_an_input_that_was_evicted(remote, proxy, casd, run):
    """Twice the same job, with one of its blobs gone in between."""
    name = hashlib.sha256(b"a blob that goes").hexdigest()
    words = ["-i", "--", "cat"]
    for _ in range(2):
        made, status = remote(*words, input=b"a blob that goes", stdin=None)
        assert (status, made["stdout"]) == (0, "a blob that goes")
        casd.forget(name)


def test_an_input_that_is_evicted_before_it_is_used(remote, proxy):
    blob = hashlib.sha256(b"some input").hexdigest() + "/10"
    proxy.rules({"method": "Execute", "fault": "status", "code": "FAILED_PRECONDITION", "times": 1, "missing": blob})
    good(remote)
    assert proxy.counts("Execute")["calls"] == 2


def test_an_input_that_is_never_there(remote, proxy):
    blob = hashlib.sha256(b"some input").hexdigest() + "/10"
    proxy.rules({"method": "Execute", "fault": "status", "code": "FAILED_PRECONDITION", "missing": blob})
    lost(remote("-i", "--", "cat", input=b"some input", stdin=None))
    assert proxy.counts("Execute")["calls"] == 3


def test_an_output_that_was_evicted(remote, proxy):
    """For a moment, and for good."""
    out = b"x" * 200000
    rule = {"fault": "evict", "digest": f"{hashlib.sha256(out).hexdigest()}/{len(out)}"}
    proxy.rules(*({"method": method, **rule} for method in ("Read", "BatchReadBlobs")))
    lost(remote("--", "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x"))


def test_the_link_goes_down_and_comes_up_again(remote, proxy, run):
    process = run.start("--remote", proxy.address, "--", "sh", "-c", "sleep 1; echo done")
    proxy.wait("Execute", "responses")
    proxy.link(up=False)
    proxy.link(up=True)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n"), err


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
def test_the_link_stays_down(remote, proxy, run, silent):
    process = run.start("--json", "--remote", proxy.address, SHORT, "--", "sh", "-c", "sleep 1; echo done")
    proxy.wait("Execute", "responses")
    proxy.link(up=False, silent=silent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 125, (out, err)
    assert json.loads(out)["outcome"].startswith("lost")


def test_nobody_there(run):
    done = run("--remote", "grpc://127.0.0.1:1", "--", "true", timeout=200)
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"127.0.0.1:1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_fallback(run, proxy):
    """What the engine can't run is run here, and a note says so."""
    proxy.rules({"method": "GetCapabilities", "fault": "status", "code": "UNAUTHENTICATED"})
    done = run("--json", "--remote", proxy.address, "--remote-fallback", "--", "sh", "-c", "echo here; exit 3")
    made = json.loads(done.stdout)
    assert (done.returncode, made["stdout"], made["outcome"]) == (3, "here\n", "exited 3")
    assert any("run here" in note for note in made["notes"]), made["notes"]
    assert proxy.counts("Execute")["calls"] == 0


def test_fallback_when_the_engine_goes(run, proxy):
    proxy.rules({"method": "Execute", "fault": "status", "code": "PERMISSION_DENIED"})
    done = run("--json", "--remote", proxy.address, "--remote-fallback", "--", "sh", "-c", "echo here; exit 3")
    made = json.loads(done.stdout)
    assert (done.returncode, made["stdout"], made["outcome"]) == (3, "here\n", "exited 3")
    assert any("run here" in note for note in made["notes"]), made["notes"]


def test_a_failure_is_no_reason_to_fall_back(run, proxy):
    done = run("--json", "--remote", proxy.address, "--remote-fallback", "--", "sh", "-c", "exit 3")
    made = json.loads(done.stdout)
    assert (done.returncode, made["outcome"], made["notes"]) == (3, "exited 3", [])


def test_credentials_that_are_refused(run, proxy, tmp_path):
    proxy.require(authorization="Bearer right")
    (tmp_path / "wrong").write_text("wrong\n")
    (tmp_path / "right").write_text("right\n")
    for words in ([], ["--remote-token-file", tmp_path / "wrong"], ["--remote-header", "authorization=Bearer wrong"]):
        done = run("--remote", proxy.address, *words, "--", "true")
        assert (done.returncode, done.stdout) == (125, b"")
        said = [line for line in done.stderr.splitlines() if b"note:" not in line]
        assert len(said) == 1
        assert b"UNAUTHENTICATED" in said[0]
        assert b"wrong" not in done.stderr
    for words in (["--remote-token-file", tmp_path / "right"], ["--remote-header", "authorization=Bearer right"]):
        done = run("--remote", proxy.address, *words, "--", "echo", "in")
        assert (done.returncode, done.stdout) == (0, b"in\n"), done.stderr


def test_credentials_that_expire_meanwhile(run, proxy, tmp_path):
    proxy.require(authorization="Bearer good")
    process = run.start("--json", "--remote", proxy.address, "--remote-header", "authorization=Bearer good", "--", "sh", "-c", "sleep 2; echo done")
    proxy.wait("Execute", "responses")
    proxy.require(authorization="Bearer new")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 125, (out, err)
    made = json.loads(out)
    assert made["outcome"].startswith("lost")
    assert "UNAUTHENTICATED" in made["outcome"]


def test_an_engine_that_is_killed_and_started_again(run, casd, proxy):
    """It forgets what it was doing: the action is sent again."""
    process = run.start("--remote", proxy.address, "--", "sh", "-c", "sleep 2; echo done")
    proxy.wait("Execute", "responses")
    casd.kill()
    casd.start()
    out, err = process.communicate(timeout=100)
    assert (process.returncode, out) == (0, b"done\n"), err


def test_an_output_larger_than_the_store(start_casd, run):
    engine = start_casd(quota="30M")
    done = run("--json", "--remote", engine.address, "--", "sh", "-c", "head -c 40000000 /dev/urandom > /app/large", timeout=120)
    assert done.returncode in (0, 125), done.stderr
    # Nobody asked for the file: without it the job is what it was.
    done = run("--json", "--remote", engine.address, "--", "head", "-c", "40000000", "/dev/urandom", timeout=120)
    lost((json.loads(done.stdout), done.returncode))


def test_an_input_larger_than_the_store(start_casd, run):
    engine = start_casd(quota="30M")
    done = run("--json", "--remote", engine.address, "-i", "--", "wc", "-c", input=os.urandom(40000000), stdin=None, timeout=200)
    lost((json.loads(done.stdout), done.returncode))


def test_an_answer_that_is_nonsense(remote, proxy):
    """An operation that is done and says nothing."""
    proxy.rules({"method": "Execute", "fault": "answer", "payload": ""})
    lost(remote(SHORT, "--", "true"))


def test_interrupted(run, proxy):
    """The engine hears that nobody waits any more."""
    process = run.start("--remote", proxy.address, "--", "sleep", "600")
    proxy.wait("Execute", "responses")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    proxy.wait("CancelOperation")


@pytest.mark.parametrize("ending", ["exit 3", "kill -9 $$", "sleep 60 & exit 0"])
def test_what_an_engine_kept_is_not_always_a_result(remote, ending):
    """buildbox-casd keeps failures too: those, and what left processes behind, are run again."""
    words = ["--cache", "--", "sh", "-c", f"cat /proc/sys/kernel/random/uuid; {ending}"]
    first, second = remote(*words), remote(*words)
    assert (first[1], first[0]["outcome"]) == (second[1], second[0]["outcome"])
    assert first[0]["stdout"] != second[0]["stdout"]
    assert second[0]["cached"] is False


def test_an_output_of_a_kept_result_that_was_evicted(remote, run, proxy, tmp_path):
    """What can't be had any more is made again."""
    words = ["--cache", "--", "sh", "-c", "cat /proc/sys/kernel/random/uuid; head -c 200000 /dev/zero | tr '\\0' x"]
    run.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "one")  # what is kept here is not asked for there
    first, _ = remote(*words)
    run.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "two")
    second, status = remote(*words)
    run.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "three")
    assert (status, second["cached"], second["stdout"]) == (0, True, first["stdout"])
    out = first["stdout"].encode()
    rule = {"fault": "evict", "digest": f"{hashlib.sha256(out).hexdigest()}/{len(out)}"}
    proxy.rules(*({"method": method, **rule} for method in ("Read", "BatchReadBlobs")))
    third, status = remote(*words)
    assert (status, third["outcome"], third["cached"]) == (0, "exited 0", False)
    assert third["stdout"] != first["stdout"]


# Says that all went well, and kills who would say otherwise. The numbers of a report, in its order: see witness/action_report.cc.
FORGER = """
import os, struct
number = lambda value: struct.pack("<Q", value)
text = lambda value: number(len(value)) + value
report = text(b"casemate report 1\\n") + number(1) + 11 * number(0) + text(b"") + number(0) + text(b"") + 6 * number(0) + text(b"")
open("/.casemate/result", "wb").write(report)
for name in os.listdir("/proc"):
    if name.isdigit() and open(f"/proc/{name}/comm").read().strip() == "witness":
        os.kill(int(name), 9)
"""


def test_a_job_that_kills_its_witness_and_speaks_for_it(remote):
    lost(remote("--", "python3", "-c", FORGER), "its witness's word")
