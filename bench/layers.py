#!/usr/bin/env python3
"""A project of 20,000 files as a layer: made for the first time, wanted again, and wanted after one file was edited. The references copy the
same files without digests: `cp -a`, and a tar written and unpacked. Each begins with the files in the page cache and ends without fsync."""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure

DIRECTORIES, FILES_EACH = 200, 100
ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "5"))
PROGRAM = measure.TREE / "build/bench/layers_once"
FIRST, AGAIN, EDITED = "casemate, first time", "casemate, nothing changed", "casemate, one file edited"


def make_project(project: Path) -> None:
    for i in range(DIRECTORIES):
        directory = project / f"package{i // 20}" / f"module{i}"
        directory.mkdir(parents=True)
        for j in range(FILES_EACH):
            (directory / f"file{j}.py").write_bytes(b"def function_%d_%d(): return %d\n" % (i, j, j) * (10 + 37 * j % 300))


class Bench:
    def __init__(self, root: Path) -> None:
        self.root, self.project = root, root / "project"
        make_project(self.project)
        time.sleep(0.2)  # files as old as a project's
        self.edits = itertools.count()
        self.turns = itertools.count()
        self.ours("warm")

    def ours(self, store: str, layers: int = 1) -> float:
        done = subprocess.run([PROGRAM, str(self.root / store), str(self.project), "**.py"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        seconds, made = done.stdout.split()
        if int(made) != layers:
            sys.exit(f"{made} layers, not {layers}")
        return float(seconds)

    # A new directory each time: for 5 s ext4 does not give out the inodes of a removed tree, and searches past each of them.
    def fresh(self) -> Path:
        return self.root / f"fresh{next(self.turns)}"

    def first(self) -> float:
        return self.ours(self.fresh().name)

    def again(self) -> float:
        edited = self.project / "package3/module77/file5.py"
        edited.write_bytes(b"def function_77_5(): return 5\n" * (10 + 37 * 5 % 300))
        self.ours("warm")
        return self.ours("warm")

    def edited(self) -> float:
        (self.project / "package3/module77/file5.py").write_text(f"edit = {next(self.edits)}\n")
        return self.ours("warm", layers=2)

    def copied(self, command: str) -> float:
        target = self.fresh()
        target.mkdir()
        start = time.perf_counter()
        subprocess.run(["sh", "-c", command, "sh", target.name], cwd=self.root, check=True)
        return time.perf_counter() - start


def main() -> None:
    measure.about()
    with tempfile.TemporaryDirectory(prefix="casemate-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as root:
        bench = Bench(Path(root))
        copy, tar = "cp -a", "tar -cf + tar -xf"
        # A shell passes the tar on by a file, as a builder of images would.
        times = measure.in_turns(
            {
                FIRST: bench.first,
                AGAIN: bench.again,
                EDITED: bench.edited,
                copy: lambda: bench.copied('cp -a project "$1"'),
                tar: lambda: bench.copied('tar -cf "$1/tar" project && tar -C "$1" -xf "$1/tar"'),
            }, ROUNDS)
        for ours in (FIRST, AGAIN, EDITED):
            measure.compare(times, ours, {copy: None, tar: None})


if __name__ == "__main__":
    main()
