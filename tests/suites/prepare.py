#!/usr/bin/env python3
"""Makes build/suites/ from suites.toml: the source archive of each suite, unpacked, and one virtual environment with pytest and what the suites
import, every version pinned in requirements.txt. What is there already is left alone, and then nothing is asked of the network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
SUITES = Path(os.environ.get("CASEMATE_SUITES") or TREE / "build/suites")
VENV = SUITES / "venv-3.11"
PYTHON = VENV / "bin/python"
UV = TREE / "build/venv/bin/uv"
INTERPRETER = os.environ.get("CASEMATE_SUITES_PYTHON", "/usr/bin/python3.11")


class Problem(Exception):
    """What went wrong, in a line for people."""


@dataclass(frozen=True)
class Suite:
    """One entry of suites.toml."""

    name: str
    tests: str  # what pytest is given, as seen from `directory`
    version: str = ""
    package: str = ""  # directory of an installed package that brings its tests along, instead of a source archive
    example: str = ""  # directory of this tree, instead of either
    arguments: tuple[str, ...] = ()
    leaks: bool = False  # fails in plain pytest when shuffled with `seed`
    seed: int = 0
    why: str = ""
    directory: Path = field(default=Path())

    @property
    def pytest_arguments(self) -> list[str]:
        return [*self.arguments, *self.tests.split()]


def directory_of(name: str, entry: dict) -> Path:
    if entry.get("example"):
        return TREE / entry["example"]
    if entry.get("package"):
        return VENV / "lib/python3.11/site-packages" / entry["package"]
    return SUITES / f"{name}-{entry['version']}"


def suites() -> dict[str, Suite]:
    """All suites, by name, in the order of the file."""
    entries = tomllib.loads((HERE / "suites.toml").read_text())["suite"]
    found = {}
    for name, entry in entries.items():
        found[name] = Suite(name=name, directory=directory_of(name, entry), **entry | {"arguments": tuple(entry.get("arguments", ()))})
    return found


def run(what: str, argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Problem(f"{what}: exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")


def make_environment() -> bool:
    """True if it had to be made. A copy of the requirements inside says what it was made from."""
    wanted = (HERE / "requirements.txt").read_bytes() + b"# with bytecode, as pip makes it\n"
    stamp = VENV / "made-from.txt"
    if stamp.exists() and stamp.read_bytes() == wanted:
        return False
    if not UV.exists():
        raise Problem(f"there is no {UV}: ./dev build makes it")
    shutil.rmtree(VENV, ignore_errors=True)
    run("uv can't make an environment", [str(UV), "venv", "--quiet", "--python", INTERPRETER, str(VENV)])
    run("uv can't install requirements.txt", [str(UV), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(PYTHON), "-r", str(HERE / "requirements.txt")])
    stamp.write_bytes(wanted)
    return True


def fetch(suite: Suite) -> bool:
    """Downloads and unpacks one source archive; True if it was not there. Only this package is wanted as source: what pip needs to read its
    name (a build backend) may come ready-made."""
    if suite.package or suite.example or suite.directory.exists():
        return False
    with tempfile.TemporaryDirectory(dir=SUITES, prefix=".fetch-") as scratch:
        requirement = f"{suite.name}=={suite.version}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
        run(f"pip can't download {requirement}", [*pip, "--no-binary", suite.name, "--dest", scratch, requirement])
        archives = [path for path in Path(scratch).iterdir() if path.name.endswith(".tar.gz")]
        if len(archives) != 1:
            raise Problem(f"pip downloaded {[path.name for path in Path(scratch).iterdir()]} for {requirement}, not one .tar.gz")
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        run(f"tar can't unpack {archives[0].name}", ["tar", "--no-same-owner", "-xzf", str(archives[0]), "-C", str(unpacked)])
        (top,) = unpacked.iterdir()
        top.rename(suite.directory)
    return True


def prepare(names: list[str] | None = None) -> list[str]:
    """What had to be made, by name; [] if all was there."""
    known = suites()
    for name in names or []:
        if name not in known:
            raise Problem(f"no suite '{name}': {' '.join(known)}")
    SUITES.mkdir(parents=True, exist_ok=True)
    made = ["environment"] if make_environment() else []
    return made + [suite.name for suite in known.values() if (not names or suite.name in names) and fetch(suite)]


if __name__ == "__main__":
    try:
        done = prepare(sys.argv[1:])
    except (Problem, OSError) as problem:
        sys.exit(f"suites: {problem}")
    print(f"suites: made {', '.join(done)}" if done else "suites: all there")
