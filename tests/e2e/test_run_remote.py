"""`casemate run --remote` on a real engine: what a person sees is what a cell gives, and what the engine can't do is told in a line."""

import contextlib
import importlib.util
import json
import marshal
import os
import pathlib
import signal
import subprocess
import time
import uuid

import pytest
from engines import casd, start_casd  # noqa: F401  fixtures

CASEMATE = os.environ.get("CASEMATE", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "bin" / "casemate"))


@pytest.fixture
def run(casd, tmp_path):  # noqa: F811
    def call(*words, environment=None, address=casd.address, **more):
        remote = ["--remote", address] if address else []
        more = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, "cwd": tmp_path, **more}
        return subprocess.run([CASEMATE, "run", *remote, *words], env={**os.environ, **(environment or {})}, **more)

    return call


def test_output_and_status(run):
    done = run("--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert run("--", "sh", "-c", "kill -SEGV $$").returncode == 128 + signal.SIGSEGV
    missing = run("--", "no-such-program")
    assert missing.returncode == 127
    assert "no-such-program" in missing.stderr


def test_files_go_and_come_back(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a\n")
    done = run("--inputs", "in", "--outputs", "out", "--", "sh", "-c", "pwd; cat in/a.txt; echo more >> in/a.txt; echo new > new; ln -s new link")
    assert (done.returncode, done.stdout) == (0, "/app\na\n"), done.stderr
    assert (tmp_path / "out/in/a.txt").read_text() == "a\nmore\n"
    assert (tmp_path / "out/new").read_text() == "new\n"
    assert os.readlink(tmp_path / "out/link") == "new"
    assert (tmp_path / "in/a.txt").read_text() == "a\n"


def test_bytecode_is_used_there_if_it_belongs_to_its_source(run, tmp_path):
    """Inputs have no times there, by which Python would know it."""
    for module in ("fresh", "stale"):
        source = tmp_path / "in" / f"{module}.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text("print('source  ')\n")
        code = compile(source.read_text().replace("source  ", "bytecode"), str(source), "exec")
        said = int(source.stat().st_mtime) - (module == "stale")
        cached = pathlib.Path(importlib.util.cache_from_source(str(source)))
        cached.parent.mkdir(exist_ok=True)
        header = importlib.util.MAGIC_NUMBER + bytes(4) + said.to_bytes(4, "little") + source.stat().st_size.to_bytes(4, "little")
        cached.write_bytes(header + marshal.dumps(code))
    # casd's binds: the interpreter is the worker's /usr, as here.
    done = run("--inputs", "in", "--", "/usr/bin/python3", "-B", "-c", "import sys; sys.path[0] = 'in'; import fresh, stale")
    if importlib.util.MAGIC_NUMBER != subprocess.run(
        ["/usr/bin/python3", "-c", "import importlib.util, sys; sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER)"], capture_output=True, check=True
    ).stdout:
        pytest.skip("these tests' interpreter is another version than /usr/bin/python3")
    assert (done.returncode, done.stdout.split()) == (0, ["bytecode", "source"]), done.stderr


def test_stdin_and_arguments_of_any_bytes(run):
    assert run("-i", "--", "cat", stdin=None, input="typed\n").stdout == "typed\n"
    assert run("-e", "A=\udcff b", "--", "printenv", "A", errors="surrogateescape").stdout == "\udcff b\n"


@pytest.mark.parametrize(
    ("flags", "line", "status", "outcome"),
    [
        (["--timeout", "500ms"], "sleep 100", 124, "timed out"),
        (["--cpu-time", "300ms"], "while :; do :; done", 124, "timed out"),
        (["--output-limit", "1k"], "yes", 137, "output limit"),
        (["--memory", "32m"], "dd if=/dev/zero of=/dev/null bs=200M count=1", 137, "out of memory"),
        (["--inodes", "200"], "for i in $(seq 300); do : > $i; done", 1, "disk limit"),
        (["--inodes", "300"], "for i in $(seq 300); do : > $i; done", 0, "exited"),
        (["--pids-limit", "8"], "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait", 137, "too many processes"),
    ],
)
def test_limits(run, flags, line, status, outcome):
    done = run("--json", *flags, "--", "sh", "-c", line)
    told = json.loads(done.stdout)
    assert (told["outcome_word"], told["exit_status"], done.returncode) == (outcome, status, status), told


def test_inputs_do_not_count_as_made(run, tmp_path):
    """Wherever they lie: an environment of 40,000 files below /var/tmp is no more than a job may make."""
    many = tmp_path / "many"
    many.mkdir()
    for n in range(300):
        (many / str(n)).write_bytes(b"0" * 1000)
    done = run("-v", f"{many}:/var/tmp/many:ro", "--inodes", "200", "--disk", "200k", "--", "sh", "-c", "ls /var/tmp/many | wc -l")
    assert (done.returncode, done.stdout) == (0, "300\n"), done.stderr


def test_the_object_has_the_engines_times(run):
    told = json.loads(run("--json", "--", "echo", "hi").stdout)
    assert told["stdout"] == "hi\n"
    assert told["remote"]["run_ms"] > 0
    assert told["remote"]["sent_bytes"] > 100_000  # the witness
    assert told["remote"]["attempts"] == 1
    again = json.loads(run("--json", "--", "echo", "hi").stdout)
    assert again["remote"]["sent_bytes"] < 10_000


def test_a_deterministic_command_runs_once(run, tmp_path):
    """Its result is kept here, and the engine keeps it for whoever else asks."""
    words = ["--cache", "--json", "--", "sh", "-c", "head -c 16 /dev/urandom | md5sum"]
    here, elsewhere = ({"CASEMATE_CACHE_DIR": str(tmp_path / name)} for name in ("here", "elsewhere"))
    told = [json.loads(run(*words, environment=where).stdout) for where in (here, here, elsewhere)]
    assert [each["cached"] for each in told] == [False, True, True]
    assert len({each["stdout"] for each in told}) == 1
    assert "remote" not in told[1] and told[2]["remote"]["cached"]
    words.remove("--json")
    assert "casemate run: cached: not run again, nothing has changed since " in run(*words, environment=here).stderr
    other = {"CASEMATE_CACHE_DIR": str(tmp_path / "other")}
    assert "casemate run: cached: not run again, the engine had its result\n" in run(*words, environment=other).stderr


def test_what_is_kept_of_an_engine_is_not_of_here(run, casd, tmp_path):  # noqa: F811
    where = {"CASEMATE_CACHE_DIR": str(tmp_path / "cache")}
    words = ["--cache", "--json", "--", "sh", "-c", "head -c 16 /dev/urandom | md5sum"]
    told = [json.loads(run(*words, environment=where, **more).stdout) for more in ({}, {"address": None})]
    told.append(json.loads(run("--remote-property", "OSFamily=linux", *words, environment=where).stdout))
    assert [each["cached"] for each in told] == [False] * 3
    assert len({each["stdout"] for each in told}) == 3
    fell_back = json.loads(run("--remote-fallback", *words, environment=where, address="grpc://127.0.0.1:1").stdout)
    assert (fell_back["cached"], fell_back["stdout"]) == (True, told[1]["stdout"])  # as one that was asked for here


def test_why_a_remote_command_runs_again(run, casd, tmp_path):  # noqa: F811
    where = {"CASEMATE_CACHE_DIR": str(tmp_path / "cache")}
    (tmp_path / "in").write_text("1")

    def why(address=casd.address):
        words = [CASEMATE, "explain", "--why", "--remote", address, "--inputs", "in", "--", "cat", "in"]
        return subprocess.run(words, cwd=tmp_path, env={**os.environ, **where}, capture_output=True, text=True, timeout=60, check=True).stdout

    assert why().startswith("The command has not run with --cache")
    assert run("--cache", "--inputs", "in", "--", "cat", "in", environment=where).stdout == "1"
    assert why().endswith("A result for these inputs is kept: 'casemate run --cache' does not run the command.\n")
    (tmp_path / "in").write_text("2")
    assert why().splitlines()[1:] == ["  changed  /app/in", "No result for these inputs is kept: 'casemate run --cache' runs the command."]
    assert f"  changed  engine: {casd.address.removeprefix('grpc://')} -> 127.0.0.1:1\n" in why("grpc://127.0.0.1:1")


def runs(words):
    """Whether a process with these words, and no others, is on this machine: casd's sandboxes are."""
    wanted = b"".join(word.encode() + b"\0" for word in words)
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes() == wanted:
                return True
    return False


def within(seconds, holds):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_interrupted(casd, tmp_path):  # noqa: F811
    job = ["sleep", f"1000.{uuid.uuid4().int}"]  # of this test alone
    with subprocess.Popen(
        [CASEMATE, "run", "--remote", casd.address, "--", *job], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert within(60, lambda: runs(job) or process.poll() is not None)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGINT, said
    assert within(60, lambda: not runs(job)), "it goes on there"


def test_an_engine_that_is_not_there(run):
    done = run("--", "true", address="grpc://127.0.0.1:1")
    assert done.returncode == 125
    assert "127.0.0.1:1" in done.stderr
    fell_back = run("--remote-fallback", "--", "echo", "here", address="grpc://127.0.0.1:1")
    assert (fell_back.returncode, fell_back.stdout) == (0, "here\n"), fell_back.stderr
    assert "run here" in fell_back.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--cpus", "1"], "--cpus"),
        (["--read-only"], "--read-only"),
        (["-v", "/tmp:/x"], "can't be mounted for writing"),
        (["--cap-add", "NET_RAW"], "--cap-add"),
        (["--remote-priority", "soon"], "--remote-priority 'soon'"),
        (["--remote-image", "none"], "--remote-image 'none'"),
        (["--remote-header", "secret"], "--remote-header: write NAME=VALUE"),
        (["--remote-cert", "x.pem"], "belong together"),
        (["--executor", "native"], "leave it or --remote out"),
    ],
)
def test_what_can_not_be_is_told(run, flags, says):
    done = run(*flags, "--", "true")
    assert done.returncode == 125
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_variables_and_files_name_an_engine(casd, run, tmp_path):  # noqa: F811
    told = json.loads(run("--json", "--", "true", address="", environment={"CASEMATE_REMOTE": casd.address}).stdout)
    assert "remote" in told
    (tmp_path / "casemate.toml").write_text(f'[remote]\naddress = "{casd.address}"\n[remote.properties]\nOSFamily = "linux"\n')
    (tmp_path / "deep").mkdir()
    told = json.loads(run("--json", "--", "true", address="", cwd=tmp_path / "deep").stdout)
    assert "remote" in told
    here = json.loads(run("--json", "--executor", "native", "--", "true", address="").stdout)
    assert "remote" not in here
    (tmp_path / "casemate.toml").write_text('[remote]\nadress = "x"\n')
    wrong = run("--", "true", address="")
    assert wrong.returncode == 125
    assert "casemate.toml:2" in wrong.stderr


def test_a_project_names_no_secret_that_is_not_its_own(casd, run, tmp_path):  # noqa: F811
    """Its casemate.toml may be somebody else's, and the engine that it names too."""
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "token").write_text("s3cr3t-token\n")
    (project / "own").write_text("own-token\n")
    (project / "link").symlink_to("../token")
    for name, status in ((tmp_path / "token", 125), ("../token", 125), ("link", 125), ("own", 0)):
        (project / "casemate.toml").write_text(f'[remote]\naddress = "{casd.address}"\ntoken-file = "{name}"\n')
        done = run("--", "true", address="", cwd=project)
        assert done.returncode == status, (name, done.stderr)
        assert status == 0 or "is not below the file's directory" in done.stderr


def test_a_password_in_an_address_is_in_no_message(run):
    for address in ("grpc://me:s3cr3t@127.0.0.1:1", "http://me:s3cr3t@127.0.0.1:1", "grpc://me:s3cr3t@127.0.0.1"):
        done = run("--json", "--", "true", address=address)
        assert (done.returncode, "s3cr3t" in done.stdout + done.stderr) == (125, False)


def test_a_switch_that_is_neither_on_nor_off(run):
    done = run("--", "true", environment={"CASEMATE_REMOTE_FALLBACK": "maybe"})
    assert done.returncode == 125
    assert "CASEMATE_REMOTE_FALLBACK 'maybe': must be true or false" in done.stderr


def test_the_disk_limit_counts_the_working_directory(run):
    done = run("--json", "--disk", "1m", "--", "sh", "-c", "for i in 1 2 3 4; do head -c 500000 /dev/urandom > $i; done")
    assert json.loads(done.stdout)["outcome"].startswith("disk limit"), done.stdout


def test_credentials_are_in_no_output(run, tmp_path):
    (tmp_path / "token").write_text("s3cr3t-token\n")
    words = ["--remote-header", "x-key=s3cr3t-header", "--remote-token-file", "token", "--json", "--", "true"]
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    gone = run(*words, address="grpc://127.0.0.1:1")
    for text in (done.stdout, done.stderr, gone.stdout, gone.stderr):
        assert "s3cr3t" not in text
    state = pathlib.Path(os.environ.get("CASEMATE_STATE_DIR", "/nonexistent"))
    for path in state.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()
