import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attack import Attack  # noqa: E402
from host import Host, unprivileged_user  # noqa: E402


def pytest_addoption(parser):
    group = parser.getgroup("attacks")
    group.addoption("--casemate", default=str(Path(__file__).parents[2] / "build/bin/casemate"), help="the program under attack")
    group.addoption("--unprivileged-user", default="nobody", help="who plays the unprivileged caller when the tests run as root")
    group.addoption("--alone", action="store_true", help="nothing else mounts on this host: count all mounts")


@pytest.fixture(scope="session")
def casemate(request, tmp_path_factory):
    path = Path(request.config.getoption("--casemate")).resolve()
    if not path.exists():
        pytest.fail("no %s: build it first (./dev build), or name it by --casemate" % path)
    return path


@pytest.fixture(scope="session", params=["privileged", "unprivileged"])
def caller(request, casemate):
    """The host with all its bait, for casemate started by root and by an ordinary user; and the program, where that user can run it."""
    is_root = os.geteuid() == 0
    if request.param == "privileged" and not is_root:
        pytest.skip("casemate as root: the tests themselves don't run as root")
    user = None
    if request.param == "unprivileged" and is_root:
        name = request.config.getoption("--unprivileged-user")
        user = unprivileged_user(name)
        if user is None:
            pytest.skip("casemate as a user: there is no user '%s' (--unprivileged-user)" % name)
    host = Host(user)
    program = casemate
    if user is not None and subprocess.run([program, "--version"], capture_output=True, check=False, **host.as_user(), cwd="/").returncode != 0:
        program = host.base / "casemate"
        shutil.copy(casemate, program)
    yield host, program
    host.close()


@pytest.fixture(scope="session", params=["default", "strict"])
def profile(request):
    return request.param


@pytest.fixture
def attack(request, caller, profile):
    host, program = caller
    return Attack(program, host, profile, request.config.getoption("--alone"))
