"""What a test, and what a conftest.py, may do to other cells, to casemate and to the host: docs/design/warm.md lists it."""

import json
import pathlib

import pytest

PROBES = pathlib.Path(__file__).with_name("attack_probes.py")
FILE = """
    import json, sys, time
    sys.path.insert(0, ".")
    import conftest, probes
    MODULE = probes.try_all()
    def test_beside(): time.sleep(%s)
    def test_it(record_property):
        record_property("conftest", json.dumps(conftest.FOUND))
        record_property("module", json.dumps(MODULE))
        record_property("test", json.dumps(probes.try_all()))
"""


@pytest.fixture
def found(suite):
    suite.write("probes.py", PROBES.read_text(encoding="utf-8"))
    suite.write("conftest.py", "import sys; sys.path.insert(0, '.')\nimport probes\nFOUND = probes.try_all()\n")
    for name in "abc":
        suite.write("test_%s.py" % name, FILE % 1)
    before = {path: path.stat().st_mtime_ns for path in suite.directory.rglob("*")}
    ended = suite("--slots", 4)
    assert ended.status == 0, str(ended)
    assert {path: path.stat().st_mtime_ns for path in suite.directory.rglob("*")} == before
    results = [event for event in ended.finished if event["name"] == "test_it"]
    assert len(results) == 3
    return [{who: json.loads(text) for who, text in result["properties"]} for result in results]


def test_a_test_reaches_nothing_but_its_own_init(found):
    for one in found:
        assert {probe: could for probe, could in one["test"].items() if could} == {"signals": ["signal casemate-init"]}


def test_a_conftest_reaches_the_cells_of_its_run_but_not_the_host(found):
    """Parents share a pid namespace: they can look at each other, and at running tests. Never at what is casemate's own, nor beyond."""
    for one in found:
        for who in ("conftest", "module"):
            could = one[who]
            for probe in ("mounts", "writable_host", "chroot", "escape_chroot"):
                assert could[probe] == [], (who, probe)
            assert set(could["kernel"]) <= {"set the host name of its own uts namespace"}
            for probe in ("roots", "ptrace", "descriptors"):
                assert not [words for words in could[probe] if "casemate" in words], (who, probe, could[probe])
            assert "setns user" not in could["setns"]
