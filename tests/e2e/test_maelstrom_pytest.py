"""Somebody who uses maelstrom-pytest changes a name: its document step by step, its configuration, its command line."""

import re

import pytest
from images import UV
from suites import simple_lines

# The document's advice for seeing tests side by side.
CLIENT_TEST = """
import os, pathlib, sys
import pytest

import client


@pytest.mark.parametrize("number", range(8))
def test_expands(number):
    assert client.double(number) == 2 * number
    assert sys.version_info[:2] == (3, 11)
    assert pathlib.Path("/etc/debian_version").read_text().startswith("12")
    assert os.getpid() != 1
    pathlib.Path("/tmp/one-for-each").touch(exist_ok=False)
"""


def with_packages(done):
    """Skips where no package index can be reached."""
    said = done.stdout + done.stderr
    if done.returncode != 0 and re.search("error sending request|dns error|Could not fetch|No matching distribution|Connection", said):
        pytest.skip("no package index can be reached: " + said[-300:])
    return done


@pytest.fixture
def seed(suite, docker_hub):
    """A project after all steps of the document but the last."""
    suite.environment |= docker_hub.environment | {"CASEMATE_UV": UV or "none"}
    done = suite.maelstrom("--init")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    path = suite.directory / "maelstrom-pytest.toml"
    text = path.read_text()
    assert 'image = "docker://python:3.11-slim"' in text
    path.write_text('[[directives]]\nimage = "docker://python:3.11-slim"\nadded_layers = [ { glob = "**.py" } ]\n')
    suite.write("py/client.py", "def double(n):\n    return 2 * n\n")
    suite.write("py/maelstrom_client_test.py", CLIENT_TEST)
    suite.write("test_other.py", "def test_other():\n    pass\n\ndef test_fails():\n    assert 1 == 2\n")
    suite.write("test-requirements.txt", "pytest==8.1.1\n")
    suite.write("notes.txt", "not Python\n")
    return suite


def test_the_document_step_by_step(seed):
    done = with_packages(seed.maelstrom("--ui", "simple", "--slots", 8, "--include", "file.equals(py/maelstrom_client_test.py)"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = simple_lines(done.stdout)
    assert lines == {f"py/maelstrom_client_test.py::test_expands[{number}]": "OK" for number in range(8)}
    assert re.search(r"Successful Tests: +8\n", done.stdout)
    done = seed.maelstrom("--ui", "simple")
    assert done.returncode == 1
    assert simple_lines(done.stdout)["test_other.py::test_fails"] == "FAIL"
    assert "assert 1 == 2" in done.stdout
    assert re.search(r"Failed Tests +: +1\n    test_other.py::test_fails: failure\n", done.stdout), done.stdout
    # The files lie there as they did, and nothing of ours beside them.
    assert sorted(path.name for path in seed.directory.iterdir()) == ["maelstrom-pytest.toml", "notes.txt", "py", "test-requirements.txt", "test_other.py"]
    assert not list(seed.directory.rglob("__pycache__"))
