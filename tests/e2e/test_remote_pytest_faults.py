"""casemate pytest --remote while things happen to its engine: each test is told once, with its verdict, or `lost` with the reason where nobody can know."""

import hashlib

import pytest
from known_suite import KnownSuite

# For what does not end: longer than a group takes on a busy machine.
SHORT = "--remote-timeout=15s"


@pytest.fixture
def known(tmp_path, run):
    return KnownSuite(tmp_path / "suite", run.environment)


@pytest.fixture
def start(known, proxy):
    """Starts the suite through the proxy, two groups at a time; half a second each, so that there are many."""

    def begin(*words):
        return known.start(f"--remote={proxy.address}", "--remote-slots=2", "--group-time=500ms", *words)

    return begin


def partly(known, process, status, timeout=200):
    """Of a run that ended early: what was told is right, and was told once."""
    said, _ = process.communicate(timeout=timeout)
    assert process.returncode == status, said[-3000:]
    for name, verdict in known.verdicts().items():
        assert verdict == known.expected[name], (name, verdict)
    return said


@pytest.mark.parametrize(
    "method",
    ["GetCapabilities", "FindMissingBlobs", "BatchUpdateBlobs", "Write", "Execute", "Read", "BatchReadBlobs"],
)
def test_unavailable_for_a_while(known, proxy, start, method):
    proxy.rules({"method": method, "fault": "status", "code": "UNAVAILABLE", "times": 3})
    known.finish(start())


def test_execute_is_reset_before_and_after_it_began(known, proxy, start):
    proxy.rules(
        {"method": "Execute", "fault": "cut", "skip": 1, "times": 1},
        {"method": "Execute", "messages": 1, "fault": "cut", "skip": 1, "times": 3},
        {"method": "WaitExecution", "messages": 1, "fault": "cut", "times": 1},
    )
    known.finish(start())
    # What was cut after it began ran once, and was waited for.
    assert proxy.counts("WaitExecution")["calls"] >= 3


def test_blobs_that_were_evicted(known, proxy, start, casd):
    """A test file, first before a group uses it and then in the engine's store between two runs."""
    text = (known.directory / "test_2.py").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    proxy.rules(
        {
            "method": "Execute",
            "fault": "status",
            "code": "FAILED_PRECONDITION",
            "skip": 1,
            "times": 2,
            "missing": f"{digest}/{len(text)}",
        }
    )
    known.finish(start())
    casd.forget(digest)
    known.finish(start())


def test_results_that_were_evicted(known, proxy, start):
    """The outputs of two groups are gone: their tests run again."""
    process = start()
    proxy.wait("Execute", count=2)  # the first is the collection's
    proxy.rules(*({"method": method, "fault": "status", "code": "NOT_FOUND", "times": 2} for method in ("Read", "BatchReadBlobs")))
    known.finish(process)


def test_an_execution_that_hangs(known, proxy, start):
    """One group is not heard of any more; its tests run again."""
    proxy.rules({"method": "Execute", "fault": "hang", "skip": 1, "times": 1})
    known.finish(start(SHORT))


def test_tests_of_which_nobody_knows(known, proxy, start):
    """No group ends with a word: `lost`, which is not `failed`, and why."""
    proxy.rules(
        {
            "method": "Execute",
            "fault": "status",
            "code": "INTERNAL",
            "message": "the worker fell over",
            "skip": 1,
        }
    )
    process = start("test_0.py::test_0", "test_1.py::test_1")
    said, _ = process.communicate(timeout=200)
    results = known.results()
    assert sorted(results) == ["test_0.py::test_0", "test_1.py::test_1"], said[-3000:]
    for its in results.values():
        assert [one["verdict"] for one in its] == ["lost"]
        assert "the worker fell over" in its[0]["reason"]
        assert "lost (lost" not in its[0]["reason"]
    assert process.returncode == 1, said[-3000:]


def test_a_collection_that_is_lost(known, proxy, start):
    """Once: it is done again. For ever: no test is told, and the run says why."""
    proxy.rules(
        {
            "method": "Execute",
            "fault": "status",
            "code": "INTERNAL",
            "message": "the worker fell over",
            "times": 5,
        }
    )
    known.finish(start())
    proxy.rules(
        {
            "method": "Execute",
            "fault": "status",
            "code": "INTERNAL",
            "message": "the worker fell over",
        }
    )
    said = partly(known, start(), 3)
    assert not known.verdicts()
    assert "the worker fell over" in said


def test_credentials_that_expire_before_the_collection(known, proxy, start):
    proxy.rules({"method": "Execute", "fault": "status", "code": "UNAUTHENTICATED"})
    said = partly(known, start(), 3)
    assert not known.verdicts()
    assert "UNAUTHENTICATED" in said
    assert "the rest runs here" in known.finish(start("--remote-fallback"))


def test_an_engine_that_is_killed_and_started_again(known, proxy, start, casd):
    process = start()
    proxy.wait("Execute", count=4)
    casd.kill()
    casd.start()
    known.finish(process)


def test_an_engine_that_is_killed(known, proxy, start, casd):
    """For good: after a minute of trying (RemotePolicy::patience) it is given up."""
    process = start()
    proxy.wait("Execute", count=4)
    casd.kill()
    said = partly(known, process, 3)
    assert proxy.target in said, said[-2000:]


def test_an_engine_that_is_killed_with_a_fallback(known, proxy, start, casd):
    process = start("--remote-fallback")
    proxy.wait("Execute", count=4)
    casd.kill()
    assert "the rest runs here" in known.finish(process)


@pytest.mark.parametrize("fallback", [False, True], ids=["", "fallback"])
def test_credentials_that_expire(known, proxy, start, fallback):
    proxy.require(authorization="Bearer good")
    process = start("--remote-header", "authorization=Bearer good", *(["--remote-fallback"] if fallback else []))
    proxy.wait("Execute", count=4)
    proxy.require(authorization="Bearer new")
    said = known.finish(process) if fallback else partly(known, process, 3)
    assert "UNAUTHENTICATED" in said, said[-2000:]
    assert "Bearer" not in said
