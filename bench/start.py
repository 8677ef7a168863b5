#!/usr/bin/env python3
"""A whole `casemate run -- /bin/true`, from its process being made to its end, limits and seccomp on, beside what else puts one command into
a fresh container."""

import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure

ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "200"))
DOCKER_ROUNDS = max(5, ROUNDS // 10)

BARE = "a bare cell (no limits, filter, devices, report)"
BWRAP = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]
DOCKER = ["docker", "run", "--rm", "--network", "none", measure.IMAGE, "/bin/true"]


def bwrap_works() -> None:
    if not shutil.which("bwrap"):
        raise measure.Skipped("there is no bwrap on PATH (Debian: bubblewrap)")
    done = subprocess.run(BWRAP, capture_output=True, text=True)
    if done.returncode != 0:
        raise measure.Skipped(f"bwrap can't run here: {done.stderr.strip()}")


def main() -> None:
    measure.about()
    with tempfile.TemporaryDirectory(prefix="casemate-bench-") as state:
        env = dict(os.environ, CASEMATE_STATE_DIR=state)
        ours = lambda: measure.spawn([measure.CASEMATE, "run", "--", "/bin/true"], env)
        cases = {"casemate run": ours, "fork + exec, no isolation": lambda: measure.spawn(["/bin/true"], env)}
        # What the kernel and two starts of a process take at the least, so that the ratios can be judged.
        bare = measure.TREE / "build/bench/bare_cell"
        if os.geteuid() == 0 and bare.exists():
            cases[BARE] = lambda: measure.spawn([str(bare), "/bin/true"], env)
        try:
            bwrap_works()
            cases["bwrap --unshare-all"] = lambda: measure.spawn(BWRAP, env)
        except measure.Skipped as reason:
            print(f"  bwrap --unshare-all: skipped: {reason}")
        times = measure.in_turns(cases, ROUNDS, warm_up=10)
        measure.compare(times, "casemate run", {"bwrap --unshare-all": 0.9, BARE: 2.0, "fork + exec, no isolation": None})
        try:
            measure.need_docker()
        except measure.Skipped as reason:
            print(f"  docker run --rm: skipped: {reason}")
            return
        times = measure.in_turns({"casemate run": ours, "docker run --rm": lambda: measure.spawn(DOCKER, env)}, DOCKER_ROUNDS, warm_up=2, settle=0.5)
        measure.compare(times, "casemate run", {"docker run --rm": 0.02})


main()
