#!/usr/bin/env python3
"""100 files that a command changed among 50,000, brought to the host: from the end of the command to the last file. The reference is
`docker diff` and a `docker cp` for each file; one `docker cp` of the whole directory takes twice as long as the hundred."""

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure

DIRECTORIES, FILES_EACH, EVERY = 500, 100, 500
CHANGED = DIRECTORIES * FILES_EACH // EVERY
ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "3"))
# The same command for both: rewrites every 500th file, then says so.
COMMAND = ["/bin/sh", "-c", f'i=0; while [ $i -lt {DIRECTORIES} ]; do echo changed $i > d$i/f7; i=$((i+{DIRECTORIES // CHANGED})); done; echo done']


def changed_paths() -> list[str]:
    return [f"d{i}/f7" for i in range(0, DIRECTORIES, DIRECTORIES // CHANGED)]


def make_tree(root: Path) -> None:
    for i in range(DIRECTORIES):
        directory = root / f"d{i}"
        directory.mkdir(parents=True)
        for j in range(FILES_EACH):
            (directory / f"f{j}").write_bytes(b"%d %d\n" % (i, j) * 40)


def check(directory: Path) -> None:
    for path in changed_paths():
        if not (directory / path).read_text().startswith("changed"):
            sys.exit(f"{directory / path} did not come back")


class Docker:
    """Containers of an image that has the 50,000 files in a layer of its own."""

    def __init__(self, tree: Path) -> None:
        measure.need_docker()
        made = self.call("create", measure.IMAGE, "/bin/true")
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(tree, arcname="work")
        subprocess.run(["docker", "cp", "-", f"{made}:/"], input=archive.getvalue(), check=True, capture_output=True)
        self.image = self.call("commit", made)
        self.call("rm", made)

    @staticmethod
    def call(*words: str) -> str:
        done = subprocess.run(["docker", *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise measure.Skipped(f"docker {words[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    @contextlib.contextmanager
    def finished(self):
        container = self.call("create", "--network", "none", "-w", "/work", self.image, *COMMAND)
        try:
            self.call("start", "-a", container)
            yield container
        finally:
            self.call("rm", "-f", container)

    def changes(self, container: str) -> list[str]:
        rows = self.call("diff", container).splitlines()
        paths = [row[len("C /work/"):] for row in rows if row.startswith("C /work/") and "/f" in row]
        if sorted(paths) != sorted(changed_paths()):
            sys.exit(f"docker diff names {len(paths)} files")
        return paths

    def copied(self) -> float:
        with self.finished() as container, tempfile.TemporaryDirectory(prefix="casemate-bench-") as out:
            start = time.perf_counter()
            for path in self.changes(container):
                (Path(out) / path).parent.mkdir(exist_ok=True)
                self.call("cp", f"{container}:/work/{path}", f"{out}/{path}")
            took = time.perf_counter() - start
            check(Path(out))
            return took


def casemate(tree: Path) -> float:
    program = measure.TREE / "build/bench/collect_once"
    with tempfile.TemporaryDirectory(prefix="casemate-bench-") as out:
        done = subprocess.run([program, str(tree), f"{out}/out", *COMMAND], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        seconds, number = done.stdout.split()
        if int(number) != CHANGED:
            sys.exit(f"casemate named {number} changes")
        check(Path(out) / "out")
        return float(seconds)


def main() -> None:
    measure.about()
    with tempfile.TemporaryDirectory(prefix="casemate-bench-") as root:
        tree = Path(root) / "work"
        make_tree(tree)
        ours = f"casemate, {CHANGED} of {DIRECTORIES * FILES_EACH:,}"
        cases = {ours: lambda: casemate(tree)}
        docker = None
        try:
            docker = Docker(tree)
            cases["docker diff + docker cp"] = docker.copied
        except measure.Skipped as reason:
            print(f"  docker: skipped: {reason}")
        try:
            measure.compare(measure.in_turns(cases, ROUNDS), ours, {"docker diff + docker cp": 0.05})
        finally:
            if docker:
                docker.call("rmi", docker.image)


main()
