"""casemate pytest --remote: with a buildbox-casd that executes."""

import json

import pytest
from engines import casd, proxy, start_casd, start_proxy  # noqa: F401
from test_pytest_groups import odd, of_all

CELLS = ("--remote-property", "unixUID=1000")  # there a user namespace can be made: buildbox' root has no CAP_SETFCAP


@pytest.fixture
def remote(suite, casd):  # noqa: F811
    def run(*words, **options):
        return suite("--remote", casd.target, *words, **options)

    return run


# What an ordinary user's engine takes to copy the interpreter's packages for each action is minutes.
@pytest.mark.once
@pytest.mark.parametrize("where", [(), CELLS], ids=["processes", "namespaces"])
def test_verdicts_are_those_of_cells(suite, remote, where):
    odd(suite)
    suite.directory.chmod(0o755)
    words = ("--timeout", 3)
    local = suite(*words)
    there = remote(*words, *where, "--remote-slots", 2)
    assert of_all(there) == of_all(local), str(there)
    assert there.status == local.status == 1 and len(there.tests) > 50
    assert [left["name"] for left in there.results["test_leaves"]["leftovers"]] == ["sleep"]
    assert "past capture" in json.dumps(there.results["test_writes"])
    apart = [note for note in there.notes if "without namespaces" in note]
    assert bool(apart) == (not where), str(there.notes)
    assert all("--remote-property unixUID=1000" in note and "the project" in note for note in apart), apart


@pytest.mark.parametrize("where", [(), CELLS], ids=["processes", "namespaces"])
def test_a_home_that_is_empty_for_each(suite, remote, where):
    """And the same path for all, also where modules have asked for it."""
    suite.write(
        "test_home.py",
        """
        import os, pathlib, pytest
        HOME = pathlib.Path.home()

        @pytest.mark.parametrize("n", range(3))
        def test_it(n, tmp_path):
            assert pathlib.Path.home() == HOME and os.environ["HOME"] == str(HOME)
            assert not (HOME / "left").exists()
            (HOME / "left").mkdir()
            (HOME / "left/x").write_text("x")
            (HOME / "left").chmod(0)
        """,
    )
    ended = remote(*where, "--remote-slots", 1)
    assert ended.status == 0, str(ended)


def test_what_can_not_be_is_told(suite):
    suite.write("test_a.py", "def test_a(): pass\n")
    ended = suite("--remote", "grpc://127.0.0.1:1", "--cpus", "1")
    assert ended.status == 3 and "leave --cpus out" in ended.out + ended.err, str(ended)


def test_a_network_is_told_to_be_the_engines(suite, remote):
    suite.write("test_a.py", "def test_a(): pass\n")
    ended = remote("--network", "outbound")
    assert ended.status == 0, str(ended)
    assert any("which networks tests reach is the engine's to say" in note for note in ended.notes), ended.notes


@pytest.mark.once
def test_cells_of_this_machine_run_tests_as_well(suite, remote):
    for file in range(12):
        suite.write(f"test_{file}.py", "import os, pytest\n@pytest.mark.parametrize('n', range(25))\ndef test_it(n): assert n\n")
    ended = remote("--slots", 1, "--remote-slots", 1)
    assert len(ended.tests) == 300 and sum(one["verdict"] == "failed" for one in ended.tests.values()) == 12, str(ended)[-2000:]
    assert {one["slot"] for one in ended.finished} == {0, 1}
    lasts = [one["id"] for one in ended.finished if one["last"]]
    assert len(lasts) == len(set(lasts))


def test_assertions_are_rewritten_once(suite, remote):
    suite.write(
        "conftest.py",
        "import _pytest.assertion.rewrite as rewrite\nmade, original = [], rewrite.rewrite_asserts\n"
        "def noting(module, source, path=None, config=None):\n    made.append(path)\n    return original(module, source, path, config)\n"
        "rewrite.rewrite_asserts = noting\n",
    )
    suite.write("test_a.py", "import conftest\ndef test_made(): assert conftest.made == []\ndef test_shown():\n    one = 1\n    assert one == 2\n")
    ended = remote(*CELLS)
    assert ended.verdicts == {"test_made": "passed", "test_shown": "failed"}, str(ended)
    assert "assert 1 == 2" in json.dumps(ended.results["test_shown"])


def test_an_engine_that_is_not_there(suite):
    suite.write("test_a.py", "def test_a(): pass\n")
    ended = suite("--remote", "grpc://127.0.0.1:1")
    assert ended.status == 3 and not ended.tests, str(ended)
    ended = suite("--remote", "grpc://127.0.0.1:1", "--remote-fallback")
    assert ended.status == 0 and ended.verdicts == {"test_a": "passed"}, str(ended)
    assert any("the tests run here" in note for note in ended.notes), str(ended)


@pytest.mark.once
def test_a_header_is_in_no_report(suite, remote):
    suite.write("test_a.py", "def test_a(): pass\n")
    ended = remote("--remote-header", "authorization=Bearer verysecret", "--remote-header=x-key=verysecret")
    assert ended.status == 0 and "verysecret" not in json.dumps(ended.events), str(ended)
