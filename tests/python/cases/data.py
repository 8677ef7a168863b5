"""The plain data: constructed, compared, pickled, as dicts and back."""

import copy
import json
import pickle
import sys

import casemate
from cases import raises


def a_job():
    return casemate.Job(
        argv=["sh", "-c", "echo \udcff"],
        env={"A": "b"},
        name="näme",
        mounts=[casemate.Mount(target="/data", source="/tmp", writable=True), casemate.Mount(kind=casemate.MountKind.tmpfs, target="/t", bytes=1 << 20)],
        network=casemate.Network.outbound,
        profile=casemate.Profile.strict,
        limits=casemate.Limits(memory_bytes=1 << 40, wall_seconds=1.5, cpus=0.5),
        stdin=b"\xff\x00",
        collect=["/data"],
    )


def a_result():
    return casemate.JobResult(
        outcome=casemate.Outcome(casemate.OutcomeKind.timed_out, detail="wall time"),
        resources=casemate.Resources(wall_seconds=0.25, peak_memory_bytes=12),
        output=casemate.Output(out=b"a\xff\x00\xc3\xa4", err=b"", merged=b"a\xff", out_total=5),
        changes=[casemate.Change(path="x\udcff", kind=casemate.ChangeKind.deleted, type=casemate.FileType.symlink, link_target="/etc")],
        leftovers=[casemate.Leftover(pid=7, name="sleep")],
        notes=["a note"],
        exit_status=3,
    )


def case_every_name_is_there():
    for name in casemate.__all__:
        value = getattr(casemate, name)
        if isinstance(value, type):
            assert value.__module__ == "casemate", value
            assert value.__doc__, value
    assert set(casemate.__all__) <= set(dir(casemate))
    with raises(AttributeError, "no attribute 'nothing'"):
        casemate.nothing


def case_the_import_loads_nothing_but_itself():
    import subprocess

    program = "import sys; before = set(sys.modules); import casemate; print(sorted(set(sys.modules) - before - {'__future__'}))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert loaded == "['casemate']\n", loaded


def case_data_survives_json_and_pickle():
    for value in a_job(), a_result(), casemate.default_limits(), casemate.Mount(target="/x"), casemate.Outcome(casemate.OutcomeKind.lost):
        plain = value.to_dict()
        again = type(value).from_dict(json.loads(json.dumps(plain)))
        assert again == value, (again, value)
        assert again.to_dict() == plain
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(value, protocol)) == value
        assert copy.deepcopy(value) == value
    assert type(type(a_job()).from_dict(a_job().to_dict()).mounts[1].kind) is casemate.MountKind


def case_data_that_differs_is_not_equal():
    assert a_job() == a_job()
    other = a_job()
    other.mounts[0].writable = False
    assert other != a_job()
    assert a_result() != casemate.JobResult(outcome=casemate.Outcome(casemate.OutcomeKind.exited))


def case_what_is_no_job_is_refused_by_name():
    with raises(casemate.InvalidInput, "Job has no field 'argc'"):
        casemate.Job.from_dict({"argc": 1})
    with raises(casemate.InvalidInput, "Job.mounts: Mount.kind: can't be 'magic'"):
        casemate.Job.from_dict({"argv": ["a"], "mounts": [{"kind": "magic"}]})
    with raises(casemate.InvalidInput, "Job: 'argv' is missing"):
        casemate.Job.from_dict({})
    with raises(ValueError, "Limits: a dict is wanted, not list"):
        casemate.Limits.from_dict([])


def case_help_has_a_sentence_for_each_field():
    import dataclasses
    import pydoc

    for name in casemate.__all__:
        one = getattr(casemate, name)
        if dataclasses.is_dataclass(one):
            shown = pydoc.plain(pydoc.render_doc(one))
            missing = [field.name for field in dataclasses.fields(one) if f" |  {field.name}: " not in shown]
            assert not missing, (name, missing)
    assert "exited: `Outcome.code` is the exit status" in casemate.OutcomeKind.__doc__
    assert casemate.JobResult(casemate.Outcome(casemate.OutcomeKind.exited)).__doc__ == casemate.JobResult.__doc__


def case_outcomes_have_words():
    assert str(casemate.Outcome(casemate.OutcomeKind.exited, 1)) == "exited 1"
    assert str(casemate.Outcome(casemate.OutcomeKind.signaled, 11)) == "signaled 11 (SIGSEGV)"
    assert str(casemate.OutcomeKind.out_of_memory) == "out of memory"
    assert casemate.Outcome(casemate.OutcomeKind.exited).succeeded
    assert not casemate.Outcome(casemate.OutcomeKind.timed_out).succeeded
    assert {kind.value for kind in casemate.OutcomeKind} >= {"setup failed", "output limit", "lost"}


def case_errors_are_of_two_families():
    error = casemate.NotFound("no such thing")
    assert isinstance(error, casemate.Error) and isinstance(error, FileNotFoundError)
    assert isinstance(casemate.InvalidInput("x"), ValueError)
    error.where = "open(2)"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is casemate.NotFound and str(again) == "no such thing" and again.where == "open(2)"


def case_tables_are_told_how_to_be_plain():
    from casemate._casemate import plain

    class DataFrame:
        columns = ["a"]

        def to_dict(self, orient):
            return {"a": [1]}

    class Series:
        def tolist(self):
            return [1]

    with raises(casemate.InvalidInput, 'DataFrame: give a table as df.to_dict("list"), with None for missing values'):
        plain(DataFrame(), "sample_data")
    with raises(casemate.InvalidInput, "sample_data.a: plain data (None, bool, int, float, str, path, list, tuple, dict) is wanted, not cases.data.Series: give its .tolist()"):
        plain({"a": Series()}, "sample_data")
    with raises(casemate.InvalidInput, "sample_data.a[0]: JSON has no infinity and no NaN: a missing value is None"):
        plain({"a": [float("nan")]}, "sample_data")


def case_plain_values_go_through_the_library():
    import pathlib

    from casemate._casemate import plain

    value = {"a": [1, -1, 2**63, 2**64 - 1, -(2**63), 1.5, True, None, "ä\0"], "b": {"c": []}, "": "x"}
    assert plain(value, "v") == value
    assert list(plain({"z": 1, "a": 2}, "v")) == ["z", "a"]
    assert plain((1, pathlib.Path("/x")), "v") == [1, "/x"]
    assert type(plain(True, "v")) is bool and type(plain(1.0, "v")) is float
    recursive = []
    recursive.append(recursive)
    for wrong, words in [
        ({"a": [0, {"b": b"x"}]}, "v.a[1].b: bytes are no text"),
        ({"a": 2**64}, "v.a: an int of more than 64 bits"),
        ([float("nan")], "v[0]: JSON has no infinity and no NaN"),
        (["\ud800"], "v[0]: its text has lone surrogates"),
        ({1: 2}, "v: a dict whose keys are str is wanted, not int"),
        (recursive, "nested deeper than 100 containers"),
        ({"s": {1, 2}}, "v.s: plain data (None, bool, int, float, str, path, list, tuple, dict) is wanted, not set"),
    ]:
        with raises(casemate.InvalidInput, words):
            plain(wrong, "v")
