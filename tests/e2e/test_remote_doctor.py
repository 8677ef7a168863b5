"""casemate doctor --remote: what an engine offers and its workers give."""

import json
import os
import socket
import subprocess

import pytest
from py_test_runner import CASEMATE


def doctor(*words, **options):
    return subprocess.run([CASEMATE, "doctor", *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=120, **options)


def rows(done):
    return {row["name"]: row for row in json.loads(done.stdout)["rows"]}


def test_an_engine_and_its_worker_are_told_in_rows(casd):
    done = doctor("--json", "--remote", f"grpc://{casd.target}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["can_run"] is True and told["engine"] == f"grpc://{casd.target}"
    found = rows(done)
    assert found["execution"]["state"] == found["action"]["state"] == found["python"]["state"] == "ok"
    # casd's workers show this host's: an image would not be seen.
    assert found["root"]["state"] == "fallback" and " /usr" in found["root"]["meaning"] and "without binds" in found["root"]["fix"]
    assert "REAPI 2." in found["protocol"]["meaning"]


def test_workers_without_binds_can_have_images(start_casd):
    found = rows(doctor("--json", "--remote", f"grpc://{start_casd(bare=True).target}"))
    assert found["root"]["state"] == "ok" and "images can be sent" in found["root"]["meaning"], found


def test_a_property_changes_who_a_job_is(casd):
    before = rows(doctor("--json", "--remote", f"grpc://{casd.target}"))
    after = rows(doctor("--json", "--remote", f"grpc://{casd.target}", "--remote-property", "unixUID=1000"))
    assert "jobs are 1000:" in after["worker"]["meaning"]
    assert "jobs are 1000:" not in before["worker"]["meaning"]
    # Root without CAP_SETFCAP may not map itself into a user namespace (Linux 5.12); another user may.
    if "jobs are 0:" in before["worker"]["meaning"]:
        assert before["namespaces"]["state"] == "fallback" and "unixUID" in before["namespaces"]["fix"]
        # The sandbox of an ordinary user's casd is one already.
        assert after["namespaces"]["state"] == ("ok" if os.geteuid() == 0 else "fallback")


def test_the_table_ends_with_a_verdict(casd):
    done = doctor("--remote", f"grpc://{casd.target}")
    assert done.returncode == 0
    assert f"Jobs can run on grpc://{casd.target}." in done.stdout.decode()


@pytest.mark.parametrize("address", ["ftp://x:1", "grpc://x", "grpc://"])
def test_an_address_that_is_none_is_wrong_usage(address):
    done = doctor("--remote", address)
    assert done.returncode == 125 and done.stdout == b""
    assert done.stderr.startswith(b"casemate doctor: ") and done.stderr.count(b"\n") == 1


def test_nobody_there_is_told_in_a_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        done = doctor("--remote", f"grpc://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.startswith(b"casemate doctor: remote engine 127.0.0.1:") and done.stderr.count(b"\n") == 1


def test_nobody_there_is_an_object_with_json():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        done = doctor("--json", "--remote", address)
    assert done.returncode == 1 and done.stderr == b""
    told = json.loads(done.stdout)
    assert told["can_run"] is False and told["engine"] == address
    (row,) = told["rows"]
    assert (row["name"], row["state"], row["required"]) == ("engine", "missing", True)
    assert row["meaning"].count("Connection refused") == 1


def test_an_action_that_can_not_run_is_told_once(start_casd):
    """Without its helpers the engine starts nothing."""
    engine = start_casd(arguments=["--runner-arg=--no-such-argument"])
    found = rows(doctor("--json", "--remote", f"grpc://{engine.target}"))
    assert found["action"]["state"] == "missing"
    reason = found["action"]["meaning"]
    assert reason.startswith("lost (") and len(reason) > 10 and reason.count(reason[6:40]) == 1, reason


def test_without_an_address_it_looks_where_runs_go(casd, tmp_path):
    address = f"grpc://{casd.target}"
    done = doctor("--json", "--remote", env={**os.environ, "CASEMATE_REMOTE": address})
    assert json.loads(done.stdout)["engine"] == address
    (tmp_path / "casemate.toml").write_text(f'[remote]\naddress = "{address}"\n')
    for words in (["--remote", "--json"], ["--json", "--remote-property", "a=b"]):
        done = doctor(*words, cwd=tmp_path)
        assert json.loads(done.stdout)["engine"] == address, done.stderr
    assert "engine" not in json.loads(doctor("--json", cwd=tmp_path).stdout)
    nobody = doctor("--remote", cwd="/")
    assert nobody.returncode == 125 and nobody.stderr.startswith(b"casemate doctor: --remote needs an engine: name its address")
