#!/usr/bin/env python3
"""`casemate pytest`, each test in a cell of its own, two slots, beside what runs the same tests with less or no isolation.

usage: bench/pytest.py [PART...] [--references] [--rounds N] [--counts N,N] [--suite NAME]...
  trivial   1000 tests that do nothing: what a test costs
  suites    the real suites of tests/suites: wall time of each, geometric means
  cases     1,000, 10,000 and 100,000 parametrised cases: cost a case, memory of the engine, first result, Ctrl-C
--references measures all but casemate, --suite only these, --counts other numbers of cases; the environment CASEMATE_BENCH_ROUNDS has the default of --rounds (3).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
# This file's name is pytest's: nothing started from here may find it when it imports pytest.
sys.path[0:1] = [str(HERE), str(HERE.parent / "tests/suites")]
import measure
import prepare

OURS = "casemate pytest"
OURS_313 = "casemate pytest, Python 3.13"
OURS_IMAGE = "casemate pytest, image with Python 3.13"
PLAIN, XDIST = "pytest", "pytest -n 2"
FORK, FORKED = "os.fork a test, 2 at a time, no isolation", "pytest-forked"
FORK_313 = "the same, Python 3.13"
MAELSTROM = "maelstrom-pytest"
MAELSTROM_MS = 300.0  # a test; 282 to 326 were measured on this kind of machine, cold or warm alike
MAELSTROM_TESTS = 50  # it takes the same time for each; 1000 would be five minutes
GOALS = {MAELSTROM: 0.01, FORK: 1.0, FORK_313: 0.8, XDIST: None, PLAIN: None, FORKED: None}
IMAGE_313 = f"oci:{measure.TREE / 'build/images/python3.13'}"
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
Seconds = float


class Cost:
    """Seconds of wall and of CPU, of all processes, of one run."""

    def __init__(self, wall: Seconds, cpu: Seconds, faults: int) -> None:
        self.wall, self.cpu, self.faults = wall, cpu, faults


def timed(argv: list[str], cwd: Path, env: dict[str, str], good: tuple[int, ...] = (0,)) -> Cost:
    """Runs it to its end. Raises Skipped if the exit status is none of `good`, for a run that failed must not look fast, or if it forked for no test."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as problem:
        raise measure.Skipped(str(problem)) from None
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in good:
        raise measure.Skipped(f"exit status {done.returncode}: {done.stdout.strip()[-400:]}")
    if "all tests get fresh interpreters" in done.stdout:
        raise measure.Skipped("no test ran in a fork: see its notes")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, after.ru_minflt - before.ru_minflt)


class Machine:
    """Where things are, and the directories of casemate for this run."""

    def __init__(self, root: Path, only: list[str], rounds: int, references: bool, counts: list[int]) -> None:
        self.root, self.only, self.rounds, self.references, self.counts = root, only, rounds, references, counts
        path = f"{prepare.VENV}/bin:/usr/local/bin:/usr/bin:/bin"
        self.env = {"PATH": path, "VIRTUAL_ENV": str(prepare.VENV), "HOME": str(root), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
                    "CASEMATE_CACHE_DIR": str(root / "cache"), "CASEMATE_STATE_DIR": str(root / "state")}
        self.plugins = self.env | {"PYTHONPATH": str(HERE / "references")}
        self.python = [str(prepare.PYTHON), "-m", "pytest", *QUIET]
        self.ours = [measure.CASEMATE, "pytest", "--slots=2"]
        self.python_313 = self.environment_313()

    def environment_313(self) -> list[str]:
        """A pytest on the host's Python 3.13, if it has one: the bare fork to compare an image's 3.13 with."""
        # Not a shim on PATH (pyenv has such), which may stand for no interpreter at all.
        found = next((str(path) for path in [Path("/usr/bin/python3.13"), *sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python"))] if path.exists()), "")
        venv = self.root / "venv-3.13"
        for argv in (["venv", "--python", found, str(venv)], ["pip", "install", "--python", str(venv / "bin/python"), pinned("pytest")]):
            if subprocess.run([str(prepare.UV), *argv, "--quiet"], capture_output=True).returncode != 0:
                return []
        return [str(venv / "bin/python"), "-m", "pytest", *QUIET]

    def measured(self, cases: dict[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
        """Of those that are wanted."""
        wanted = {name: case for name, case in cases.items() if not self.references or not name.startswith(OURS)}
        return measure.in_turns(wanted, self.rounds, warm_up=0)


def pinned(package: str) -> str:
    lines = (prepare.HERE / "requirements.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(package + "=="))


def median(costs: list[Cost], what: str) -> float:
    return statistics.median(getattr(cost, what) for cost in costs)


# --- trivial ---------------------------------------------------------------------------------------------------------------------------------


def trivial_project(directory: Path, files: int = 10, each: int = 100) -> Path:
    directory.mkdir()
    for i in range(files):
        (directory / f"test_{i}.py").write_text("".join(f"def test_{j}():\n    assert {j} + 1 == {j + 1}\n\n\n" for j in range(each)))
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "test-requirements.txt").write_text(pinned("pytest") + "\n")
    return directory


def trivial(machine: Machine) -> None:
    """Plugins are off for all (PYTEST_DISABLE_PLUGIN_AUTOLOAD) but the runner's own."""
    count = 1000
    project = trivial_project(machine.root / "trivial")
    bare = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = lambda argv, env=machine.env: timed(argv, project, env | bare)
    cases: dict[str, Callable[[], Cost]] = {
        OURS: lambda: run(machine.ours),
        OURS_IMAGE: lambda: run([*machine.ours, f"--image={IMAGE_313}", "--requirements=test-requirements.txt"]),
        PLAIN: lambda: run(machine.python),
        XDIST: lambda: run([*machine.python, "-p", "xdist", "-n", "2"]),
        FORK: lambda: run([*machine.python, "-p", "forking"], machine.plugins),
        FORKED: lambda: run([*machine.python, "-p", "pytest_forked", "--forked", "-W", "ignore::ResourceWarning"]),
    }
    if machine.python_313:
        bin_313 = os.path.dirname(machine.python_313[0])
        env_313 = machine.env | {"PATH": f"{bin_313}:{machine.env['PATH']}", "VIRTUAL_ENV": os.path.dirname(bin_313)}
        cases[OURS_313] = lambda: run(machine.ours, env_313)
        cases[FORK_313] = lambda: run([*machine.python_313, "-p", "forking"], machine.plugins)
    costs = machine.measured(cases)
    print(f"  {count} trivial tests, medians of {machine.rounds}: ms a test of wall, of CPU, page faults a test")
    for name, its in costs.items():
        print(f"    {name:45} {median(its, 'wall') * 1e3 / count:8.2f} {median(its, 'cpu') * 1e3 / count:8.2f} {median(its, 'faults') / count:8.0f}")
    try:
        measured = maelstrom(machine)
    except measure.Skipped as reason:
        print(f"  {MAELSTROM}: left out: {reason}")
        measured = None
    theirs, how = (measured, f"measured with {MAELSTROM_TESTS}") if measured else (MAELSTROM_MS, "as recorded")
    print(f"    {MAELSTROM:45} {theirs:8.2f} ({how})")
    for ours, references in ((OURS, [FORK, XDIST, PLAIN, FORKED]), (OURS_313, [FORK_313]), (OURS_IMAGE, [FORK_313])):
        if costs.get(ours):
            wall = median(costs[ours], "wall")
            for name in references:
                if costs.get(name):
                    ratio(ours, name, wall / median(costs[name], "wall"))
            if ours == OURS:
                ratio(ours, f"{MAELSTROM} ({theirs:.0f} ms a test, {how})", wall * 1e3 / count / theirs, GOALS[MAELSTROM])


def maelstrom(machine: Machine) -> float | None:
    """Its milliseconds a test, if $CASEMATE_BENCH_MAELSTROM names the program and $CASEMATE_BENCH_MAELSTROM_IMAGE an image (docker://, of https, named
    python) that it can fetch; the first run, which fetches and installs, is not counted."""
    program, image = os.environ.get("CASEMATE_BENCH_MAELSTROM"), os.environ.get("CASEMATE_BENCH_MAELSTROM_IMAGE")
    if not program or not image:
        return None
    project = trivial_project(machine.root / "maelstrom", files=1, each=MAELSTROM_TESTS)
    env = machine.env | {"XDG_CACHE_HOME": str(machine.root / "maelstrom-cache"), "XDG_STATE_HOME": str(machine.root / "maelstrom-state")}
    timed([program, "--init"], project, env)
    settings = project / "maelstrom-pytest.toml"
    lines = [f'image = "{image}"' if line.startswith("image = ") else line for line in settings.read_text().splitlines()]
    settings.write_text("\n".join(lines) + "\n")
    argv = [program, "--ui", "quiet", "--slots", "2", "--accept-invalid-remote-container-tls-certs"]
    costs = [timed(argv, project, env) for _ in range(2)]
    return costs[-1].wall * 1e3 / MAELSTROM_TESTS


def ratio(ours: str, name: str, value: float, goal: float | None = None) -> None:
    print(f"    {ours} / {name}: {value:.4g}x{measure.verdict(value, GOALS.get(name) if goal is None else goal)}")


# --- suites ----------------------------------------------------------------------------------------------------------------------------------


def geometric(values: list[float]) -> str:
    return f"{statistics.geometric_mean(values):.2f}x of {len(values)}" if values else "-"


def one_suite(machine: Machine, suite: prepare.Suite) -> dict[str, list[Cost]]:
    arguments = suite.pytest_arguments
    # A suite with a failure of its own ends with status 1 in all runners; outcomes are compared by tests/suites, not here.
    run = lambda argv, env=machine.env: timed([*argv, *arguments], suite.directory, env, good=(0, 1))
    cases: dict[str, Callable[[], Cost]] = {
        OURS: lambda: run([*machine.ours, "-p", "no:randomly"]),
        PLAIN: lambda: run(machine.python),
        XDIST: lambda: run([*machine.python, "-n", "2"]),
        FORK: lambda: run([*machine.python, "-p", "forking"], machine.plugins),
    }
    return machine.measured(cases)


def suites(machine: Machine) -> None:
    prepare.prepare()
    names = [PLAIN, XDIST, FORK, OURS]
    ratios: dict[str, list[float]] = {name: [] for name in names}
    print(f"  wall s (CPU s), medians of {machine.rounds}: {' | '.join(names)} | ours / -n 2")
    for suite in prepare.suites().values():
        if suite.example or (machine.only and suite.name not in machine.only):
            continue
        costs = one_suite(machine, suite)
        cells = [f"{median(costs[name], 'wall'):6.1f} ({median(costs[name], 'cpu'):5.1f})" if costs.get(name) else f"{'-':>14}" for name in names]
        ours = median(costs[OURS], "wall") if costs.get(OURS) else None
        for name in names:
            if ours and costs.get(name):
                ratios[name].append(ours / median(costs[name], "wall"))
        versus = f"{ratios[XDIST][-1]:.2f}x" if ours and costs.get(XDIST) else "-"
        print(f"    {suite.name:18} {' | '.join(cells)} | {versus}", flush=True)
    for name in (PLAIN, XDIST, FORK):
        print(f"    geometric mean of ours / {name}: {geometric(ratios[name])}")


# --- cases -----------------------------------------------------------------------------------------------------------------------------------


def memory_of(pid: int) -> tuple[int, int]:
    """(bytes of RSS of this process, bytes of PSS of it and all its descendants): what a run takes, pages shared by forks counted once."""
    rss, total, todo = 0, 0, [pid]
    while todo:
        process = todo.pop()
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
            todo += [int(child) for task in Path(f"/proc/{process}/task").iterdir() for child in (task / "children").read_text().split()]
        except OSError:
            continue
        fields = dict(line.split(":")[0:2] for line in text.splitlines()[1:])
        total += int(fields["Pss"].split()[0]) << 10
        if process == pid:
            rss = int(fields["Rss"].split()[0]) << 10
    return rss, total


class Watched:
    """One run whose memory is looked at while its JSON lines come in."""

    def __init__(self, machine: Machine, count: int) -> None:
        self.directory = machine.root / f"cases{count}"
        self.directory.mkdir(exist_ok=True)
        (self.directory / "test_cases.py").write_text(f"import pytest\n\n\n@pytest.mark.parametrize('i', range({count}))\ndef test_case(i):\n    assert i >= 0\n")
        self.record = self.directory / "run.jsonl"
        self.record.unlink(missing_ok=True)
        argv = [*machine.ours, f"--json-lines={self.record}", *("--", *QUIET)]
        self.log = (self.directory / "log").open("w")
        self.began = time.monotonic()
        self.process = subprocess.Popen(argv, cwd=self.directory, env=machine.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.samples: list[tuple[float, int, int]] = []
        self.offset, self.partial = 0, b""
        self.first: dict[str, float] = {}  # kind of line -> seconds after the start
        self.lines: dict[str, int] = {}

    def look(self) -> None:
        if self.record.exists():
            with self.record.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
            self.offset += len(data)
            *whole, self.partial = (self.partial + data).split(b"\n")
            for line in whole:
                kind = json.loads(line).get("event", "?")
                self.first.setdefault(kind, time.monotonic() - self.began)
                self.lines[kind] = self.lines.get(kind, 0) + 1

    def sample(self) -> None:
        rss, pss = memory_of(self.process.pid)
        if rss:
            self.samples.append((time.monotonic() - self.began, rss, pss))

    def follow(self, until: Callable[[], bool] = lambda: False) -> float:
        """Seconds until the process has ended, or `until` says so."""
        next_sample = 0.0
        while self.process.poll() is None and not until():
            self.look()
            if time.monotonic() >= next_sample:
                self.sample()
                next_sample = time.monotonic() + 1
            time.sleep(0.02)
        took = time.monotonic() - self.began
        self.look()
        return took


def cases(machine: Machine) -> None:
    costs = {}
    counts = machine.counts
    for count in counts:
        watched = Watched(machine, count)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = watched.follow()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / count * 1e3
        if watched.process.returncode != 0:
            print(f"  {count} cases: left out: exit status {watched.process.returncode}: {(watched.directory / 'log').read_text()[-400:]}")
            return
        collected, tested = watched.first.get("collected", 0.0), watched.first.get("test_finished", 0.0)
        costs[count] = (took - collected) / count * 1e3
        quarters = [watched.samples[len(watched.samples) * i // 4] for i in range(4)] + watched.samples[-1:] if watched.samples else []
        print(f"  {count} cases: {took:.1f} s, collected after {collected:.2f} s, first result {tested - collected:.2f} s later, {costs[count]:.2f} ms a case after that, {cpu:.2f} ms of CPU a case in all")
        print("    RSS of the engine, PSS of all (MB) at: " + ", ".join(f"{when:.0f} s {rss >> 20}, {pss >> 20}" for when, rss, pss in quarters), flush=True)
    growth = costs[counts[-1]] / costs[counts[0]]
    print(f"  a case of {counts[-1]} against one of {counts[0]}: {growth:.2f}x{measure.verdict(growth, 1.1)}")
    watched = Watched(machine, counts[-1])
    watched.follow(until=lambda: watched.lines.get("test_finished", 0) > 100)
    sent = time.monotonic()
    watched.process.send_signal(signal.SIGINT)
    watched.process.wait()
    print(f"  Ctrl-C in the middle of {counts[-1]}: ended after {time.monotonic() - sent:.2f} s (goal 1 s), exit status {watched.process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"trivial": trivial, "suites": suites, "cases": cases}
    parser.add_argument("parts", nargs="*", choices=[[], *parts], metavar="PART")
    parser.add_argument("--references", action="store_true")
    parser.add_argument("--counts", default="1000,10000,100000")
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("CASEMATE_BENCH_ROUNDS", "3")))
    options = parser.parse_args()
    measure.about()
    prepare.prepare()
    with tempfile.TemporaryDirectory(prefix="casemate-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as root:
        machine = Machine(Path(root), options.suite, options.rounds, options.references, [int(count) for count in options.counts.split(",")])
        for name in options.parts or parts:
            parts[name](machine)


if __name__ == "__main__":
    try:
        main()
    except prepare.Problem as problem:
        sys.exit(f"bench pytest: {problem}")
