import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from py_test_runner import casemate_directories, runner  # noqa: E402, F401  (fixtures)
from agents import wheelhouse, world  # noqa: E402, F401
from cells import run  # noqa: E402, F401
from engines import buildgrid, casd, proxy, start_casd, start_proxy  # noqa: E402, F401
from images import docker_hub  # noqa: E402, F401
from repositories import bare_lab, lab  # noqa: E402, F401
from suites import suite  # noqa: E402, F401


def pytest_configure(config):
    config.addinivalue_line("markers", "big: installs packages of many megabytes; ./dev test runs it once, not for each user")
    config.addinivalue_line("markers", "once: says the same whoever runs it (what a backend hears, what a page shows); ./dev test runs it once")
