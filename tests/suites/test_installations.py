"""Tools whose package managers take minutes: npm, cargo, go. The tests are in tests/kernel; here they are not skipped."""

import os
import pathlib
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
TESTS = TREE / "build" / "bin" / "kernel_tests"


@pytest.mark.parametrize("name", ["a_package_from_the_npm_registry", "a_go_module", "a_crate"])
def test_installs(name):
    if os.geteuid() != 0:
        pytest.skip("installing packages over a network was shown once, as root")
    environment = {**os.environ, "CASEMATE_TEST_SLOW_INSTALLATIONS": "1"}
    ran = subprocess.run([TESTS, f"--gtest_filter=SlowToolInstallation.{name}"], env=environment, capture_output=True, text=True, errors="replace", timeout=1800, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert "[  PASSED  ] 1 test." in ran.stdout, ran.stdout[-2000:]
