"""py_test_runner with real packages, and with scripts that behave badly."""

import json
import os
import shutil
import signal
import subprocess

import pytest
from py_test_runner import CASEMATE, TREE, gone

EXAMPLE = TREE / "examples" / "script"


def reached_index(runner):
    """Installing anything needs a package index; without one these tests say so instead of failing."""
    runner.write("six.txt", "six==1.16.0\n")
    told, _ = runner.object("import six\nprint(six.__version__)\n", requirements="six.txt")
    if told["status"] == "error" and told["error_type"] == "environment_setup_failed":
        pytest.skip("no package index can be reached: " + told["message"])
    return told


def test_a_package_from_the_index_and_the_cache(runner):
    told = reached_index(runner)
    assert told["status"] == "success", told
    assert told["details"]["stdout"] == "1.16.0\n"
    again, status = runner.object("import six\nprint(six.__version__)\n", requirements="six.txt")
    assert status == 0
    assert again["details"]["environment"]["cached"] is True
    assert again["details"]["environment"]["key"] == told["details"]["environment"]["key"]


def test_without_uv_pip_makes_the_environment(runner):
    """As installed on a machine that has none: no uv on PATH, in the home directory or beside the program."""
    reached_index(runner)
    home = runner.directory.parent / "home"
    (home / "bin").mkdir(parents=True)
    runner.program = home / "bin" / "py_test_runner"
    shutil.copy(CASEMATE, runner.program)
    runner.environment.pop("CASEMATE_UV", None)
    runner.environment |= {"HOME": str(home), "CASEMATE_CACHE_DIR": str(home / "cache")}
    path = [entry for entry in runner.environment["PATH"].split(":") if not os.path.exists(os.path.join(entry, "uv"))]
    runner.environment["PATH"] = ":".join(path)
    told, status = runner.object("import six\nprint(six.__version__)\n", requirements="six.txt", timeout=300)
    if status and "neither pip nor ensurepip" in told["message"]:
        pytest.skip(told["message"])
    assert status == 0, told
    assert told["details"]["stdout"] == "1.16.0\n"
    assert told["details"]["environment"]["installer"].startswith("pip ")


def test_the_environment_cannot_be_written(runner):
    reached_index(runner)
    source = "import six\ntry:\n    open(six.__file__, 'a').write('x')\nexcept OSError as problem:\n    print(problem.strerror)\n"
    told, status = runner.object(source, requirements="six.txt")
    assert status == 0
    assert told["details"]["stdout"] == "Read-only file system\n"


def test_an_unpinned_conflict_is_told_in_the_installers_words(runner):
    reached_index(runner)
    runner.write("requirements.txt", "six==1.16.0\nsix==1.15.0\n")
    told, status = runner.object("pass", requirements="requirements.txt")
    assert status == 1
    assert told["error_type"] == "environment_setup_failed"
    assert "six" in told["details"]["raw_logs"]


@pytest.mark.big
def test_the_demonstration(runner):
    """examples/script as ./dev demo runs it: pandas, a plot, files in a directory of their own."""
    reached_index(runner)
    arguments = (EXAMPLE / "report.args").read_text().strip()
    command = ["--script", EXAMPLE / "report.py", "--reqs", EXAMPLE / "requirements.txt", "--inputs", EXAMPLE / "readings.csv", "--script-args", arguments]
    command += ["--network", "none"]  # the default wants a gateway, which not every host can have
    done = runner(*command, "--json-output", timeout=900)
    told = json.loads(done.stdout)
    assert told["status"] == "success", told
    assert told["captured_files"] == ["plot.png", "stations/harbour.csv", "stations/hill.csv", "stations/valley.csv", "summary.csv"]
    results = runner.results()
    assert results["plot.png"].startswith(b"\x89PNG")
    assert results["summary.csv"].splitlines()[0] == b"station,count,mean,min,max"
    again = json.loads(runner(*command, "--json-output").stdout)
    assert again["details"]["environment"]["cached"] is True
    assert again["captured_files"] == told["captured_files"]


def test_history_remembers(runner):
    """What is not in the database yet lies in the spool beside it."""
    state = runner.directory.parent / "state"
    runner.environment["CASEMATE_STATE_DIR"] = str(state)
    runner.object("raise SystemExit(4)", "--script-args", "a 'b c'", name="remembered.py")
    (kept,) = (json.loads(line) for line in (state / "casemate.spool").read_text(encoding="utf-8").splitlines() if line)
    assert "remembered.py a 'b c'" in json.dumps(kept)
    assert "script" in kept.values()
    assert "exited" in kept.values()
    assert 4 in kept.values()


@pytest.mark.parametrize("wrong", ["requirements", "interpreter"])
def test_history_remembers_environments_that_failed(runner, wrong):
    state = runner.directory.parent / "state"
    runner.environment["CASEMATE_STATE_DIR"] = str(state)
    runner.write("requirements.txt", "--no-index\ncasemate-has-no-such-package==1.0\n")
    if wrong == "requirements":
        told, _ = runner.object("pass", requirements="requirements.txt")
    else:
        told, _ = runner.object("pass", "--python-version", "2.99")
    assert told["error_type"] == "environment_setup_failed"
    listed = subprocess.run([CASEMATE, "history", "--json"], env=runner.environment, stdout=subprocess.PIPE, check=True)
    (kept,) = json.loads(listed.stdout)
    assert (kept["front_end"], kept["name"], kept["outcome"]) == ("script", "script.py", "setup failed")
    assert kept["wall_us"] > 0
    assert kept["details"]["error_type"] == "environment_setup_failed"
    assert kept["details"]["message"] == told["message"]


def test_history_forgets_requests_that_made_no_sense(runner):
    state = runner.directory.parent / "state"
    runner.environment["CASEMATE_STATE_DIR"] = str(state)
    assert runner("--script", "gone.py", "--reqs", "/dev/null").returncode == 1
    assert not (state / "casemate.spool").exists()


# Scripts that behave badly. Each ends in the words of its outcome, and nothing of it is left.

BAD = {
    "timeout": ("import time\ntime.sleep(600)\n", ["--timeout", "1"], "The user script timed out after 1 s.", "timed out", 124),
    "memory": ("x = []\nwhile True: x.append(bytearray(1 << 20))\n", ["--memory", "64M"], "The user script ran out of memory (limit 64.0 MiB).", "out of memory", 137),
    "signal": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", [], "The user script was ended by signal 9 (SIGKILL).", "signaled 9 (SIGKILL)", 137),
    "segfault": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", [], "The user script was ended by signal 11 (SIGSEGV).", "signaled 11 (SIGSEGV)", 139),
    "empty exit": ("import os\nos._exit(255)\n", [], "The user script failed with a non-zero exit code.", "exited 255", 255),
    "syntax": ("def\n", [], "The user script failed with a non-zero exit code.", "exited 1", 1),
    "binary": (b"\x7fELF\x00\x01\xff", [], "The user script failed with a non-zero exit code.", "exited 1", 1),
    "not utf-8": (b"x = '\xff'\n", [], "The user script failed with a non-zero exit code.", "exited 1", 1),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_ends(runner, kind):
    source, arguments, message, outcome, code = BAD[kind]
    told, status = runner.object(source, *arguments)
    assert status == 1
    assert told["error_type"] == "script_execution_failed"
    assert told["message"] == message
    assert told["details"]["outcome"].startswith(outcome)
    assert told["details"]["exit_code"] == code


def test_an_empty_script_succeeds(runner):
    told, status = runner.object("")
    assert status == 0
    assert told["message"] == "Script executed successfully. Captured 0 output file(s)."


def test_fork_bomb(runner):
    source = "import os\nwhile True:\n    os.fork()\n"
    told, status = runner.object(source, "--pids", "64", "--timeout", "20")
    assert status == 1
    assert told["error_type"] == "script_execution_failed"
    assert told["details"]["outcome"].split(" (")[0] in ("too many processes", "exited 1", "timed out"), told["details"]["outcome"]


def test_a_full_disk(runner):
    source = "with open('big', 'wb', 0) as f:\n    while True: f.write(bytes(1 << 20))\n"
    told, status = runner.object(source, "--disk", "16M")
    assert status == 1
    assert told["error_type"] == "script_execution_failed"
    assert told["details"]["outcome"].startswith("disk limit")
    assert told["message"] == "The user script filled its disk (limit 16.0 MiB)."


def test_a_flood_is_bounded(runner):
    source = "import os\nfor _ in range(2000): os.write(1, b'x' * 65536)\n"  # 125 MiB
    told, _ = runner.object(source, "--timeout", "60")
    assert len(told["details"]["raw_logs"]) <= (64 << 20) + 4096
    assert told["details"]["output_truncated"] is True


def test_daemons_are_killed_and_named(runner):
    name = f"daemon_{os.getpid()}"
    source = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, ['{name}', '-c', 'import time; time.sleep(600)'])
    os._exit(0)
os.wait()
time.sleep(0.5)
"""
    told, status = runner.object(source, "--timeout", "30")
    assert status == 0, told
    assert told["details"]["leftovers"]
    assert gone(name)


def test_hard_names(runner):
    source = r"""
import os
for name in (b'-rf', b'new\nline', b'\xff\xfe', b'a b', 'caf\u00e9'.encode(), b'\x1b[2J', b'"quoted"', b'.hidden'):
    with open(name, 'wb') as stream:
        stream.write(name)
"""
    told, status = runner.object(source)
    assert status == 0
    names = {bytes.fromhex(entry["path_bytes"]) if "path_bytes" in entry else entry["path"].encode() for entry in told["details"]["captured"]}
    expected = {b"-rf", b"new\nline", b"\xff\xfe", b"a b", "caf\u00e9".encode(), b"\x1b[2J", b'"quoted"', b".hidden"}
    assert names == expected
    assert len(told["captured_files"]) == len(expected)
    assert {os.fsencode(name): content for name, content in runner.results().items()} == {name: name for name in expected}
    human = runner.script(source)
    assert b"\x1b" not in human.stderr
    assert rb"new\nline" in human.stderr


def test_traps_for_whoever_collects(runner):
    source = """
import os, socket
os.symlink('/etc/shadow', 'shadow')
os.symlink('..', 'up')
os.symlink('loop', 'loop')
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
os.mkdir('shut'); open('shut/inside', 'w').write('i'); os.chmod('shut', 0)
open('unreadable', 'w').write('u'); os.chmod('unreadable', 0)
open('one', 'w').write('1'); os.link('one', 'two')
with open('sparse', 'wb') as f: f.truncate(64 << 20)
try:
    with open('giant', 'wb') as f: f.truncate(8 << 40)
except OSError:
    pass  # a limit may forbid it: as good
for depth in range(100):
    os.mkdir('d'); os.chdir('d')
open('bottom', 'w').write('b')
"""
    told, status = runner.object(source, timeout=120)
    assert status == 0, told
    results = runner.results()
    assert results["shut/inside"] == b"i"
    assert results["unreadable"] == b"u"
    assert results["one"] == results["two"] == b"1"
    assert results["d/" * 100 + "bottom"] == b"b"
    assert "fifo" not in results and "socket" not in results
    skipped = {entry["path"] for entry in told["details"]["skipped"]}
    assert {"fifo", "socket"} <= skipped
    assert (runner.directory / "results" / "sparse").stat().st_blocks * 512 < 1 << 20
    for directory, _, _ in os.walk(runner.directory / "results"):
        os.chmod(directory, 0o700)


def test_the_network_of_the_document_is_there(runner):
    source = "import socket\nprint(sorted(name for _, name in socket.if_nameindex()))\n"
    told, status = runner.object(source, network="outbound")
    if told["status"] == "error" and told["details"].get("reason") == "not_supported":
        assert "--network none" in told["message"]
        pytest.skip(told["message"])
    assert status == 0, told
    assert len(json.loads(told["details"]["stdout"].replace("'", '"'))) == 2
    told, _ = runner.object(source, network="none")
    assert told["details"]["stdout"] == "['lo']\n"


def test_python_versions_of_the_host(runner):
    others = [version for version in ("3.12", "3.13", "3.10") if shutil.which(f"python{version}")]
    if not others:
        pytest.skip("this host has only one Python 3")
    told, status = runner.object("import sys\nprint(sys.version_info[:2])\n", "--python-version", others[0])
    if told["status"] == "error" and "venv" in told["message"]:
        pytest.skip(told["message"])
    assert status == 0, told
    assert told["details"]["stdout"] == f"({others[0].replace('.', ', ')})\n"


def test_two_runs_at_once_do_not_mix_their_results(runner):
    slow = "import pathlib, sys, time\npathlib.Path('one').write_text('1')\nprint('begun', flush=True)\ntime.sleep(60)\n"
    runner.write("slow.py", slow)
    first = runner.start("--script", "slow.py", "--reqs", "/dev/null", "--network", "none", "-q", "--timeout", "5")
    assert first.stdout.readline() == b"begun\n"
    told, status = runner.object("open('two', 'w').write('2')\n")
    assert (status, told["error_type"]) == (1, "runner_internal_error")
    assert "another run is writing to results" in told["message"]
    told, status = runner.object("open('two', 'w').write('2')\n", "--results", "others")
    assert (status, told["captured_files"]) == (0, ["two"])
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert list(runner.results()) == ["one"]
    assert runner.script("open('three', 'w').write('3')\n").returncode == 0
    assert list(runner.results()) == ["three"]
