#!/usr/bin/env python3
"""A plan of fifty commands of bc, which apt installs and which starts quickly (jq takes 30 ms by itself, wherever it runs): in cells (first run, and again), in containers of the Docker executor, and as a script of one
`docker exec` a command. Then a thousand cases in contexts side by side, after which nothing may be left. Starts a dockerd of its own (root)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import measure

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


class Daemon:
    """dockerd without a bridge: what a container needs of a network it has of the host."""

    def __init__(self, top: Path):
        for program in ("/usr/sbin/dockerd", "docker", "skopeo", "unshare"):
            if not shutil.which(program):
                raise measure.Skipped(f"there is no {program}: apt-get install docker.io skopeo")
        if os.geteuid() != 0:
            raise measure.Skipped("a dockerd needs root")
        if not (LAYOUT / "index.json").exists():
            raise measure.Skipped(f"no image {LAYOUT}: ./dev test kernel makes it")
        self.top = top
        (top / "daemon.json").write_text("{}")
        self.environment = os.environ | {"DOCKER_HOST": f"unix://{top}/s"}
        self.log = (top / "log").open("wb")
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "/usr/sbin/dockerd", "--data-root", top / "data"]
        words += ["--exec-root", top / "exec", "--pidfile", top / "pid", "--host", f"unix://{top}/s", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        words += ["--ip-masq=false", "--config-file", top / "daemon.json", "--cgroup-parent", f"/{top.name}"]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for _ in range(600):
            if self.process.poll() is None and (top / "s").exists() and self("version", check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise measure.Skipped(f"dockerd does not start: {(top / 'log').read_text(errors='replace')[-300:]}")

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["docker", *words], env=self.environment, capture_output=True, text=True, check=check)

    def load(self) -> None:
        archive = self.top / "image.tar"
        subprocess.run(["skopeo", "copy", "-q", f"oci:{LAYOUT}", f"docker-archive:{archive}:{IMAGE}"], check=True)
        self("load", "-q", "-i", str(archive))
        archive.unlink()

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        for controller in Path("/sys/fs/cgroup").glob(f"*/{self.top.name}"):
            for path in sorted((path for path in controller.rglob("*") if path.is_dir()), reverse=True):
                path.rmdir()
            controller.rmdir()


def casemate(plan: Path, environment: dict[str, str], *words: str) -> float:
    start = time.perf_counter()
    done = subprocess.run([measure.CASEMATE, "plan", "run", str(plan), "--quiet", *words], env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"casemate plan run {' '.join(words)}: exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took


def exec_script(daemon: Daemon, container: str, cases: int) -> float:
    """As somebody writes it who has docker and a shell: one `docker exec` a command, the output compared."""
    start = time.perf_counter()
    for number in range(cases):
        out = daemon("exec", container, "sh", "-c", command(number)).stdout
        if out != expected(number):
            sys.exit(f"docker exec: {out!r}")
    return time.perf_counter() - start


def compare(root: Path, daemon: Daemon, rounds: int, cases: int) -> None:
    plan = root / "plan.json"
    write_plan(plan, cases)
    environment = os.environ | {"CASEMATE_CACHE_DIR": str(root / "cache"), "CASEMATE_STATE_DIR": str(root / "state")}
    native = ["--image", f"oci:{LAYOUT}", "--install", "apt:bc"]
    print(f"  first run in cells, with the image and apt's installation: {casemate(plan, environment, *native):.2f} s")
    start = time.perf_counter()
    daemon("run", "--name", "made", "--network", "host", IMAGE, "sh", "-c", "apt-get update -q && apt-get install -qy --no-install-recommends bc")
    daemon("commit", "made", WITH_TOOL)
    daemon("rm", "made")
    print(f"  apt's installation by docker run and commit: {time.perf_counter() - start:.2f} s")
    daemon("run", "-d", "--name", "script", "--network", "none", WITH_TOOL, "sleep", "infinity")
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
    daemon("rm", "-f", "script")
    reference = statistics.median(times["docker exec"])
    for name, one in times.items():
        print(f"  {cases} commands, again, {name}: {measure.milliseconds(one)}  {statistics.median(one) / reference:.3f}x of docker exec")


def left_behind(daemon: Daemon) -> list[str]:
    left = daemon("ps", "-aq", "--filter", "label=casemate.engine").stdout.split() + daemon("network", "ls", "-q", "--filter", "label=casemate.engine").stdout.split()
    return left + [str(path) for path in Path("/sys/fs/cgroup").glob("*/casemate-[0-9]*") if not Path("/proc", path.name.split("-")[1]).exists()]


def many(root: Path, daemon: Daemon, cases: int) -> None:
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
        daemon = Daemon(root)
        try:
            daemon.load()
            compare(root, daemon, wanted.rounds, wanted.commands)
            if wanted.many:
                many(root, daemon, wanted.many)
        finally:
            daemon.end()


main()
