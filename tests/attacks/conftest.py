"""Who attacks, and from where: casemate started by whoever runs the tests, and with --also-as NAME by that user too (only root can)."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attack import Attack  # noqa: E402
from host import Host, unprivileged_user  # noqa: E402

BUILT = Path(__file__).parents[2] / "build/bin/casemate"


def pytest_configure(config):
    for kind in ("hard", "robust", "resource", "output", "surface"):
        config.addinivalue_line("markers", "%s: a probe of this class" % kind)


def pytest_addoption(parser):
    group = parser.getgroup("attacks")
    group.addoption("--casemate", default=os.environ.get("CASEMATE", str(BUILT)), help="the program under attack ($CASEMATE, else build/bin/casemate)")
    group.addoption("--also-as", metavar="NAME", help="run all of it a second time with casemate started by this user")
    group.addoption("--alone", action="store_true", help="nothing else mounts on this host: count all mounts")


def pytest_generate_tests(metafunc):
    if "caller" in metafunc.fixturenames:
        me = "root" if os.geteuid() == 0 else "user"
        also = metafunc.config.getoption("--also-as")
        metafunc.parametrize("caller", [me] + (["as-" + also] if also else []), indirect=True, scope="session")


def pytest_collection_modifyitems(items):
    """Limits and processes have nothing to do with the root that a job runs on."""

    def needless(item):
        params = getattr(item, "callspec", None) and item.callspec.params
        return params and params.get("profile") == "image" and params["probe"].kind in ("resource", "robust")

    items[:] = [item for item in items if not needless(item)]


@pytest.fixture(scope="session")
def casemate(request):
    path = Path(request.config.getoption("--casemate")).resolve()
    if not path.exists():
        pytest.fail("no %s: build it first (./dev build), or name it by --casemate" % path, pytrace=False)
    return path


@pytest.fixture(scope="session")
def caller(request, casemate):
    """The host with all its bait, and the program where its user can run it."""
    user = None
    if request.param.startswith("as-"):
        name = request.param.removeprefix("as-")
        user = unprivileged_user(name)
        if user is None or os.geteuid() != 0:
            pytest.skip("casemate as '%s': there is no such user, or the tests don't run as root" % name)
    host = Host(user)
    program = casemate
    if user is not None and not runs(program, host):
        program = host.base / "casemate"
        shutil.copy(casemate, program)
    yield host, program
    host.close()


def runs(program, host):
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False, cwd="/", **host.as_user()).returncode == 0
    except OSError:
        return False


@pytest.fixture(scope="session", params=["default", "strict", "image"])
def profile(request):
    return request.param


@pytest.fixture
def attack(request, caller, profile):
    host, program = caller
    return Attack(program, host, profile, request.config.getoption("--alone"))
