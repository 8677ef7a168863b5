"""casemate explain --json of a fixed job: its fields, and what in them is the same on every host."""

import json
import os
import subprocess

import pytest
from py_test_runner import CASEMATE, TREE

GOLDEN = TREE / "tests" / "golden" / "explain.json"
JOB = ["-e", "A=1", "-w", "/work", "--memory", "64m", "--pids-limit", "32", "--timeout", "2s", "--tmpfs", "/extra:size=1m", "-v", "/usr/share:/shown:ro",
       "--host-path", "/usr/share", "--hostname", "golden", "--", "sh", "-c", "echo \udcff"]  # fmt: skip
# It shows /usr/share, since /usr brings as many links along as the host has.
# These depend on who asks and on what the host has: an engine without privilege has the cell open the trees; there may be no /proc/latency_stats.
HOST_OPS = {"open_source"}


def explain(*arguments, **options):
    done = subprocess.run([CASEMATE, "explain", *map(os.fsencode, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, **options)
    assert done.stderr == b"" or done.returncode == 125
    return done


def portable(told):
    """The object without what another host or user would see."""
    for entry in told["limits"]:
        assert entry.pop("held_by")
    for tree in told["host_trees"]:
        assert tree.pop("opened_by") in ("engine", "cell")
    for name in ("uid_map", "gid_map"):
        assert told.pop(name).startswith("0-")
    assert told.pop("seccomp")
    for part in ("cell", "job"):
        steps = told[part]
        assert all(set(step) == {"op", "words"} and step["words"] for step in steps)
        told[part] = [step["op"] for step in steps if step["op"] not in HOST_OPS]
    return told


def test_a_fixed_job():
    told = portable(json.loads(explain("--json", *JOB).stdout))
    if os.environ.get("CASEMATE_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    assert told == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_text_says_the_same():
    text = explain(*JOB).stdout.decode()
    for part in ("Command:     sh -c", "Namespaces:  user mount pid ipc uts net cgroup", "/usr/share  read-only", "64.0 MiB", "golden", "System calls (profile default):"):
        assert part in text, part
    steps = json.loads(explain("--json", *JOB).stdout)
    for step in steps["cell"] + steps["job"]:
        assert step["words"] in text


def test_help_is_its_own():
    text = explain("--help").stdout.decode()
    assert "Usage: casemate explain" in text
    assert "casemate explain -- true" in text
    assert "casemate run --" not in text
    assert "instead of the command's output" not in text
    assert "124 timed out" not in text


def test_nothing_is_made(tmp_path):
    places = {name: str(tmp_path / name) for name in ("CASEMATE_CACHE_DIR", "CASEMATE_STATE_DIR")}
    explain("--outputs", str(tmp_path / "out"), "--", "true", env=dict(os.environ) | places)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--memory", "zz", "--", "true"], ["-v", "/no/such:/x", "--", "true"], ["--tmpfs", "/proc", "--", "true"]])
def test_what_would_be_refused(arguments):
    done = explain(*arguments)
    assert done.returncode == 125
    assert done.stdout == b""
    assert done.stderr.startswith(b"casemate explain: ")
    assert done.stderr.count(b"\n") == 1
