"""packaging/: what can be said of the unit and the container file without booting either. docs/guide/agent.md says what was tried by hand."""

import re
import shutil
import subprocess

import pytest
from py_test_runner import CASEMATE, TREE

UNIT = TREE / "packaging" / "casemate-agent.service"
# Each of these ends every cell: packaging/README.md says why.
STAYS_OPEN = {
    "RestrictNamespaces": "no",
    "ProtectKernelTunables": "no",
    "ProtectKernelLogs": "no",
    "ProcSubset": "all",
    "SystemCallFilter": "",
    "ProtectHostname": "no",
    "ProtectControlGroups": "no",
    "PrivateDevices": "no",
    "PrivateUsers": "no",
}


@pytest.fixture
def unit():
    if not UNIT.exists():
        pytest.skip("packaging/ is not beside these tests")
    return UNIT.read_text(encoding="utf-8")


def test_systemd_understands_the_unit(unit, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    (tmp_path / UNIT.name).write_text(unit.replace("/usr/local/bin/casemate", str(CASEMATE)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, []), done.stderr


def test_no_lock_of_the_unit_keeps_cells_from_being_made(unit):
    given = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    assert {name: given[name] for name in STAYS_OPEN} == STAYS_OPEN


def test_the_unit_and_the_container_start_the_agent_by_options_that_it_has(unit):
    command = re.search(r"^ExecStart=/usr/local/bin/casemate (agent .*)$", unit, re.MULTILINE).group(1)
    words = command.replace("${CREDENTIALS_DIRECTORY}/password", "/dev/null/no").replace("$AGENT_OPTIONS", "--mock").split()
    done = subprocess.run([CASEMATE, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stderr.startswith("casemate agent: argument --password-file: "), done.stderr
    container = (UNIT.parent / "Containerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["casemate", "agent"]' in container
