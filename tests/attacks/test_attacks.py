"""Every probe against `casemate run`: default and strict profile and on an image, started by root and by an ordinary user.

A probe that is policy in a profile (header `policy:`) must get through there, or its note is out of date. docs/design/attacks.md has the reasons.
"""
from pathlib import Path

import pytest
from attack import HERE, probes

ALL = probes()
KINDS = {"hard", "robust", "resource", "output", "surface"}
NOTES = HERE.parents[1] / "docs/design/attacks.md"
MARKED = [pytest.param(probe, id=probe.name, marks=getattr(pytest.mark, probe.kind)) for probe in ALL]


def check(verdict, policy):
    if verdict.word == "SKIP":
        pytest.skip(verdict.why)
    if verdict.on_host or policy is None:
        if verdict.word != "HELD" or verdict.on_host:
            pytest.fail(str(verdict), pytrace=False)
    elif verdict.word != "ESCAPED":
        pytest.fail("%s: this probe no longer gets through; take its policy note out" % verdict, pytrace=False)


@pytest.mark.parametrize("probe", MARKED)
def test_held(attack, probe):
    check(attack.verdict(probe), probe.policy(attack.profile))


@pytest.mark.parametrize("probe", [probe for probe in ALL if probe.kind == "output"], ids=lambda probe: probe.name)
def test_held_when_collected(attack, probe):
    """The same traps in a layer whose changes casemate collects after the job."""
    check(attack.verdict(probe, collect=True), probe.policy(attack.profile))


@pytest.mark.parametrize("probe", ALL, ids=lambda probe: probe.name)
def test_header_is_complete(probe):
    assert probe.kind in KINDS
    assert probe.header["tries"]
    assert probe.header["must"]


def test_policy_is_explained():
    notes = Path(NOTES).read_text()
    for probe in ALL:
        for profile in ("default", "strict"):
            if probe.policy(profile) is not None:
                assert probe.name in notes, "%s is policy and has no note in %s" % (probe.name, NOTES)


def test_only_surface_probes_are_policy():
    for probe in ALL:
        assert probe.kind == "surface" or (probe.policy("default") is None and probe.policy("strict") is None), probe.name
