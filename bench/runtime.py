#!/usr/bin/env python3
"""The runtime tester through the Python package, beside plain processes: one script of pandas, warm; and a pipeline of twenty steps against running
its scripts one by one. Both sides do the same work with the same interpreter (build/runtime-venv); the import of pandas is the cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import measure

PYTHON = measure.TREE / "build/runtime-venv/bin/python"
STEPS = 20
ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "15"))
SCRIPT = """
import os

import pandas as pd


def main(input_paths, output_paths, environ_vars, job_args):
    table = pd.read_csv(os.path.join(input_paths["data_input"], "data.csv"))
    table["sum"] = table["feature1"] + table["feature2"]
    table["rank"] = table.groupby("label")["sum"].rank()
    table.to_csv(os.path.join(output_paths["data_output"], "data.csv"), index=False)


if __name__ == "__main__":
    import argparse
    import sys

    main({"data_input": sys.argv[1]}, {"data_output": sys.argv[2]}, {}, argparse.Namespace())
"""
# In a process of its own, which stays: reads a word a line, does it, and prints the seconds that it took.
SERVER = """
import sys, time
from casemate.runtime import RuntimeTester
tester = RuntimeTester("workspace", enable_logging=False)
steps = {"step%d" % n: {"script": "script", "input_paths": {"data_input": "data%d" % n}, "output_paths": {"data_output": "data%d" % (n + 1)}}
         for n in range(STEPS)}
for word in sys.stdin:
    start = time.perf_counter()
    if word == "script\\n":
        result = tester.test_script("script")
        assert result.success, result.error_message
    else:
        result = tester.test_pipeline_flow({"steps": steps})
        assert result["pipeline_success"], result["errors"]
    print(time.perf_counter() - start, flush=True)
"""


def wheel_for(python: Path) -> Path:
    version = subprocess.run([python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"], check=True, capture_output=True, text=True).stdout.strip()
    wheels = list((measure.TREE / "build/wheels").glob(f"casemate-*-{version}-*.whl"))
    if not wheels:
        raise measure.Skipped(f"there is no wheel for {version} in build/wheels: ./dev bench runtime makes it")
    return wheels[0]


class Server:
    """Our side: a tester that lives on, as in a notebook or a test session."""

    def __init__(self, root: Path, package: Path) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-c", f"STEPS = {STEPS}\n{SERVER}"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(package)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, word: str) -> float:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        if not told:
            sys.exit("the tester ended; what it said is above")
        return float(told)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def plain(root: Path, source: str, target: str) -> float:
    (root / target).mkdir(exist_ok=True)
    return measure.spawn([str(PYTHON), "scripts/script.py", source, target], cwd=str(root))


def one_by_one(root: Path) -> float:
    start = time.perf_counter()
    for number in range(STEPS):
        plain(root, f"data{number}" if number == 0 else f"plain{number}", f"plain{number + 1}")
    return time.perf_counter() - start


def main() -> None:
    measure.about()
    with measure.scratch() as root:
        if not PYTHON.exists():
            raise measure.Skipped("there is no build/runtime-venv: ./dev bench runtime makes it")
        package = root / "package"
        with zipfile.ZipFile(wheel_for(PYTHON)) as wheel:
            wheel.extractall(package)
        (root / "scripts").mkdir()
        (root / "scripts/script.py").write_text(SCRIPT)
        (root / "data0").mkdir()
        sample = {"feature1": [1, 2, 3, 4, 5], "feature2": [0.1, 0.2, 0.3, 0.4, 0.5], "label": [0, 1, 0, 1, 0]}
        (root / "data0/data.csv").write_text("\n".join([",".join(sample), *(",".join(map(str, row)) for row in zip(*sample.values()))]) + "\n")
        for name in ("CASEMATE_CACHE_DIR", "CASEMATE_STATE_DIR"):
            os.environ.setdefault(name, str(root / name.lower()))
        server = Server(root, package)
        try:
            ours, theirs = "test_script, warm", "python script.py"
            times = measure.in_turns({ours: lambda: server.ask("script"), theirs: lambda: plain(root, "data0", "plain")}, ROUNDS, warm_up=3)
            measure.compare(times, ours, {theirs: 0.3})
            ours, theirs = f"a pipeline of {STEPS} steps", "its scripts, one by one"
            times = measure.in_turns({ours: lambda: server.ask("pipeline"), theirs: lambda: one_by_one(root)}, max(3, ROUNDS // 4))
            measure.compare(times, ours, {theirs: 0.4})
        finally:
            server.close()


if __name__ == "__main__":
    main()
