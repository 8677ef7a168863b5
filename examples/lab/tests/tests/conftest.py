"""What all labs' tests get: the project, make, and the program that it builds."""

import subprocess
from pathlib import Path

import pytest


def pytest_addoption(parser):
    """The options that run_tests.py passes on."""
    parser.addoption("--src", help="the student's project")
    parser.addoption("--program-timeout", type=float, default=10, help="seconds for one run of the program")


@pytest.fixture(scope="session")
def project(request):
    """The directory of the student's project."""
    return Path(request.config.getoption("--src"))


@pytest.fixture(scope="session")
def make(project):
    """Runs make in the project: make("clean")."""
    return lambda *targets: subprocess.run(["make", "-C", project, *targets], capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def count(project, make, request):
    """Runs the program on the bytes of a file, after it was built."""
    built = make()
    if built.returncode != 0:
        pytest.fail(f"make failed:\n{built.stdout}{built.stderr}", pytrace=False)
    seconds = request.config.getoption("--program-timeout")

    def run(*arguments):
        try:
            return subprocess.run([project / "count", *arguments], capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the program has not finished in {seconds:g} seconds", pytrace=False)

    return run
