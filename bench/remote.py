#!/usr/bin/env python3
"""casemate on a remote execution engine, on the loopback: a buildbox-casd that runs two actions at a time (./dev test remote makes build/casd-venv), behind
a proxy that counts bytes where bytes are asked for.

usage: bench/remote.py [PART...] [--rounds N] [--jobs N] [--suite NAME...]
  tests    1000 tests that do nothing, and real suites: two actions at a time there, beside two slots here
  again    bytes sent by a first run, and by a second one of the same suite
  upload   an image of 300 MB as input root to an engine whose storage is in memory (one on an ext4 on which files were removed in the last
           minutes looks at each of their inodes, and casd removes one for each blob), beside the same bytes and the same files onto the disk,
           and through the loopback; and its files to an engine that digests them and throws them away: what is the client's part
  memory   the client's peak memory in a run of 10,000 tests, beside its first tenth"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# This file's directory has a pytest.py.
sys.path[0:1] = [str(HERE.parent / "tests/e2e"), str(HERE.parent / "tests/suites")]
os.environ.setdefault("CASEMATE_CASD", str(next((HERE.parent / "build/casd-venv").glob("lib/python3.*/site-packages/buildstream/subprojects/buildbox"), "")))
import prepare
from casd import Casd, NotHere
from fault_proxy import FaultProxy

sys.path.append(str(HERE))
import measure

LAYOUT = Path(os.environ.get("CASEMATE_IMAGES") or measure.TREE / "build/images") / "python3.11"
SIZE_MB = 300


class Bench:
    def __init__(self, root: Path, rounds: int, jobs: int, wanted: list[str]) -> None:
        self.root, self.rounds, self.jobs, self.suites = root, rounds, jobs, wanted
        self.env = {
            "PATH": f"{prepare.VENV}/bin:/usr/local/bin:/usr/bin:/bin",
            "VIRTUAL_ENV": str(prepare.VENV),
            "HOME": str(root),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "CASEMATE_CACHE_DIR": str(root / "cache"),
            "CASEMATE_STATE_DIR": str(root / "state"),
        }

    def run(self, words: list[str], cwd: Path, good: tuple[int, ...] = (0,)) -> float:
        begin = time.perf_counter()
        done = subprocess.run(words, cwd=cwd, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        took = time.perf_counter() - begin
        if done.returncode not in good:
            raise measure.Skipped(f"exit status {done.returncode}: {done.stdout.strip()[-500:]}")
        return took

    def trivial(self, count: int) -> Path:
        directory = self.root / f"trivial{count}"
        if not directory.exists():
            directory.mkdir()
            for i in range(10):
                text = "".join(f"def test_{j}():\n    assert {j} + 1 == {j + 1}\n\n\n" for j in range(count // 10))
                (directory / f"test_{i}.py").write_text(text)
            (directory / "pytest.ini").write_text("[pytest]\n")
        return directory

    def projects(self) -> dict[str, tuple[Path, list[str]]]:
        trivial: dict[str, tuple[Path, list[str]]] = {"1000 trivial tests": (self.trivial(1000), [])}
        prepare.prepare(self.suites)
        known = prepare.suites()
        return trivial | {f"suite {name}": (known[name].directory, [*known[name].pytest_arguments, "-p", "no:randomly"]) for name in self.suites}


def remote(address: str) -> list[str]:
    # buildbox' root can make no user namespace, another user can.
    return [measure.CASEMATE, "pytest", "--quiet", f"--remote={address}", "--remote-slots=2", "--remote-property=unixUID=1000"]


def tests(bench: Bench, engine: Casd) -> None:
    for name, (project, words) in bench.projects().items():
        cases = {
            "remote, 2 at a time": lambda project=project, words=words: bench.run([*remote(engine.address), *words], project, good=(0, 1)),
            "here, --slots 2": lambda project=project, words=words: bench.run([measure.CASEMATE, "pytest", "--quiet", "--slots=2", *words], project, good=(0, 1)),
        }
        print(f" {name}:")
        times = measure.in_turns(cases, bench.rounds)
        if times.keys() == cases.keys():  # else it has said why
            measure.compare(times, "remote, 2 at a time", {"here, --slots 2": 1.3})


def again(bench: Bench, engine: Casd) -> None:
    """Each with directories of its own, so that nothing is there at first: neither here nor there."""
    cases = {name: (project, lambda address, words=words: [*remote(address), *words]) for name, (project, words) in bench.projects().items()}
    cases[f"/bin/true on the image {LAYOUT.name}"] = (bench.root, lambda address: [measure.CASEMATE, "run", f"--remote={address}", f"--image=oci:{LAYOUT}", "--", "/bin/true"])
    for name, (project, line) in cases.items():
        fresh = Casd(bench.root / "fresh", bare=name.endswith(f"image {LAYOUT.name}"))  # the host's files would hide the image's
        proxy = FaultProxy(fresh.target)
        shutil.rmtree(bench.root / "state", ignore_errors=True)
        sent: list[int] = []
        try:
            for _ in range(2):
                proxy.reset()
                bench.run(line(proxy.address), project, good=(0, 1))
                sent.append(proxy.bytes_sent())
                blobs = sum(proxy.counts(method)["request_bytes"] for method in ("BatchUpdateBlobs", "Write"))
                print(f" {name}: {sent[-1] / 1e6:.2f} MB sent, {blobs / 1e6:.3f} MB of them blobs")
            ratio = sent[1] / sent[0]
            print(f"  the second run sent {ratio * 100:.2f} % of the first, goal < 1 %: {'held' if ratio < 0.01 else 'MISSED'}")
        except measure.Skipped as reason:
            print(f"  {name}: skipped: {reason}")
        finally:
            proxy.end()
            fresh.end()


def size_of(tree: Path) -> int:
    return sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def through_the_loopback(amount: int) -> float:
    """Seconds that so many bytes take through TCP, to a reader that throws them away."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)

        def read() -> None:
            link, _ = server.accept()
            buffer = bytearray(1 << 20)
            with link:
                while link.recv_into(buffer):
                    pass

        reader = threading.Thread(target=read)
        reader.start()
        chunk, begin = bytes(1 << 20), time.perf_counter()
        with socket.create_connection(server.getsockname()) as link:
            for _ in range(amount >> 20):
                link.sendall(chunk)
        reader.join()
        return time.perf_counter() - begin


def padded(bench: Bench) -> tuple[str, Path]:
    """Debian with Python and files of other contents, 300 MB together, as (image, the same as a tree)."""
    layout, bundle = bench.root / "layout", bench.root / "bundle"
    shutil.copytree(LAYOUT, layout)
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:latest", bundle], check=True, capture_output=True)
    root, number = bundle / "rootfs", 0
    size = size_of(root)
    while size < SIZE_MB * 1000000:
        # Sizes as a distribution has them: many small files, most of the bytes in large ones.
        for length in (*[4000] * 20, *[60000] * 5, 2000000):
            path = root / f"opt/padding/{number // 100}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(length))
            number, size = number + 1, size + length
    subprocess.run(["umoci", "repack", "--image", f"{layout}:padded", bundle], check=True, capture_output=True)
    return f"oci:{layout}:padded", root


def upload(bench: Bench, engine: Casd) -> None:
    if not (LAYOUT / "index.json").exists():
        raise measure.Skipped(f"no image {LAYOUT}: ./dev test kernel makes it")
    image, tree = padded(bench)
    size = size_of(tree)
    subprocess.run([measure.CASEMATE, "image", "pull", "--quiet", image], env=bench.env, check=True)
    turns = iter(range(1000))
    memory = Path(tempfile.mkdtemp(prefix="casemate-bench-", dir="/dev/shm"))

    def first() -> float:
        fresh = Casd(memory / f"fresh{next(turns)}", bare=True)
        try:
            return bench.run([measure.CASEMATE, "run", f"--remote={fresh.address}", f"--image={image}", "--", "/bin/true"], bench.root)
        finally:
            fresh.end()

    def disk() -> float:
        target, chunk, begin = bench.root / "written", os.urandom(1 << 20), time.perf_counter()
        with target.open("wb") as file:
            for _ in range(size >> 20):
                file.write(chunk)
            os.fsync(file.fileno())
        took = time.perf_counter() - begin
        target.unlink()
        return took

    def files() -> float:
        target, begin = bench.root / f"copied{next(turns)}", time.perf_counter()
        subprocess.run(["cp", "-r", "--preserve=links", tree, target], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["sync", "-f", target], check=True)
        return time.perf_counter() - begin

    def small() -> float:
        return bench.run([measure.CASEMATE, "run", f"--remote={engine.address}", f"--image={image}", "--", "/bin/true"], bench.root)

    cases = {"first": first, "again": small, "disk": disk, "files": files, "loopback": lambda: through_the_loopback(size)}
    try:
        times = measure.in_turns(cases, bench.rounds)
    finally:
        shutil.rmtree(memory, ignore_errors=True)
    median = {name: statistics.median(its) for name, its in times.items()}
    print(f" an image of {size / 1e6:.0f} MB:")
    for name, says in {
        "first": "a run that sends it",
        "again": "a run whose engine has it",
        "disk": "its bytes into a file, and fsync",
        "files": "its files onto the disk, and sync",
        "loopback": "its bytes through the loopback",
    }.items():
        print(f"  {says:32} {measure.milliseconds(times[name])}  {size / 1e6 / median[name]:6.0f} MB/s")
    limit = max(median["disk"], median["loopback"])
    sending_once(tree, size, limit)
    sending = median["first"] - median["again"]
    print(f"  sending alone: {size / 1e6 / sending:.0f} MB/s")
    for what, least in {"file or loopback, the slower": limit, "the same files onto the disk": median["files"]}.items():
        print(f"   {least / sending:.2f}x of {what}, goal >= 0.7x: {'held' if least / sending >= 0.7 else 'MISSED'}")


def sending_once(tree: Path, size: int, limit: float) -> None:
    program = measure.TREE / "build/bench/sending_once"
    if not program.exists():
        print(f"  the client's part: skipped: no {program}")
        return
    took = [float(subprocess.run([program, tree], check=True, capture_output=True, text=True).stdout.split()[1]) for _ in range(3)]
    median = statistics.median(took)
    print(f"  its files to an engine that throws them away {measure.milliseconds(took)}  {size / 1e6 / median:6.0f} MB/s, {limit / median:.2f}x of the slower limit")


def memory(bench: Bench, engine: Casd) -> None:
    """Resident memory of the client alone; what it reads of its files by mmap is not kept."""
    bench.projects()  # makes the environment
    project, record = bench.trivial(bench.jobs), bench.root / "run.jsonl"
    tenth = 1
    words = [*remote(engine.address), f"--json-lines={record}"]
    process = subprocess.Popen(words, cwd=project, env=bench.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    samples: list[tuple[int, float]] = []
    while process.poll() is None:
        try:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":" in line)
            done = record.read_bytes().count(b'"test_finished"') if record.exists() else 0
            samples.append((done, int(status.get("VmRSS", "0 kB").split()[0]) / 1024))
            if done * 10 >= bench.jobs * tenth:
                print(f"  {done} tests: {samples[-1][1]:.1f} MB", flush=True)
                tenth = done * 10 // bench.jobs + 1
        except OSError:
            pass
        time.sleep(0.2)
    if process.returncode != 0:
        raise measure.Skipped(f"exit status {process.returncode}: {process.stderr.read()[-500:]}")
    first = max(rss for done, rss in samples if done * 10 <= bench.jobs)
    last = max(rss for done, rss in samples if done * 10 >= bench.jobs * 9)
    print(f" {bench.jobs} tests: the client's memory at most {first:.1f} MB in the first tenth of them, {last:.1f} MB in the last: {last / first:.2f}x")


def main() -> None:
    parts = {"tests": tests, "again": again, "upload": upload, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *parts], metavar="PART")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("CASEMATE_BENCH_ROUNDS", "3")))
    parser.add_argument("--jobs", type=int, default=10000)
    parser.add_argument("--suite", action="append", metavar="NAME", help="of tests/suites [click and jinja2]; may be repeated")
    wanted = parser.parse_args()
    measure.about()
    for name in wanted.parts or parts:
        print(f"--- {name}")
        with measure.scratch() as root:
            try:
                engine = Casd(root / "engine", bare=name == "upload")
            except NotHere as reason:
                raise measure.Skipped(str(reason)) from reason
            try:
                parts[name](Bench(root, wanted.rounds, wanted.jobs, wanted.suite or ["click", "jinja2"]), engine)
            finally:
                engine.end()


main()
