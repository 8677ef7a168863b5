"""The engine that other tests are tested against: it starts, runs actions, keeps what it has, and leaves nothing."""

import os
import pathlib
import subprocess
import sys

import pytest
from casd import PROGRAMS
from client import Client, digest

HERE = pathlib.Path(__file__).resolve().parent


def left_of(top):
    """Processes that name a directory, and mounts below it."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(top).encode() in (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes())
        except OSError:
            pass
    return found + [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if str(top) in line]


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_runs_actions_and_leaves_nothing(start_casd, unix):
    engine = start_casd(unix=unix)
    assert engine.address.startswith("unix:/" if unix else "grpc://127.0.0.1:")
    with Client(engine.target) as client:
        assert client.capabilities().execution_capabilities.exec_enabled
        done = client.shell("cat in > out; echo said; exit 3", files=[("in", b"some input")])
        assert (done.status.code, done.result.exit_code, client.out(done)) == (0, 3, b"said\n")
        assert client.read(done.result.output_files[0].digest) == b"some input"
        going = client.execute(client.action("/bin/sh", "-c", "sleep 600"))
        next(going)
    engine.end()
    assert not left_of(engine.top)
    assert not engine.top.exists()


def test_bare_has_only_the_input_root(start_casd):
    with Client(start_casd(bare=True).target) as client:
        assert client.shell("true").result.exit_code != 0


def test_what_is_stored_outlives_a_failure(casd):
    with Client(casd.target) as client:
        assert client.put(b"kept") == [0]
    before = casd.target
    casd.kill()
    casd.start()
    assert casd.target == before
    with Client(casd.target) as client:
        assert client.missing(digest(b"kept"), digest(b"other")) == [digest(b"other").hash]


def test_a_forgotten_blob_is_missing(casd):
    with Client(casd.target) as client:
        client.put(b"here today")
        casd.forget(digest(b"here today").hash)
        assert client.missing(digest(b"here today")) == [digest(b"here today").hash]


def test_dies_with_its_starter(tmp_path):
    script = "import sys, time, casd; one = casd.Casd(sys.argv[1]); print('started', flush=True); time.sleep(600)"
    starter = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "c")], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(HERE.parent / "e2e")})
    line = starter.stdout.readline()
    if not line:
        pytest.skip("no engine here")
    starter.kill()
    starter.wait()
    for _ in range(100):
        if not left_of(tmp_path / "c"):
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert not left_of(tmp_path / "c")


def test_as_an_ordinary_user(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("this whole run is one")
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    if subprocess.run([*user, "test", "-x", PROGRAMS / "buildbox-casd", "-a", "-r", HERE], check=False).returncode != 0:
        pytest.skip(f"user 65534 may not read {PROGRAMS} or {HERE}")
    # pytest's own directories are for its user alone.
    script = """if True:
        import sys, tempfile, casd, client
        with tempfile.TemporaryDirectory(dir="/var/tmp") as top:
            engine = casd.Casd(top + "/casd")
            try:
                with client.Client(engine.target) as one:
                    done = one.shell("id -u; cat in > out", files=[("in", b"abc")])
                    assert one.read(done.result.output_files[0].digest) == b"abc"
                    print(done.result.exit_code, engine.top)
            finally:
                engine.end()
    """
    environment = os.environ | {"PYTHONPATH": f"{HERE.parent / 'e2e'}:{HERE}", "HOME": "/nonexistent"}
    done = subprocess.run([*user, sys.executable, "-c", script], cwd="/", env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout[:2]) == (0, "0 "), done.stderr
    assert not left_of(done.stdout.split()[1])
