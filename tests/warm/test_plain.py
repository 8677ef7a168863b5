"""Warm parents without pytest: src/warm/python/plain.py, and a run() of the test's own."""
import json

import pytest

from conftest import PYTHON, environment
from stand_in import PAYLOAD, Base, Pipe

PREFACE = """
def run(ids, stream):
    code, *more = ids
    told = []
    exec(code, {"tell": told.append, "ids": more, "NOTES": NOTES, "sys": sys})
    stream.add(to_json({"told": told}) + "\\n")


main()
"""


@pytest.fixture
def plain(tmp_path, request):
    def start(*args, **env):
        text = (PAYLOAD / "plain.py").read_bytes() + PREFACE.encode()
        path = str(tmp_path / "packages")
        base = Base(tmp_path, *args, python=PYTHON, env=environment(PYTHONPATH=path, **env), text=text)
        request.addfinalizer(base.close)
        return base

    (tmp_path / "packages").mkdir()
    return start


def told(parent, code, *ids):
    result = parent.run([code, *ids])
    assert result.status == 0, result.err
    assert result.lines[-1] == {"done": True}
    return result.lines[0]["told"]


def write(tmp_path, name, text):
    (tmp_path / "packages" / (name + ".py")).write_text(text)


def test_forks_have_what_was_imported_and_nothing_of_each_other(plain, tmp_path):
    write(tmp_path, "counter", "import random\nstate = []\n")
    base = plain().begin()
    assert base.begun["pytest"] == "" and base.begun["notes"] == []
    parent = base.module("counter")
    assert parent.ready["threads"] == []
    code = "tell('counter' in sys.modules); import counter; counter.state.append(1); tell(len(counter.state)); tell(counter.random.random())"
    first, second = told(parent, code), told(parent, code)
    assert first[:2] == second[:2] == [True, 1]
    assert first[2] != second[2]


def test_nothing_of_pytest_is_there_nor_of_casemate(plain):
    names = told(plain().begin().module(None), "tell(sorted(sys.modules)); tell(sys.argv); tell([n for n in vars(sys.modules['__main__']) if n[0] != '_'])")
    assert not [name for name in names[0] if "pytest" in name or "casemate" in name]
    assert names[1:] == [[""], []]


def test_ids_come_as_they_are(plain):
    parent = plain().begin().module(None)
    assert told(parent, "tell(ids)", "a b", "\u00e4{}", "x" * 90000) == [["a b", "\u00e4{}", "x" * 90000]]


def test_the_base_imports_what_its_argument_names(plain, tmp_path):
    write(tmp_path, "early", "")
    base = plain("early,not_there").begin()
    assert base.begun["notes"] == []
    assert told(base.module(None), "tell('early' in sys.modules)") == [True]


def test_a_module_that_cannot_be_imported_is_left_out_and_told(plain, tmp_path):
    write(tmp_path, "broken", "raise ValueError('it is')")
    write(tmp_path, "leaves", "import sys; sys.exit(3)")
    write(tmp_path, "needs", "import not_there_either")
    parent = plain().begin().module("broken,leaves,needs,not_there")
    notes = told(parent, "tell(NOTES)")[0]
    assert [note.split(" ")[0] for note in notes] == ["broken", "leaves", "needs"]
    assert notes[0] == "broken is not imported beforehand: ValueError: it is"


@pytest.mark.parametrize("where", ["base", "parent"])
def test_threads_that_imports_leave_are_told(plain, tmp_path, where):
    write(tmp_path, "threaded", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True, name='worker').start()\n")
    base = plain(*(["threaded"] if where == "base" else [])).begin()
    assert base.module("threaded").ready["threads"] == ["a thread (worker)"]


def test_a_fresh_interpreter_runs_it_itself(plain):
    base = plain(CASEMATE_COLD="1")
    pipe = Pipe()
    order = {"file": "json", "ids": ["tell(ids); import os; tell('CASEMATE_COLD' in os.environ)", "one"]}
    base.control.send(b"K" + json.dumps(order).encode(), [pipe.writer])
    pipe.given()
    assert pipe.lines() == [{"told": [["one"], False]}, {"done": True}]
    assert base.process.wait(60) == 0


def test_a_seed_that_a_module_sets_on_purpose_stays(plain, tmp_path):
    write(tmp_path, "seeds", "import random\nrandom.seed(7)\n")
    parent = plain("random").begin().module("seeds")
    code = "import random; tell(random.random())"
    assert told(parent, code) == told(parent, code)
