"""Base, collector and module parents: what they say of a project, and of one that is broken."""
import os

import pytest

import stand_in


def test_items_come_with_all_that_selection_needs(project):
    project.write("pytest.ini", "[pytest]\nmarkers =\n  slow: x\n  casemate: x\n")
    project.write("tests/sub/test_it.py", """
        import pytest
        pytestmark = pytest.mark.slow
        def test_plain(): pass
        @pytest.mark.skip
        def test_skipped(): pass
        class TestA:
            class TestB:
                @pytest.mark.casemate(isolation="cold")
                @pytest.mark.parametrize("x", ["a::b"])
                def test_cold(self, x): pass
    """)
    items = {line["name"]: line for line in project.base().collect() if "item" in line}
    assert items["test_plain"] == {
        "item": "tests/sub/test_it.py::test_plain", "file": "tests/sub/test_it.py", "group": "", "name": "test_plain", "line": 4, "markers": ["slow"]}
    assert items["test_skipped"]["skip"] is True and "cold" not in items["test_skipped"]
    cold = items["test_cold[a::b]"]
    assert (cold["group"], cold["cold"]) == ("TestA::TestB", True)
    assert set(cold["markers"]) == {"slow", "casemate", "parametrize"}


def test_hashes_of_collector_and_parents_agree_and_tell_changes(project):
    project.write("a/test_one.py", "import pytest\n@pytest.mark.parametrize('x', range(3))\ndef test_x(x): pass\n")
    project.write("a/test_two.py", "def test_y(): pass\n")
    base = project.base()
    lines = base.collect()
    hashes = {line["file"]: (line["hash"], line["count"]) for line in lines if "hash" in line}
    for file, (value, count) in hashes.items():
        ready = base.module(file).ready
        assert (ready["hash"], ready["count"]) == (value, count)
    assert hashes["a/test_one.py"][0] != hashes["a/test_two.py"][0]
    project.write("a/test_two.py", "import pytest\n@pytest.mark.skip\ndef test_y(): pass\n")
    assert base.module("a/test_two.py").ready["hash"] != hashes["a/test_two.py"][0]
    assert lines[-1] == {"done": True, "deselected": 0, "threads": [], "status": 0}


def test_files_that_cannot_be_collected_are_problems(project):
    project.write("test_good.py", "def test_x(): pass\n")
    project.write("test_bad.py", "import nowhere\n")
    project.write("test_syntax.py", "def (\n")
    base = project.base()
    lines = base.collect()
    problems = {line["problem"]["id"]: line["problem"] for line in lines if "problem" in line}
    assert set(problems) == {"test_bad.py", "test_syntax.py"}
    assert "No module named 'nowhere'" in problems["test_bad.py"]["text"]
    assert problems["test_bad.py"]["outcome"] == "failed" and problems["test_bad.py"]["when"] == "collect"
    assert [line["item"] for line in lines if "item" in line] == ["test_good.py::test_x"]
    assert lines[-1]["status"] == 2
    assert base.module("test_bad.py").ready["problems"] == 1
    parent = base.module("test_good.py")
    assert parent.run("test_good.py::test_x").outcomes()["call"] == "passed"


def test_deselected_and_nothing_left(project):
    project.write("test_it.py", "def test_x(): pass\ndef test_y(): pass\n")
    assert project.base("-k", "x").collect()[-1]["deselected"] == 1
    last = project.base("-k", "nothing").collect()[-1]
    assert (last["deselected"], last["status"]) == (2, 5)


BROKEN = {
    "usage": (("--no-such-option",), {}, "unrecognized arguments: --no-such-option", 4),
    "conftest": ((), {"conftest.py": "import nowhere\n"}, "No module named 'nowhere'", 4),
    "ini": ((), {"pytest.ini": "[pytest\n"}, "pytest.ini", 4),
    "sessionstart": ((), {"conftest.py": "def pytest_sessionstart(session): raise ValueError('not today')\n"}, "not today", 3),
    "exits": ((), {"conftest.py": "import pytest\npytest.exit('enough', returncode=7)\n"}, "enough", None),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_base_that_gives_up_says_why(project, what):
    args, files, text, status = BROKEN[what]
    for name, content in files.items():
        project.write(name, content)
    base = project.start(*args)
    said = base.control.expect(b"X")
    assert text in said["text"] + said["what"]
    assert "\n" not in said["what"]
    assert status in (None, said["status"])
    assert base.control.receive() is None


def test_a_collector_that_pytest_ends_says_why(project):
    project.write("test_it.py", "def test_x(): pass\n")
    lines = project.base("test_it.py", "nowhere.py").collect()
    assert lines[-1]["status"] == 4 and "nowhere.py" in lines[-1]["text"]
    project.write("conftest.py", "def pytest_collection_modifyitems(): raise ValueError('no order')\n")
    lines = project.base().collect()
    assert lines[-1]["status"] == 3 and "no order" in lines[-1]["text"]
    said = project.module().gave_up
    assert said["status"] == 3 and "no order" in said["text"]


def test_a_fork_that_dies_is_reaped_with_its_number(project):
    project.write("conftest.py", "import os\ndef pytest_collection_modifyitems(): os.kill(os.getpid(), 9)\n")
    project.write("test_it.py", "def test_x(): pass\n")
    base = project.base()
    control = base.ask_for_module("test_it.py", job=77)
    assert control.receive() is None
    ended = stand_in.ENDED.unpack(base.control.receive())
    assert (ended[1], ended[2]) == (9, 77)
    control.close()


def test_threads_that_collection_leaves_are_named(project):
    project.write("test_it.py", """
        import threading, time
        threading.Thread(target=time.sleep, args=(100,), name="waits", daemon=True).start()
        def test_x(): pass
    """)
    base = project.base()
    assert base.collect()[-1]["threads"] == ["a thread (waits)"]
    assert base.module("test_it.py").ready["threads"] == ["a thread (waits)"]


def left_of(lines):
    return {line["file"]: line["left"] for line in lines if "left" in line and "file" in line}


def test_what_files_write_when_they_are_collected_is_told(project):
    """With the whole of it; by whom it is imported, in packages and out of them. The parents of files do not listen."""
    project.write("there.txt", "the same")
    project.write("test_it.py", """
        import os, pathlib
        os.makedirs("out/in", exist_ok=True)
        pathlib.Path("out/in/x").write_text("x")
        os.makedirs("out", exist_ok=True)
        open("there.txt", "w").write("the same")
        open("gone", "w").close()
        os.unlink("gone")
        class TestA:
            os.path.lexists("dangling") or os.symlink("nowhere", b"dangling")
            def test_x(self): pass
    """)
    project.write("pkg/__init__.py", "import os\nos.makedirs('made', exist_ok=True)\n")
    project.write("pkg/test_in.py", "def test_y(): pass\n")
    project.write("pkg/sub/__init__.py", "")
    project.write("pkg/sub/test_in.py", "def test_z(): pass\n")
    project.write("below/conftest.py", "def pytest_generate_tests(metafunc): open('generated-' + metafunc.module.__name__, 'w').close()\n")
    project.write("below/test_a.py", "def test_a(): pass\n")
    project.write("test_none.py", "import os, test_it\nos.environ['X'] = '1'\ndef test_none(): pass\n")
    project.write("test_free.py", "def test_free(): pass\n")
    base = project.base()
    lines = base.collect()
    of_it = ["a file (dangling)", "a directory (out)", "a directory (out/in)", "a file (out/in/x)"]
    assert left_of(lines) == {
        "test_it.py": of_it,
        "test_none.py": of_it,
        "pkg/test_in.py": ["a directory (made)"],
        "pkg/sub/test_in.py": ["a directory (made)"],
        "below/test_a.py": ["a file (generated-test_a)"],
    }
    assert "left" not in lines[-1]
    assert left_of(base.collect()) == {}, "now it is there before"


def test_more_than_anybody_reads_is_left_out(project):
    project.write("test_it.py", "for n in range(300): open('x%03d' % n, 'w').close()\ndef test_x(): pass\n")
    assert left_of(project.base().collect()) == {"test_it.py": ["a file (x%03d)" % n for n in range(16)]}


def test_what_conftests_open_is_told_once(project):
    project.write("conftest.py", "import os\nLEFT, GONE, NULL = open('x', 'w'), open('y', 'w'), open(os.devnull)\nGONE.close()\n")
    project.write("test_it.py", "def test_x(): pass\n")
    base = project.base("--log-file=log.txt", "-s")
    words = ["an open file (%s)" % (project.directory / "x")]
    assert base.collect()[-1]["left"] == words
    assert base.module("test_it.py").ready["threads"] == words
    assert "left" not in project.base("--noconftest").collect()[-1]


def test_files_outside_the_rootdir_and_conftests_beside_them(project):
    project.write("inner/pytest.ini", "[pytest]\n")
    project.write("inner/test_in.py", "def test_in(here): assert here\n")
    project.write("inner/conftest.py", "import pytest\n@pytest.fixture\ndef here(): return 1\n")
    outside = project.write("outer/test_out.py", "def test_out(): pass\n")
    os.rename(project.directory / "pytest.ini", project.directory / "unused.ini")
    base = project.base("-c", "inner/pytest.ini", "inner", str(outside))
    items = [line for line in base.collect() if "item" in line]
    assert len(items) == 2
    for item in items:
        assert base.module(item["file"]).run(item["item"]).outcomes()["call"] == "passed"


def test_an_engine_that_gives_files_can_read_what_the_dead_printed(project):
    project.write("conftest.py", "import os\nprint('conftest here', flush=True)\nif 'DIE' in os.environ: os.write(2, b'last words'); os._exit(9)\n")
    out, err, module_out, module_err = (os.memfd_create("printed") for _ in range(4))
    base = project.start("-s", out=out, err=err, DIE="1")
    assert base.control.receive() is None
    assert b"conftest here" in os.pread(out, 1000, 0)
    assert os.pread(err, 1000, 0) == b"last words"
    project.write("test_it.py", "import os\nos.write(2, b'from the module')\nos._exit(3)\n")
    base = project.start("-s", out=out, err=err).begin()
    assert base.ask_for_module("test_it.py", module_out, module_err, job=5).receive() is None
    assert stand_in.ENDED.unpack(base.control.receive())[1:3] == (3 << 8, 5)
    assert os.pread(module_err, 1000, 0) == b"from the module"
    for fd in (out, err, module_out, module_err):
        os.close(fd)


ONCE = """
    import random
    with open("imports", "a") as file: file.write("x")
    random.seed(7)
    FIRST = random.random()
    def test_imports():
        with open("imports") as file: assert file.read() == "x"
    def test_random(): print(random.random())
    class TestMore:
        def test_writes(self, tmp_path):
            (tmp_path / "file").write_text("x")
            assert random.random() != FIRST
"""


def test_the_collector_of_one_file_stays_as_its_parent(project):
    """So the file is imported once, as in a plain pytest."""
    project.write("sub/test_it.py", ONCE)
    project.write("sub/conftest.py", "import pytest\n@pytest.fixture\ndef nothing(): pass\n")
    lines, parent = project.base().collect_and_stay()
    assert parent.file == "sub/test_it.py" and lines[-1]["done"]
    ids = [line["item"] for line in lines if "item" in line]
    assert parent.ready["count"] == len(ids) == 3 and "hash" not in parent.ready
    for name in ids:
        assert parent.run(name).outcomes() == {"setup": "passed", "call": "passed", "teardown": "passed"}, name
    drawn = {parent.run("sub/test_it.py::test_random").section("Captured stdout call") for _ in range(2)}
    assert len(drawn) == 1 and drawn != {""}, "seeded on purpose"


@pytest.mark.parametrize("arguments, stays", [(["-k", "writes"], True), (["sub/test_it.py::TestMore"], True), (["-k", "nothing_like_it"], False)])
def test_a_collector_stays_with_what_was_selected(project, arguments, stays):
    project.write("sub/test_it.py", ONCE)
    lines, parent = project.base(*arguments).collect_and_stay()
    assert (parent is not None) is stays
    if stays:
        assert parent.ready["count"] == 1 and parent.run("sub/test_it.py::TestMore::test_writes").outcomes()["call"] == "passed"


@pytest.mark.parametrize("other", ["def test_other(): pass\n", "import nowhere\n", "import pytest\npytest.skip('no', allow_module_level=True)\n", ""])
def test_a_collector_of_more_files_does_not_stay(project, other):
    """Whatever the other has: it was imported, and a test of the first could tell."""
    project.write("test_it.py", ONCE)
    project.write("test_other.py", other)
    lines, parent = project.base().collect_and_stay()
    assert parent is None and lines[-1]["done"]
