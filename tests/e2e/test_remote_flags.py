"""The table of flags in docs/guide/remote.md: it has all of them, and is right."""

import json
import re
import subprocess

import pytest
from py_test_runner import CASEMATE, TREE

ROWS = [
    (re.findall(r"`(--[a-z-]+)`", flags), commands.split(", "), there)
    for flags, commands, there in re.findall(r"^\| (`--.*?) \| ([a-z, ]+) \| (kept|note|refused) \|", (TREE / "docs/guide/remote.md").read_text(), re.M)
]
FLAGS = {(command, flag): there for flags, commands, there in ROWS for flag in flags for command in commands}

# What the engine and the display are told, where images come from, which tests run: nothing of it is a job's.
OTHERS = re.compile(
    r"--(remote.*|tls_.*|help|version|json.*|quiet|verbose|name|executor|color|ui|pull|platform|lock|tls-verify|authfile|cert-dir|print-config|init|list|co"
    r"|collect-only|watch|config-file|include|exclude|lf|ff|nf|last-failed|failed-first|new-first|repeat|loop|stop-after|maxfail|retries|shard|broker"
    r"|(no-)?immortal|no-cache|cache-size|container-image-depot-root|accept-invalid.*|slow-after|durations|inline-limit|junit.*|html|(no-)?github|collect-from-module"
    r"|extra-pytest.*|exitfirst|pytest-config|override-ini|pythonwarnings|tb|capture|showlocals|rootdir|confcutdir|ignore.*|deselect|import-mode|pyargs"
    r"|strict.*|runxfail|doctest.*|noconftest|continue-on-collection-errors|tty|net|numprocesses|why|log-level)"
)

# A flag with its value, a command, and what that prints.
EXAMPLES = {
    "--env": ("A=b", "echo $A", "b\n"),
    "--workdir": ("/app/x", "pwd", "/app/x\n"),
    "--volume": ("IN:/given:ro", "cat /given/a", "given\n"),
    "--mount": ("type=overlay,source=IN,target=/given", "echo more >> /given/a; cat /given/a", "given\nmore\n"),
    "--tmpfs": ("/empty:size=1m", "ls /empty | wc -l", "0\n"),
    "--memory": ("64m", "echo fits", "fits\n"),
    "--timeout": ("50s", "echo ends", "ends\n"),
    "--file-size": ("1m", "ulimit -f", "2048\n"),
    "--open-files": ("77", "ulimit -n", "77\n"),
    "--cpus": ("1", "true", ""),
    "--network": ("outbound", "echo ran", "ran\n"),
    "--read-only": (None, "true", ""),
    "--cap-add": ("NET_RAW", "true", ""),
    "--cap-drop": ("ALL", "echo ran", "ran\n"),
    "--init": (None, "echo ran", "ran\n"),
    "--rm": (None, "echo ran", "ran\n"),
    "--profile": ("strict", "echo ran", "ran\n"),
    "--inputs": ("IN", "cat in/a", "given\n"),
    "--hostname": ("mine", "echo ran", "ran\n"),
    "--host-path": ("IN", "cat IN/a", "given\n"),
    "--cache": (None, "echo ran", "ran\n"),
}


def flags_of(command):
    told = subprocess.run([CASEMATE, command, "--help"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in told.splitlines() if re.match(r" {1,2}-", line)]
    return {flag for line in lines for flag in re.findall(r"--[a-z][a-z_-]*", re.split(r"\s{2,}", line.strip())[0])}


@pytest.mark.parametrize("command", ["run", "script", "pytest"])
def test_the_table_has_all_that_touch_a_job(command):
    there = flags_of(command)
    missing = {flag for flag in there if (command, flag) not in FLAGS and not OTHERS.fullmatch(flag)}
    assert not missing and len(there) > 20
    rows = {flag for of, flag in FLAGS if of == command}
    assert not rows - there - {flag for flags, commands, _ in ROWS if len(commands) > 1 for flag in flags}, "flags that there are not"


def test_each_is_what_the_table_says(run, casd):
    (run.directory / "in").mkdir()
    (run.directory / "in/a").write_text("given\n")
    plain = json.loads(run("--remote", casd.address, "--json", "--", "true").stdout)
    assert plain["notes"] == []
    wrong = []
    for (command, flag), there in FLAGS.items():
        if command != "run" or flag not in EXAMPLES:
            continue
        value, line, out = ((word or "").replace("IN", str(run.directory / "in")) for word in EXAMPLES[flag])
        more = ["--"] if flag == "--inputs" else []
        done = run("--remote", casd.address, "--json", flag, *([value] if value else []), *more, "sh", "-c", line)
        told = json.loads(done.stdout)
        if there == "refused":
            right = done.returncode == 125 and flag in told["message"]
        else:
            right = done.returncode == 0 and told["stdout"] == out and bool(told["notes"]) == (there == "note")
        if not right:
            wrong.append((flag, there, told))
    assert not wrong
    noted = run("--remote", casd.address, "--hostname", "mine", "--", "echo", "ran")
    assert (noted.stdout, noted.stderr) == (b"ran\n", b"casemate run: note: the host's name is the engine's own\n")


def test_a_script_too(runner, casd):
    runner.environment["PATH"] = "/usr/bin:/bin"
    told, status = runner.object("print(1)", "--remote", casd.address, "--cpus", "1")
    assert (FLAGS["script", "--cpus"], status) == ("refused", 1) and "--cpus" in told["message"]
    told, status = runner.object("print(1)", "--remote", casd.address, network="host")
    assert status == 0 and any("network" in note for note in told["details"]["notes"]), told
    told, status = runner.object("print(1)", "--remote", casd.address)
    assert status == 0 and not told["details"]["notes"], told
