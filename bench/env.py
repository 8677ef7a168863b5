#!/usr/bin/env python3
"""An environment from a requirements file: made for the first time, and wanted again, beside `uv venv` + `uv pip install` with the same uv.
What is timed of ours is a whole `casemate script` of an empty script, start of Python and end of the cell included, so uv's times have a start
of the same empty script too; the environment alone is in the second table."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure

REQUIREMENTS = os.environ.get("CASEMATE_BENCH_REQUIREMENTS", "pandas==2.2.3\nrequests==2.32.3\nrich==13.9.4\n")
COLD_ROUNDS = int(os.environ.get("CASEMATE_BENCH_COLD_ROUNDS", "2"))  # and one more for an index that has to warm up; each downloads everything twice
ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "9"))
PYTHON = "/usr/bin/python3"


def find_uv() -> str:
    beside = Path(measure.CASEMATE).parent / "uv"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if not found:
        raise measure.Skipped("there is no uv beside casemate nor on PATH")
    return found


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.reqs = root / "requirements.txt"
        self.reqs.write_text(REQUIREMENTS)
        self.script = root / "empty.py"
        self.script.write_text("")
        self.uv = find_uv()
        self.alone: dict[str, list[float]] = {}

    def run(self, argv: list[str], **env: str) -> str:
        done = subprocess.run(argv, env=dict(os.environ, CASEMATE_UV=self.uv, **env), cwd=self.root, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"{' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def ours(self, name: str, cache: Path) -> float:
        start = time.perf_counter()
        said = self.run(
            [measure.CASEMATE, "script", "--script", str(self.script), "--reqs", str(self.reqs), "--network", "none", "--json-output", "--results",
             str(self.root / "results")], CASEMATE_CACHE_DIR=str(cache), CASEMATE_STATE_DIR=str(self.root / "state"))
        took = time.perf_counter() - start
        self.alone.setdefault(name, []).append(json.loads(said)["details"]["timings"]["environment_ms"] / 1e3)
        return took

    def theirs(self, name: str, cache: Path) -> float:
        venv = self.root / "venv"
        shutil.rmtree(venv, ignore_errors=True)
        start = time.perf_counter()
        self.run([self.uv, "--quiet", "venv", "--python", PYTHON, str(venv)], UV_CACHE_DIR=str(cache))
        self.run([self.uv, "--quiet", "pip", "install", "--python", f"{venv}/bin/python", "-r", str(self.reqs)], UV_CACHE_DIR=str(cache))
        self.alone.setdefault(name, []).append(time.perf_counter() - start)
        self.run([f"{venv}/bin/python", str(self.script)])
        return time.perf_counter() - start

    # Each comes to a cache directory in the state that its name says.

    def first(self) -> float:
        shutil.rmtree(self.root / "cold", ignore_errors=True)
        return self.ours("casemate, first time", self.root / "cold")

    def uv_first(self) -> float:
        shutil.rmtree(self.root / "cold-uv", ignore_errors=True)
        return self.theirs("uv, empty cache", self.root / "cold-uv")

    def again(self) -> float:
        return self.ours("casemate, again", self.root / "cache")

    def packages_known(self) -> float:
        """The wheels are in the cache, the environment is not."""
        for entry in (self.root / "cache").iterdir():
            if entry.name != "uv":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return self.ours("casemate, only wheels cached", self.root / "cache")

    def uv_warm(self) -> float:
        return self.theirs("uv, warm cache", self.root / "cache-uv")


def show(title: str, times: dict[str, list[float]], pairs: list[tuple[str, dict[str, float | None]]]) -> None:
    print(f"  {title}")
    for ours, goals in pairs:
        measure.compare(times, ours, goals)


def main() -> None:
    measure.about()
    with measure.scratch() as root:
        bench = Bench(root)
        cold = measure.in_turns({"casemate, first time": bench.first, "uv, empty cache": bench.uv_first}, COLD_ROUNDS, warm_up=1)
        (root / "cold").rename(root / "cache")
        (root / "cold-uv").rename(root / "cache-uv")
        bench_cold, bench.alone = bench.alone, {}
        # The order matters: `again` finds what `packages_known` made.
        warm = measure.in_turns({"casemate, only wheels cached": bench.packages_known, "uv, warm cache": bench.uv_warm, "casemate, again": bench.again}, ROUNDS)
        pairs = [
            ("casemate, first time", {"uv, empty cache": 1.2}),
            ("casemate, only wheels cached", {"uv, warm cache": None}),
            ("casemate, again", {"uv, warm cache": 0.1}),
        ]
        show("the environment alone:", bench_cold | bench.alone, pairs)
        show("with a start of an empty script in it, whole processes:", cold | warm, [(ours, dict.fromkeys(goals)) for ours, goals in pairs])


main()
