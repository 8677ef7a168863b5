#!/usr/bin/env python3
"""The grading agent with a real backend and a real git server on loopback, and a C lab that is built with make: what a warm task costs beside
the tests' own time, the whole beside a script of `git clone`, `python -m venv`, `pip install -r` and the tests, many tasks, and a backend that is
down in the middle. Times of ours are from the backend's answer with the task to the result's arrival there."""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), str(Path(__file__).resolve().parent.parent / "tests" / "e2e")]
import measure
from grading_backend import GradingBackend
from labs import GitServer, Labs, wheels

PYTHON = "/usr/bin/python3"
LAB = {"laboratoryNumber": 1}


class Bench:
    def __init__(self, root: Path) -> None:
        installed = sorted((measure.TREE / "build/venv/lib").glob("python3*/site-packages"))
        if not installed:
            raise measure.Skipped("there is no build/venv: ./dev build")
        for program in ("git", "make", "cc"):
            if not shutil.which(program):
                raise measure.Skipped(f"there is no {program} on PATH")
        self.root = root
        self.labs = Labs(root / "git")
        self.tests = self.labs.tests()
        for kind in ("good", "wrong", "broken"):
            self.labs.lab(kind)
        self.git = GitServer(self.labs.root)
        links = wheels(root / "wheels", installed[0])
        self.env = dict(os.environ, PIP_FIND_LINKS=str(links), PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1",
                        CASEMATE_CACHE_DIR=str(root / "cache"), CASEMATE_STATE_DIR=str(root / "state"))  # fmt: skip
        self.backend = GradingBackend()
        self.agent: subprocess.Popen[bytes] | None = None

    def url(self, kind: str) -> str:
        return self.git.url(f"{kind}.git")

    def task(self, kind: str) -> str:
        return self.backend.task(self.url(kind), form="b", **LAB)

    def start(self, *words: str) -> None:
        command = [measure.CASEMATE, "agent", "--backend-url", self.backend.url, "--tests-repo", self.git.url(self.tests), "--clone-network", "host",
                   "--check-interval", "0.05", "--logger-output", str(self.root / "log"), *words]  # fmt: skip
        self.agent = subprocess.Popen(command, env=self.env, cwd=self.root, stdin=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.agent:
            self.agent.send_signal(signal.SIGTERM)
            if self.agent.wait(60) != 0:
                sys.exit(f"the agent ended with {self.agent.returncode}; its log:\n{(self.root / 'log').read_text()[-2000:]}")
            self.agent = None

    def close(self) -> None:
        if self.agent:
            self.agent.kill()
            self.agent.wait()
        self.backend.close()
        self.git.close()

    def graded(self, key: str, seconds: float = 120) -> bool:
        return self.backend.wait_for(key, seconds=seconds).passed

    def ours(self) -> float:
        """One task, from the answer that has it to its result."""
        begun = len(self.backend.requests())
        key = self.task("good")
        if not self.graded(key):
            sys.exit(f"a good lab was graded: {self.backend.result(key)}")
        record = self.backend.state()["record"][begun:]
        posted = next(one["time"] for one in record if one["what"] == "post")
        handed = max(one["time"] for one in record if one["what"] == "get" and one["time"] < posted and one.get("handed"))
        return posted - handed

    def tests_alone(self) -> float:
        """The tests' command by itself: on a clone that is there, with an environment that is there."""
        project = self.root / "project"
        shutil.rmtree(project, ignore_errors=True)
        self.run("git", "clone", "--quiet", "--depth=1", self.url("good"), str(project))
        return self.timed(self.run_tests, project, self.root / "venv-alone")

    def plain(self) -> float:
        """What a script does for one task."""
        place = self.root / "plain"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return self.timed(self.by_hand, place)

    def by_hand(self, place: Path) -> None:
        self.run("git", "clone", "--quiet", self.url("good"), str(place / "project"))
        self.run("git", "clone", "--quiet", self.git.url(self.tests), str(place / "tests"))
        self.make_venv(place / "venv", place / "tests")
        self.run_tests(place / "project", place / "venv", place / "tests")

    def make_venv(self, venv: Path, tests: Path) -> None:
        self.run(PYTHON, "-m", "venv", str(venv))
        self.run(str(venv / "bin/pip"), "install", "--quiet", "-r", str(tests / "requirements.txt"))

    def run_tests(self, project: Path, venv: Path, tests: Path | None = None) -> None:
        tests = tests or self.tests.work
        words = ["--src", str(project), "--junit-xml", str(project / "report.xml"), "--lab-num", "1", "--proxy_timeout", "10"]
        self.run(str(venv / "bin/python"), str(tests / "run_tests.py"), *words)

    def run(self, *argv: str) -> None:
        done = subprocess.run(argv, env=self.env, cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")

    @staticmethod
    def timed(what, *words) -> float:
        start = time.perf_counter()
        what(*words)
        return time.perf_counter() - start


def warm_task(bench: Bench, rounds: int) -> None:
    bench.make_venv(bench.root / "venv-alone", bench.tests.work)
    bench.start()
    cases = {"casemate agent": bench.ours, "the tests' command alone": bench.tests_alone, "clone, venv, pip, tests": bench.plain}
    times = measure.in_turns(cases, rounds)
    bench.stop()
    measure.compare(times, "casemate agent", {"the tests' command alone": None, "clone, venv, pip, tests": 0.4})
    overhead = statistics.median(times["casemate agent"]) - statistics.median(times["the tests' command alone"])
    print(f"  overhead of a warm task {overhead:.3f} s, goal < 0.3 s: {'held' if overhead < 0.3 else 'MISSED'}")


def resident(pid: int) -> int:
    """Of one process, KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Samples:
    """The agent's memory, twice a second."""

    def __init__(self, pid: int) -> None:
        self.found: list[int] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, args=(pid,))
        self.thread.start()

    def look(self, pid: int) -> None:
        while not self.over.wait(0.5):
            self.found.append(resident(pid))

    def tell(self) -> None:
        self.over.set()
        self.thread.join()
        quarter = len(self.found) // 4
        if quarter == 0:
            return print("  too short a run to say anything of memory")
        early, late = statistics.median(self.found[quarter : 2 * quarter]), statistics.median(self.found[-quarter:])
        flat = late <= early * 1.05 + 256
        print(f"  RSS of the agent: {early:.0f} KiB in the second quarter, {late:.0f} in the last, most {max(self.found)}: {'flat' if flat else 'GROWS'}")


def check(bench: Bench, keys: list[tuple[str, str]], seconds: float) -> None:
    """Waits for all; each graded right, and posted once."""
    begun = time.monotonic()
    bench.backend.wait_for(*(key for _, key in keys), seconds=seconds)
    took = time.monotonic() - begun
    record = [json.loads(one["body"])["id"] for one in bench.backend.requests("post") if one["status"] == 200]
    wrong = [key for kind, key in keys if bench.backend.result(key) == "deleted" or bench.backend.result(key).passed != (kind == "good")]
    twice = [key for _, key in keys if record.count(key.removeprefix("id ")) != 1]
    print(f"  {len(keys)} tasks in {took:.1f} s ({len(keys) / took:.2f} a second): {len(wrong)} graded wrong, {len(twice)} not posted exactly once"
          f": {'held' if not wrong and not twice else 'MISSED'}")  # fmt: skip


def many_tasks(bench: Bench, count: int) -> None:
    keys = [(kind, bench.task(kind)) for kind, _ in zip(["good", "wrong", "good", "broken"] * count, range(count))]
    bench.start("--concurrent", "2")
    assert bench.agent
    samples = Samples(bench.agent.pid)
    check(bench, keys, 30 + 10.0 * count)
    samples.tell()
    bench.stop()


def outage(bench: Bench, seconds: float) -> None:
    keys = [(kind, bench.task(kind)) for kind in ["good", "wrong"] * 4]
    bench.start("--concurrent", "2")
    bench.backend.wait(lambda state: state["left"] <= 5)
    bench.backend.down()
    time.sleep(seconds)
    bench.backend.up()
    print(f"  the backend was down for {seconds:.0f} s in the middle; from its return on:")
    check(bench, keys, 300)
    bench.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of the comparison; 0: leave it out")
    parser.add_argument("--tasks", type=int, default=200, help="one after the other, two at a time; 0: leave it out")
    parser.add_argument("--outage", type=float, default=60, help="seconds; 0: leave it out")
    wanted = parser.parse_args()
    measure.about()
    with measure.scratch() as root:
        bench = Bench(root)
        try:
            if wanted.rounds:
                warm_task(bench, wanted.rounds)
            if wanted.tasks:
                many_tasks(bench, wanted.tasks)
            if wanted.outage:
                outage(bench, wanted.outage)
        finally:
            bench.close()


main()
