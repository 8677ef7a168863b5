import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from stand_in import PAYLOAD, REPOSITORY, Base  # noqa: E402

# Any interpreter with pytest: `CASEMATE_WARM_PYTHON=/path/to/python3.13 python -m pytest tests/warm`.
PYTHON = os.environ.get("CASEMATE_WARM_PYTHON", sys.executable)
VENV = REPOSITORY / "build/warm-venv"
PLUGINS = pathlib.Path(__file__).with_name("plugins.txt")

RECORDER = """
import json, os
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    with open(os.environ["RECORD"], "a") as file:
        file.write(json.dumps([report.nodeid, report.when, report.outcome, getattr(report, "wasxfail", None)]) + "\\n")
"""


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    return dict(kept, PYTHONDONTWRITEBYTECODE="1", **more)


class Project:
    """Files in a directory of their own, run by warm parents or by a plain pytest."""

    def __init__(self, directory, request):
        self.directory = directory
        self.request = request
        self.python = PYTHON
        self.write("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider -p no:randomly\n")

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def start(self, *args, out=None, err=None, **env):
        """A base that is not ready yet."""
        base = Base(self.directory, *args, python=self.python, env=environment(**env), out=out, err=err)
        self.request.addfinalizer(base.close)
        return base

    def base(self, *args, **env):
        return self.start(*args, **env).begin()

    def module(self, file="test_it.py", *args, **env):
        return self.base(*args, **env).module(file)

    def run_all(self, *args):
        """{(id, when): [outcome, xfail]} of all that is collected, a fork each, from parents a file."""
        base = self.base(*args)
        parents = {}
        found = []
        for line in base.collect():
            if "item" not in line:
                continue
            if line["file"] not in parents:
                parents[line["file"]] = base.module(line["file"])
            for report in parents[line["file"]].run(line["item"]).reports:
                found.append((report["id"], report["when"], report["outcome"], report.get("xfail")))
        return found

    def plain(self, *args, **env):
        """`python -m pytest ARGS` here."""
        return subprocess.run(
            [self.python, "-m", "pytest", *args],
            cwd=self.directory,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )

    def plain_reports(self, *args):
        """What run_all gives, of a plain pytest."""
        record = self.directory.parent / "record.json"
        plugins = self.directory.parent / "plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "plain_recorder.py").write_text(RECORDER)
        self.plain("-p", "plain_recorder", *args, RECORD=str(record), PYTHONPATH=str(plugins))
        reports = [tuple(json.loads(line)) for line in record.read_text().splitlines()]
        record.unlink()
        prefix = "reason: "
        return [(i, w, o, x[len(prefix) :] if x and x.startswith(prefix) else x) for i, w, o, x in reports]


@pytest.fixture
def project(tmp_path, request):
    if not (PAYLOAD / "casemate_cells.so").exists():
        pytest.fail(f"no payload in {PAYLOAD}: build the target warm_payload, or set CASEMATE_WARM_DIR")
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(directory, request)


@pytest.fixture(scope="session")
def python_with_plugins():
    """An interpreter with all of plugins.txt, made once and kept; $CASEMATE_WARM_PLUGINS is another one."""
    if "CASEMATE_WARM_PLUGINS" in os.environ:
        return os.environ["CASEMATE_WARM_PLUGINS"]
    python = str(VENV / "bin/python")
    stamp = VENV / PLUGINS.name
    if stamp.exists() and stamp.read_text() == PLUGINS.read_text():
        return python
    uv = str(REPOSITORY / "build/venv/bin/uv")
    for command in ([uv, "venv", "-q", "--clear", "-p", "/usr/bin/python3", str(VENV)],
                    [uv, "pip", "install", "-q", "-p", python, "-r", str(PLUGINS)]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"the plugins can't be installed: {done.stderr.strip().splitlines()[-1:]}")
    stamp.write_text(PLUGINS.read_text())
    return python
