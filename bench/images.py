#!/usr/bin/env python3
"""Images: unpacking one of 300 MB against `umoci unpack`; the same image again; ten images with one base on the disk; a job of /bin/true on an image
against the same on `host`. Each unpacking begins with the blobs in the page cache and ends without fsync."""

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import measure

ROUNDS = int(os.environ.get("CASEMATE_BENCH_ROUNDS", "5"))
LAYOUT = measure.TREE / "build/images/python3.11"
JOBS = measure.TREE / "build/bench/image_jobs"
SIZE_MB, IMAGES = 300, 10


def run(*words: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{words[0]}: {done.stderr.strip()}")
    return done.stdout


def usage(directory: Path) -> float:
    """MB on the disk, each inode once."""
    return int(run("du", "-sk", directory).split()[0]) / 1024


class Bench:
    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.turns = itertools.count()
        self.image = self.padded(scratch / "layout")
        self.cache = scratch / "cache"
        self.pull(self.cache, self.image)

    def padded(self, layout: Path) -> str:
        """Debian with Python, and as many copies of its standard library over it as make 300 MB."""
        shutil.copytree(LAYOUT, layout)
        bundle = self.scratch / "bundle"
        run("umoci", "unpack", "--image", f"{layout}:latest", bundle)
        root = bundle / "rootfs"
        size, copies = usage(root), 0
        library = next((root / "usr/lib").glob("python3.*"))
        each = usage(library)
        while size + copies * each < SIZE_MB:
            shutil.copytree(library, root / f"opt/copy{copies}", symlinks=True)
            copies += 1
        run("umoci", "repack", "--image", f"{layout}:padded", bundle)
        self.mb = usage(root)
        return f"oci:{layout}:padded"

    @staticmethod
    def environment(cache: Path) -> dict[str, str]:
        return os.environ | {"CASEMATE_CACHE_DIR": str(cache), "CASEMATE_STATE_DIR": str(cache.parent / "state")}

    def pull(self, cache: Path, image: str) -> float:
        return measure.spawn([measure.CASEMATE, "image", "pull", "--quiet", image], env=self.environment(cache))

    # A new directory each time: for 5 s ext4 does not give out the inodes of a removed tree, and searches past each of them.
    def first(self) -> float:
        return self.pull(self.scratch / f"cold{next(self.turns)}", self.image)

    def umoci(self) -> float:
        bundle = self.scratch / f"umoci{next(self.turns)}"
        return measure.spawn(["umoci", "unpack", "--image", self.image.removeprefix("oci:"), str(bundle)])

    def unpack(self) -> None:
        times = measure.in_turns({"casemate image pull": self.first, "umoci unpack": self.umoci}, ROUNDS)
        print(f" unpack an image of {self.mb:.0f} MB:")
        measure.compare(times, "casemate image pull", {"umoci unpack": 0.5})

    def again(self) -> None:
        times = measure.in_turns({"again": lambda: self.pull(self.cache, self.image)}, max(ROUNDS, 10))["again"]
        median = statistics.median(times) * 1e3
        print(f" the same image again, whole program: {median:.1f} ms, goal <= 20 ms: {'held' if median <= 20 else 'MISSED'}")

    def disk(self) -> None:
        """Ten images, each a small layer over the same base."""
        layout, cache = self.scratch / "layout", self.scratch / "ten"
        one = self.scratch / "one"
        self.pull(one, self.image)
        small = self.scratch / "small"
        small.mkdir()
        for i in range(IMAGES):
            (small / "file").write_text(f"image {i}\n" * 1000)
            run("umoci", "insert", "--image", f"{layout}:padded", "--tag", f"image{i}", small, f"/srv/image{i}")
            self.pull(cache, f"oci:{layout}:image{i}")
        ratio = usage(cache) / usage(one)
        print(f" {IMAGES} images over one base: {usage(cache):.1f} MB on the disk, the base alone {usage(one):.1f} MB: {ratio:.3f}x, goal: base once")

    def jobs(self) -> None:
        listed = json.loads(run(measure.CASEMATE, "cache", "list", "--json", env=self.environment(self.cache)))
        layers = [f"{self.cache}/layers/{entry['key']}/tree" for entry in listed if entry["description"].startswith("image layer")]
        layers.sort(key=lambda layer: os.path.isdir(f"{layer}/usr/bin"))  # the base is the lowest
        done = json.loads(run(JOBS, *layers, env=self.environment(self.cache)))
        ratio = done["image_ms"] / done["host_ms"]
        print(f" a job on an image of {done['layers']} layers: {done['image_ms']:.2f} ms, on host {done['host_ms']:.2f} ms: {ratio:.2f}x, goal <= 1.1x: "
              f"{'held' if ratio <= 1.1 else 'MISSED'} (CPU {done['image_cpu_ms']:.2f} and {done['host_cpu_ms']:.2f} ms)")


def main() -> None:
    measure.about()
    run(measure.TREE / "tests/images/make")
    with tempfile.TemporaryDirectory(prefix="casemate-bench-", dir="/var/tmp") as scratch:
        bench = Bench(Path(scratch))
        bench.unpack()
        bench.again()
        bench.disk()
        bench.jobs()


main()
