"""Times programs in turns and prints ours beside the reference. Every benchmark of this directory uses it; Python's own library is all it needs."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Measured = TypeVar("Measured")
TREE = Path(__file__).resolve().parent.parent
CASEMATE = os.environ.get("CASEMATE") or str(TREE / "build/bin/casemate")


class Skipped(Exception):
    """A reference that can't be measured here; the text says why and what would change that."""


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory on disk for a benchmark, gone with it. Skipped ends the block, and is told about."""
    with tempfile.TemporaryDirectory(prefix="casemate-bench-", dir="/var/tmp") as root:
        try:
            yield Path(root)
        except Skipped as reason:
            print(f"  skipped: {reason}")


def spawn(argv: list[str], env: dict[str, str] | None = None, cwd: str | None = None, status: int = 0) -> float:
    """Seconds from before the process is made until it has been waited for. vfork underneath, so that the size of this interpreter costs
    nobody anything; stdin and stdout are /dev/null. Ends the benchmark if the program does not exit with `status`."""
    program = argv[0] if "/" in argv[0] else shutil.which(argv[0])
    if program is None:
        raise Skipped(f"there is no {argv[0]} on PATH")
    null = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    before = os.getcwd()
    if cwd:
        os.chdir(cwd)
    try:
        start = time.perf_counter_ns()
        pid = os.posix_spawn(program, argv, os.environ if env is None else env, file_actions=null)
        _, ended = os.waitpid(pid, 0)
        took = time.perf_counter_ns() - start
    finally:
        os.chdir(before)
    if os.waitstatus_to_exitcode(ended) != status:
        sys.exit(f"{' '.join(argv)}: wait status {ended:#x}")
    return took / 1e9


def in_turns(cases: dict[str, Callable[[], Measured]], rounds: int, warm_up: int = 1, settle: float = 0) -> dict[str, list[Measured]]:
    """Runs ABC ABC ...: what disturbs the machine for a while disturbs all of them. The first `warm_up` rounds are not counted. A case that
    raises Skipped is told about and left out. `settle`: seconds of rest before each, where a daemon still tidies up after the one before."""
    measured: dict[str, list[Measured]] = {name: [] for name in cases}
    for turn in range(warm_up + rounds):
        for name, case in cases.items():
            if name not in measured:
                continue
            time.sleep(settle)
            try:
                found = case()
            except Skipped as reason:
                print(f"  {name}: skipped: {reason}")
                del measured[name]
                continue
            if turn >= warm_up:
                measured[name].append(found)
    return measured


def milliseconds(times: list[float]) -> str:
    """Median, with the fastest and the slowest tenth behind it, for the eye to judge how quiet the machine was."""
    ordered = sorted(times)
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    return f"{statistics.median(ordered) * 1e3:10.2f} ms  ({low * 1e3:.2f} to {high * 1e3:.2f})"


def verdict(ratio: float, goal: float | None) -> str:
    """What to print behind a ratio with a goal; nothing without."""
    return "" if goal is None else f", goal <= {goal}x: {'held' if ratio <= goal else 'MISSED'}"


def compare(times: dict[str, list[float]], ours: str, goals: dict[str, float | None]) -> None:
    """Prints each median, and the ratio of ours to each reference with its goal (None: no goal, only told)."""
    width = max(len(name) for name in [ours, *goals])
    print(f"  {ours:{width}} {milliseconds(times[ours])}")
    for name, goal in goals.items():
        if not times.get(name):
            continue
        ratio = statistics.median(times[ours]) / statistics.median(times[name])
        print(f"  {name:{width}} {milliseconds(times[name])}  ratio {ratio:.3f}x{verdict(ratio, goal)}")
    sys.stdout.flush()


def about() -> None:
    """One line that says how far the numbers can be trusted."""
    load = os.getloadavg()[0]
    busy = ", BUSY: read the ratios with care, or start this under `chrt -f 1`" if load > 1 else ""
    print(f"  {os.cpu_count()} CPUs, Linux {os.uname().release}, load {load:.1f}{busy}")


IMAGE = os.environ.get("CASEMATE_BENCH_IMAGE", "debian:bookworm-slim")


def need_docker() -> None:
    """Raises Skipped unless docker (of $DOCKER_HOST, if set) answers and has the image."""
    if not shutil.which("docker"):
        raise Skipped("there is no docker on PATH")
    where = os.environ.get("DOCKER_HOST", "its usual socket")
    if subprocess.run(["docker", "version"], capture_output=True).returncode != 0:
        raise Skipped(f"no dockerd answers at {where}; DOCKER_HOST names another")
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode != 0:
        raise Skipped(f"dockerd has no image {IMAGE}: docker pull {IMAGE}, or name another in CASEMATE_BENCH_IMAGE")
