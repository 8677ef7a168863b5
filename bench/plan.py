#!/usr/bin/env python3
"""A plan of fifty commands of bc, which apt installs and which starts quickly (jq takes 30 ms by itself, wherever it runs): in cells (first run, and again), in containers of the Docker executor, and as a script of one
`docker exec` a command. Then a thousand cases in contexts side by side, after which nothing may be left. Starts a dockerd of its own (root)."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), str(Path(__file__).resolve().parent.parent / "tests" / "e2e")]
import measure
from dockerd import Dockerd, NotHere

IMAGE = "casemate-bench/debian:latest"
WITH_TOOL = "casemate-bench/bc:latest"
LAYOUT = Path(os.environ.get("CASEMATE_IMAGES") or measure.TREE / "build/images") / "python3.11"


def command(number: int) -> str:
    return f"echo '{number} * 2; {number} + 1' | bc"


def expected(number: int) -> str:
    return f"{number * 2}\n{number + 1}\n"


def write_plan(path: Path, cases: int) -> None:
    listed = [{"id": f"c{n}", "name": f"case {n}", "command_line": command(n), "expected_output_contains": [expected(n)]} for n in range(cases)]
    path.write_text(json.dumps({"tool_name": "bc", "description": "a benchmark", "test_cases": listed}))


def casemate(plan: Path, environment: dict[str, str], *words: str) -> float:
    start = time.perf_counter()
    done = subprocess.run([measure.CASEMATE, "plan", "run", str(plan), "--quiet", *words], env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"casemate plan run {' '.join(words)}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took


def exec_script(daemon: Dockerd, container: str, cases: int) -> float:
    """As somebody writes it who has docker and a shell: one `docker exec` a command, the output compared."""
    start = time.perf_counter()
    for number in range(cases):
        out = daemon.docker("exec", container, "sh", "-c", command(number))
        if out != expected(number):
            sys.exit(f"docker exec: {out!r}")
    return time.perf_counter() - start


def compare(root: Path, daemon: Dockerd, rounds: int, cases: int) -> None:
    plan = root / "plan.json"
    write_plan(plan, cases)
    environment = os.environ | {"CASEMATE_CACHE_DIR": str(root / "cache"), "CASEMATE_STATE_DIR": str(root / "state")}
    native = ["--image", f"oci:{LAYOUT}", "--install", "apt:bc"]
    print(f"  first run in cells, with the image and apt's installation: {casemate(plan, environment, *native):.2f} s")
    start = time.perf_counter()
    daemon.docker("run", "--name", "made", "--network", "host", IMAGE, "sh", "-c", "apt-get update -q && apt-get install -qy --no-install-recommends bc")
    daemon.docker("commit", "made", WITH_TOOL)
    daemon.docker("rm", "made")
    print(f"  apt's installation by docker run and commit: {time.perf_counter() - start:.2f} s")
    daemon.docker("run", "-d", "--name", "script", "--network", "none", WITH_TOOL, "sleep", "infinity")
    docker = ["--executor", "docker", "--image", f"docker://{WITH_TOOL}", "--pull", "never", "--install", "none"]
    there = environment | {"DOCKER_HOST": daemon.environment["DOCKER_HOST"]}
    print(f"  first run in a container that has the tool: {casemate(plan, there, *docker):.2f} s")
    times = measure.in_turns(
        {
            "cells": lambda: casemate(plan, environment, *native),
            "containers": lambda: casemate(plan, there, *docker),
            "docker exec": lambda: exec_script(daemon, "script", cases),
        },
        rounds,
    )
    daemon.docker("rm", "-f", "script")
    reference = statistics.median(times["docker exec"])
    for name, one in times.items():
        print(f"  {cases} commands, again, {name}: {measure.milliseconds(one)}  {statistics.median(one) / reference:.3f}x of docker exec")


def left_behind(daemon: Dockerd) -> list[str]:
    listed = [["ps", "-aq"], ["network", "ls", "-q"]]
    left = [one for words in listed for one in daemon.docker(*words, "--filter", "label=casemate.engine").split()]
    return left + [str(path) for path in Path("/sys/fs/cgroup").glob("*/casemate-[0-9]*") if not Path("/proc", path.name.split("-")[1]).exists()]


def many(root: Path, daemon: Dockerd, cases: int) -> None:
    plan = root / "many.json"
    write_plan(plan, cases)
    environment = os.environ | {"CASEMATE_CACHE_DIR": str(root / "cache"), "CASEMATE_STATE_DIR": str(root / "state"), "DOCKER_HOST": daemon.environment["DOCKER_HOST"]}
    native = ["--image", f"oci:{LAYOUT}", "--install", "apt:bc"]
    docker = ["--executor", "docker", "--image", f"docker://{WITH_TOOL}", "--pull", "never", "--install", "none"]
    for name, words in {"cells, a context each": [*native, "--isolate", "case"], "cells": native, "containers": docker}.items():
        took = casemate(plan, environment, *words, "--parallel", "4")
        print(f"  {cases} cases, 4 contexts at a time, {name}: {took:.1f} s, {took / cases * 1000:.1f} ms a case; left behind: {left_behind(daemon) or 'nothing'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--commands", type=int, default=50)
    parser.add_argument("--many", type=int, default=1000, help="cases in parallel contexts; 0: leave it out")
    wanted = parser.parse_args()
    measure.about()
    with measure.scratch() as root:
        if not (LAYOUT / "index.json").exists():
            raise measure.Skipped(f"no image {LAYOUT}: ./dev test kernel makes it")
        try:
            daemon = Dockerd(root, host_network=True)
        except NotHere as reason:
            raise measure.Skipped(str(reason)) from reason
        try:
            daemon.load(f"oci:{LAYOUT}", IMAGE)
            compare(root, daemon, wanted.rounds, wanted.commands)
            if wanted.many:
                many(root, daemon, wanted.many)
        finally:
            daemon.end()


main()
