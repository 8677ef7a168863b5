"""The lab of BuildGrid and two workers: they share what there is to do, one does what another was lost with, and nothing of it stays."""

import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

import grpc
import pytest
from client import Client, answer
from test_casd import left_of

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture
def client(buildgrid):
    with Client(buildgrid.target, timeout=120) as made:
        yield made


def all_of(client, texts):
    """The answers to these shell commands, run at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(client.shell, texts))


def test_both_workers_share_the_work(client):
    texts = [f"cat in; echo {number} > out" for number in range(20)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda text: client.shell(text, files=[("in", text.encode())]), texts))
    assert [client.out(one) for one in answers] == [text.encode() for text in texts]
    assert [client.read(one.result.output_files[0].digest) for one in answers] == [b"%d\n" % number for number in range(20)]
    shares = collections.Counter(one.result.execution_metadata.worker for one in answers)
    assert set(shares) == {"worker1", "worker2"}
    assert min(shares.values()) >= 3


@pytest.mark.parametrize("how", ["kill", "cut"])
def test_another_does_what_was_lost(buildgrid, client, how):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        going = [pool.submit(client.shell, f"sleep 2; echo {number}") for number in range(2)]
        time.sleep(1)
        getattr(buildgrid, how)(1)
        answers = [one.result() for one in going]
    assert [(one.status.code, client.out(one), one.result.execution_metadata.worker) for one in answers] == [(0, b"0\n", "worker2"), (0, b"1\n", "worker2")]
    {"kill": buildgrid.hire, "cut": buildgrid.mend}[how](1)
    for _ in range(60):
        if {one.result.execution_metadata.worker for one in all_of(client, ["sleep 0.3"] * 2)} == {"worker1", "worker2"}:
            return
        time.sleep(0.5)
    raise AssertionError("worker1 does not come back: " + buildgrid.log("worker1")[-500:])


def test_a_scheduler_that_starts_again(buildgrid, client):
    stream = client.execute(client.action("/bin/sh", "-c", "sleep 4; echo done"))
    name = next(stream).name
    buildgrid.stop()
    with pytest.raises(grpc.RpcError) as error:
        list(stream)
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    buildgrid.start()
    with Client(buildgrid.target, timeout=120) as other:
        done = answer(other.wait(name))
        assert (done.status.code, other.out(done)) == (0, b"done\n")


def test_dies_with_its_starter(buildgrid):
    script = "import time, buildgrid_lab; one = buildgrid_lab.BuildGrid(); print(one.top, flush=True); time.sleep(600)"
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(HERE.parent / "e2e")})
    top = pathlib.Path(starter.stdout.readline().strip())
    assert left_of(top)
    starter.kill()
    starter.wait()
    for _ in range(100):
        if not left_of(top):
            break
        time.sleep(0.05)
    assert not left_of(top)
    assert {one.name for one in top.iterdir()} <= {"s", "log"}
    for one in top.iterdir():
        one.unlink()
    top.rmdir()
