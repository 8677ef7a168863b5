#!/usr/bin/env python3
"""`import casemate` in a fresh interpreter, and what it loads when an Engine is first wanted. Times are the interpreter's own (a clock around
the statement, in a process that does nothing else), so the start of Python is not in them."""

import os
import statistics
import subprocess
import sys
import tempfile
import zipfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure

ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "50"))
PYTHON = "/usr/bin/python3"
GOAL = 0.030

TIMED = "import time; before = time.perf_counter(); {}; print(time.perf_counter() - before)"
STATEMENTS = {
    "import casemate": "import casemate",
    "  and Engine, job": "import casemate; casemate.Engine; casemate.job",
    "for comparison: import asyncio": "import asyncio",
    "for comparison: import json": "import json",
}


def seconds(statement: str, place: str) -> float:
    done = subprocess.run([PYTHON, "-c", TIMED.format(statement)], check=True, capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=place))
    return float(done.stdout)


def main() -> None:
    measure.about()
    version = subprocess.run([PYTHON, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"], check=True, capture_output=True, text=True).stdout.strip()
    wheels = list((measure.TREE / "build/wheels").glob(f"casemate-*-{version}-*.whl"))
    if not wheels:
        sys.exit(f"there is no wheel for {version} in build/wheels: ./dev bench import makes it")
    with tempfile.TemporaryDirectory(prefix="casemate-bench-") as place:
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(place)
            size = sum(one.file_size for one in wheel.infolist())
        subprocess.run([PYTHON, "-m", "compileall", "-q", place], check=True)  # as pip does
        cases = {name: (lambda text=text: seconds(text, place)) for name, text in STATEMENTS.items()}
        times = measure.in_turns(cases, ROUNDS, warm_up=2)
        for name in STATEMENTS:
            print(f"  {name:32} {measure.milliseconds(times[name])}")
        took = statistics.median(times["import casemate"])
        print(f"  import casemate: goal <= 30 ms: {'held' if took <= GOAL else 'MISSED'}; installed {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
