"""The Pythons of this host for which casemate has a wheel (build/wheels, made by ./dev), each with a virtual environment that has it."""

import ast
import functools
import json
import os
import pathlib
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
WHEELS = TREE / "build" / "wheels"
VERSIONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
UV = TREE / "build" / "venv" / "bin" / "uv"


def interpreters():
    """By version, as ./dev found them when it built the wheels; those that this user may run."""
    found = {}
    for line in (WHEELS / "interpreters").read_text().splitlines() if (WHEELS / "interpreters").exists() else []:
        version, path = line.split(" ", 1)
        if os.access(path, os.X_OK):
            found[version] = path
    return found


def wheel_for(version):
    number = version.replace(".", "")
    tag = f"cp{number}-cp{number}" if int(number) < 312 else "cp312-abi3"
    (wheel,) = WHEELS.glob(f"casemate-*-{tag}-*.whl")
    return wheel


def wheel_of_cursus():
    (wheel,) = WHEELS.glob("casemate_cursus-*-py3-none-any.whl")
    return wheel


class Installed:
    """A fresh virtual environment of one interpreter with the wheel and the one of python/cursus, and nothing else."""

    def __init__(self, version, interpreter, directory):
        self.python = directory / "bin" / "python"
        self._environment = dict(os.environ, UV_CACHE_DIR=str(directory.parent / "uv"), UV_OFFLINE="1", PYTHONDONTWRITEBYTECODE="1")
        self._uv("venv", "--quiet", "--python", interpreter, str(directory))
        self._uv("pip", "install", "--quiet", "--python", str(self.python), str(wheel_for(version)), str(wheel_of_cursus()))
        self._said = {}

    def _uv(self, *arguments):
        subprocess.run([UV, *arguments], check=True, env=self._environment, stdin=subprocess.DEVNULL)

    def run(self, *arguments, **options):
        return self.command(self.python, *arguments, **options)

    def command(self, program, *arguments, **options):
        """A program by its path, or one that was installed by its name."""
        return subprocess.run(
            [self.python.parent / program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, **options
        )

    def cases(self, module):
        """What each case of a module came to; they run once, in one process."""
        if module not in self._said:
            done = self.run("-m", "cases", module, cwd=HERE, env=dict(os.environ, PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1"))
            said = {one["case"]: one for one in map(json.loads, done.stdout.splitlines())}
            self._said[module] = said, f"the cases of {module} ended with status {done.returncode}\n{done.stderr[-4000:]}"
        return self._said[module]


def names_of_cases(module):
    tree = ast.parse((HERE / "cases" / f"{module}.py").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("case_")]


@functools.lru_cache(maxsize=None)
def _install(version, directory):
    return Installed(version, interpreters()[version], directory)


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A function: the environment of a version, or a skip."""
    base = tmp_path_factory.mktemp("wheels")

    def get(version):
        if not WHEELS.exists():
            pytest.skip("no wheels in build/wheels: ./dev test python makes them")
        if version not in interpreters():
            assert version != "3.11", "Debian's python3 must have a wheel"
            pytest.skip(f"there is no Python {version} here that this user may run, with its headers")
        return _install(version, base / version)

    return get
