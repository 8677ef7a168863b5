"""The program with an interpreter that has pandas, scikit-learn and xgboost: build/runtime-venv, which ./dev makes of requirements.txt."""

import json
import os
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
PROGRAM = os.environ.get("CASEMATE") or str(TREE / "build" / "bin" / "casemate")
if (TREE / "build" / "runtime-venv" / "bin" / "python").exists():
    os.environ.setdefault("CASEMATE_RUNTIME_PYTHON", str(TREE / "build" / "runtime-venv" / "bin" / "python"))


class Project:
    """A directory from which `casemate runtime` is called."""

    def __init__(self, directory):
        self.directory = directory

    def script(self, name, text):
        """A script of this project's; `text` is the whole of it."""
        path = self.directory / "scripts" / (name + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def file(self, name, content):
        """A file of it; what is no text is written as JSON."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def run(self, *arguments, python=None, status=None, env=None):
        """`casemate runtime ARGUMENTS`, ended."""
        interpreter = [] if "--python" in arguments else ["--python", python or os.environ["CASEMATE_RUNTIME_PYTHON"]]
        done = subprocess.run(
            [PROGRAM, "runtime", *map(str, arguments), *interpreter],
            cwd=self.directory,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert status is None or done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *arguments, **options):
        """What it prints with --output-format json: nothing else may be there."""
        done = self.run(*arguments, "--output-format", "json", **options)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise AssertionError((done.returncode, done.stdout, done.stderr)) from None


def _project(directory):
    if "CASEMATE_RUNTIME_PYTHON" not in os.environ:
        pytest.skip("no build/runtime-venv: ./dev test runtime makes it")
    return Project(directory)


@pytest.fixture
def project(tmp_path):
    return _project(tmp_path)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory):
    return _project(tmp_path_factory.mktemp("project"))
