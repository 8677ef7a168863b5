"""Real suites come out in `casemate pytest` as in plain pytest, test by test, but for what explained.toml explains. Takes minutes; ./dev test suites."""


import dataclasses
import functools

import outcomes
import prepare
import pytest

SUITES = prepare.suites()
LEAKY = [name for name, suite in SUITES.items() if suite.leaks]
SHUFFLES = ("1", "2", "3")


@pytest.fixture(scope="session", autouse=True)
def prepared():
    prepare.prepare()


@functools.cache
def plain_in_order(name):
    return outcomes.plain(SUITES[name])


def told(differences):
    return "\n".join(str(difference) for difference in differences)


@pytest.mark.parametrize("name", SUITES)
def test_comes_out_as_in_plain_pytest(name):
    plain, ours = plain_in_order(name), outcomes.casemate(SUITES[name])
    assert len(plain.tests) > 20
    found = outcomes.differences(name, plain.tests, ours.tests)
    unexplained = [difference for difference in found if not difference.why]
    assert not unexplained, told(unexplained)
    assert not outcomes.idle_explanations(name, found, outcomes.explanations())


@pytest.mark.parametrize("name", LEAKY)
def test_leaks_when_shuffled_in_plain_pytest(name):
    suite = SUITES[name]
    plain = outcomes.plain(suite, f"--randomly-seed={suite.seed}")
    bad = [test for test, how in plain.tests.items() if how.verdict in ("failed", "error")]
    assert bad, "this seed shows nothing: the suite does not leak any more, or pytest-randomly shuffles otherwise"


@pytest.mark.parametrize("seed", SHUFFLES)
@pytest.mark.parametrize("name", LEAKY)
def test_comes_out_the_same_in_cells_in_any_order(name, seed):
    in_order, shuffled = plain_in_order(name), outcomes.casemate(SUITES[name], f"--randomly-seed={seed}")
    unexplained = [difference for difference in outcomes.differences(name, in_order.tests, shuffled.tests) if not difference.why]
    assert not unexplained, told(unexplained)


def test_explanations_are_of_suites_that_are_there():
    for entry in outcomes.explanations():
        assert entry["suite"] in SUITES
        assert entry["why"]


def test_an_entry_that_explains_nothing_is_an_error():
    entry = {"suite": "one", "id": "test_a.py::*", "plain": "passed", "ours": "failed", "why": "it leans on another"}
    found = outcomes.Difference("one", "test_a.py::test_b", "verdict", "passed", "failed")
    assert outcomes.idle_explanations("one", [found], [entry]) == []
    assert outcomes.idle_explanations("two", [], [entry]) == []
    others = [
        outcomes.Difference("one", "test_b.py::test_b", "verdict", "passed", "failed"),
        outcomes.Difference("one", "test_a.py::test_b", "verdict", "failed", "passed"),
        outcomes.Difference("one", "test_a.py::test_b", "reasons", "passed", "failed"),
        outcomes.Difference("two", "test_a.py::test_b", "verdict", "passed", "failed"),
    ]
    for found in ([], others):
        assert outcomes.idle_explanations("one", found, [entry]) == ["explained.toml: one test_a.py::* explains nothing: remove it"]


@pytest.mark.parametrize("entry", [entry for entry in outcomes.explanations() if "proof" in entry], ids=lambda entry: entry["id"])
def test_plain_pytest_gives_our_verdict_where_the_proof_says_so(entry):
    suite = dataclasses.replace(SUITES[entry["suite"]], tests=entry["proof"])
    verdicts = {how.verdict for test, how in outcomes.plain(suite).tests.items() if outcomes.matches(test, entry["id"])}
    assert verdicts == {entry["ours"]}


@pytest.mark.parametrize(
    ("reports", "verdict"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], "passed"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "passed")], "failed"),
        ([("setup", "failed"), ("teardown", "passed")], "error"),
        ([("setup", "passed"), ("call", "passed"), ("teardown", "failed")], "error"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "failed")], "failed"),
        ([("setup", "skipped"), ("teardown", "passed")], "skipped"),
    ],
)
def test_verdict_of_reports(reports, verdict):
    assert outcomes.verdict_of([{"when": when, "outcome": outcome} for when, outcome in reports]) == verdict


def test_plain_run_hears_every_verdict(tmp_path):
    (tmp_path / "test_all.py").write_text(
        "import pytest, warnings\n"
        "def test_passes(): warnings.warn('careful')\n"
        "def test_fails(): assert 1 == 2\n"
        "@pytest.mark.skip(reason='not now')\ndef test_skips(): pass\n"
        "@pytest.mark.xfail(reason='known')\ndef test_xfails(): assert 0\n"
        "@pytest.mark.xfail\ndef test_xpasses(): pass\n"
        "@pytest.fixture\ndef broken():\n    yield\n    raise ValueError\n"
        "def test_errors(broken): pass\n"
    )
    tests = outcomes.plain(prepare.Suite(name="all", tests=".", directory=tmp_path)).tests
    assert [how.verdict for how in tests.values()] == ["passed", "failed", "skipped", "xfailed", "xpassed", "error"]
    assert tests["test_all.py::test_skips"].reasons == ("not now",)
    assert tests["test_all.py::test_xfails"].reasons == ("known",)
    assert tests["test_all.py::test_passes"].warnings == ("UserWarning: careful",)


def test_only_loopback_is_there_in_a_plain_run(tmp_path):
    (tmp_path / "test_net.py").write_text("import socket\ndef test_interfaces(record_property): assert [name for _, name in socket.if_nameindex()] == ['lo']\n")
    tests = outcomes.plain(prepare.Suite(name="net", tests=".", directory=tmp_path)).tests
    assert [how.verdict for how in tests.values()] == ["passed"], tests
