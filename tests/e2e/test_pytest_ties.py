"""casemate pytest: what collecting leaves (threads, files, descriptors, memory) is there for tests, and is each test's own."""

import pytest


def test_a_thread_of_a_conftest_makes_all_tests_cold(suite):
    suite.write("conftest.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), name='sleeper', daemon=True).start()\n")
    suite.write("test_it.py", "import threading\ndef test_it(): assert 'sleeper' in [thread.name for thread in threading.enumerate()]\n")
    ended = suite()
    assert ended.status == 0 and ended.results["test_it"]["cold"], str(ended)
    assert any("a thread (sleeper)" in note for note in ended.notes), str(ended)


def test_threads_of_a_library_that_a_conftest_imports_make_none_cold(suite):
    """As OpenBLAS has them: they are not threading's, and what made them sees to forks itself."""
    suite.write("conftest.py", "import _thread, time\n_thread.start_new_thread(time.sleep, (600,))\n")
    suite.write("test_it.py", "def test_it(): pass\n")
    ended = suite()
    assert ended.status == 0 and not ended.results["test_it"]["cold"], str(ended)


def test_collection_that_leaves_a_thread_makes_tests_cold(suite):
    suite.write("test_thread.py", "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True, name='sleeper').start()\n"
                + "".join("def test_%d(): assert any(t.name == 'sleeper' for t in threading.enumerate())\n" % n for n in range(6)))
    ended = suite("--slots", 2)
    assert set(ended.verdicts.values()) == {"passed"} and len(ended.results) == 6, str(ended)
    assert all(result["cold"] for result in ended.results.values())
    assert any("leaves a thread (sleeper) when it is collected" in note for note in ended.notes), str(ended)


@pytest.mark.parametrize(
    "left, use, words",
    [
        ("import multiprocessing; LEFT = multiprocessing.Value('i', 0)", "assert LEFT.value == 0; LEFT.value = 1", "shared memory"),
        ("import multiprocessing; LEFT = multiprocessing.Lock()", "assert LEFT.acquire(timeout=0)", "shared memory"),
        ("import mmap; LEFT = mmap.mmap(-1, 4096)", "assert LEFT[0] == 0; LEFT[0] = 1", "shared memory"),
        ("LEFT = open('log.txt', 'w+')", "assert LEFT.read() == ''; LEFT.write('x'); LEFT.flush()", "log.txt"),
        ("LEFT = open(__file__)", "assert LEFT.read().startswith('import')", "test_it.py"),
        ("LEFT = os.pipe()", "os.write(LEFT[1], b'x'); assert os.read(LEFT[0], 9) == b'x'; os.write(LEFT[1], b'x')", "pipe"),
        ("import tempfile; LEFT = tempfile.mkdtemp()", "assert os.listdir(LEFT) == []; open(LEFT + '/x', 'w').close()", "/tmp"),
        ("import tempfile; LEFT = tempfile.NamedTemporaryFile()", "assert os.path.getsize(LEFT.name) == 0; LEFT.write(b'x'); LEFT.flush()", "/tmp"),
    ],
)
def test_what_a_file_leaves_when_it_is_collected_is_each_tests_own(suite, left, use, words):
    """Forks would share it, or not have it: the tests get fresh interpreters, and no other file's do."""
    suite.write("test_it.py", "import os, pytest\n%s\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): %s\n" % (left, use))
    suite.write("test_other.py", "import mmap, multiprocessing, os, tempfile\nassert open(__file__).read()\ndef test_other(): pass\n")
    ended = suite("--slots", 2)
    assert ended.status == 0 and len(ended.results) == 5, str(ended)
    assert {name: result["cold"] for name, result in ended.results.items()} == {"test_it[%d]" % n: True for n in range(4)} | {"test_other": False}
    notes = [note for note in ended.notes if note.startswith("test_it.py leaves ")]
    assert len(notes) == 1 and words in notes[0], str(ended)


WRITTEN = {
    "directory": ("os.makedirs('out', exist_ok=True)", "out", "a directory (out)"),
    "directories": ("os.makedirs('out/in', exist_ok=True)", "out/in", "a directory (out)"),
    "file": ("import pathlib; pathlib.Path('made.json').write_text('{}')", "made.json", "a file (made.json)"),
    "moved": ("open('.part', 'w').close(); os.replace('.part', 'made.json')", "made.json", "a file (made.json)"),
    "changed": ("open('there.txt', 'a').write('more')", "there.txt", "a file (there.txt)"),
    "link": ("os.symlink('there.txt', 'link')", "link", "a file (link)"),
    "database": ("import sqlite3; c = sqlite3.connect('made.db'); c.execute('create table t(a)'); c.close()", "made.db", "a file (made.db)"),
    "elsewhere": ("os.mkdir('/tmp/made-here')", "/tmp/made-here", "a directory (/tmp/made-here)"),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_what_a_file_makes_under_a_fixed_name_is_there_for_its_tests(suite, what):
    """No cell has it, so they get fresh interpreters, which make it again; no other file's do."""
    left, name, words = WRITTEN[what]
    suite.write("there.txt", "x")
    suite.write("test_it.py", "import os, pytest\n%s\n@pytest.mark.parametrize('n', range(2))\ndef test_it(n): assert os.path.exists(%r)\n" % (left, name)
                + "def test_changed(): assert open('there.txt').read() == %r\n" % ("xmore" if what == "changed" else "x"))
    suite.write("test_other.py", "def test_other(): pass\n")
    ended = suite("--slots", 2)
    assert ended.status == 0 and len(ended.results) == 4, str(ended)
    assert [name for name, result in sorted(ended.results.items()) if not result["cold"]] == ["test_other"], str(ended)
    notes = [note for note in ended.notes if " leave" in note]
    assert notes == ["test_it.py leaves %s when it is collected: its tests get fresh interpreters" % words], str(ended)
    assert (suite.directory / "there.txt").read_text() == "x"


def test_names_that_are_there_for_tests_anyway_cost_nothing(suite):
    suite.write("data/x.txt", "x")
    suite.write("test_it.py", """
        import os, sys, tempfile
        os.makedirs("data", exist_ok=True)
        open("data/x.txt", "r+").close()
        open("data/x.txt", "w").write("x")
        with tempfile.TemporaryDirectory() as directory:
            open(os.path.join(directory, "x"), "w").close()
        open("gone", "w").close()
        os.remove("gone")
        os.makedirs(".cache/of-mine", exist_ok=True)
        os.makedirs("__pycache__", exist_ok=True)
        open(os.devnull, "w").close()
        for wrong in (3.5, None, "\\0", "no/such/directory"):
            try:
                os.mkdir(wrong)
            except (TypeError, ValueError, OSError) as problem:
                assert "casemate" not in str(problem)
        def test_it(): pass
    """)
    ended = suite()
    assert ended.status == 0 and not any(" leave" in note for note in ended.notes), str(ended)
    assert not ended.results["test_it"]["cold"]


def test_who_imports_what_writes_misses_it_too(suite):
    """A module runs once where all is collected. A conftest's are the files beside and below it."""
    suite.write("pkg/__init__.py", "")
    suite.write("pkg/writer.py", "import os\nos.makedirs('out', exist_ok=True)\nclass Thing: pass\n")
    suite.write("pkg/between.py", "from pkg.writer import Thing as Other\n")
    uses = {"test_a.py": "import pkg.writer", "test_b.py": "from pkg.writer import Thing", "test_c.py": "from pkg.between import Other", "test_d.py": "import pkg.between as b"}
    for name, use in uses.items():
        suite.write(name, use + "\nimport os\ndef test_%s(): assert os.path.isdir('out')\n" % name[5])
    suite.write("test_e.py", "import pkg, os, sys\ndef test_e(): assert not os.path.exists('out')\n")
    suite.write("sub/conftest.py", "open('made.txt', 'w').close()\n")
    suite.write("sub/deep/test_f.py", "def test_f(): assert open('made.txt').read() == ''\n")
    ended = suite()
    assert ended.status == 0, str(ended)
    assert {name: result["cold"] for name, result in ended.results.items()} == {"test_%s" % one: one != "e" for one in "abcdef"}, str(ended)
    assert sorted(note for note in ended.notes if " leave" in note) == [
        "sub/deep/test_f.py leaves a file (made.txt) when it is collected: its tests get fresh interpreters",
        "test_a.py and 3 more leave a directory (out) when they are collected: their tests get fresh interpreters",
    ]


@pytest.mark.parametrize("left", ["open('log.txt', 'w+')", "os.pipe()", "socket.socketpair()", "open(__file__)"])
def test_what_a_conftest_opens_is_each_tests_own(suite, left):
    suite.write("there.txt", "x")
    suite.write("conftest.py", "import builtins, os, socket\nbuiltins.LEFT = %s\n" % left)
    suite.write("test_it.py", "import builtins, os, pytest\n@pytest.mark.parametrize('n', range(3))\ndef test_it(n):\n    left = builtins.LEFT\n"
                "    if hasattr(left, 'read'): assert left.tell() == 0 and left.read() is not None; left.seek(1)\n"
                "    elif isinstance(left[0], int): os.write(left[1], b'x'); assert os.read(left[0], 9) == b'x'; os.write(left[1], b'x')\n"
                "    else: left[1].send(b'x'); assert left[0].recv(9) == b'x'; left[1].send(b'x')\n")
    suite.write("test_other.py", "def test_other(): pass\n")
    ended = suite()
    assert ended.status == 0 and all(result["cold"] for result in ended.results.values()), str(ended)
    notes = [note for note in ended.notes if " leave" in note]
    assert len(notes) == 1 and notes[0].startswith("conftest.py leaves an open file ("), str(ended)


def test_what_pytest_opens_for_itself_is_no_conftests(suite):
    suite.write("conftest.py", "import os\nRANDOM = open('/dev/urandom', 'rb')\nopen(__file__).close()\n")
    suite.write("test_it.py", "def test_it(): pass\n")
    ended = suite("--extra-pytest-args=--log-file=log.txt", "--extra-pytest-args=-pfaulthandler", "--extra-pytest-args=--debug=d.txt")
    assert ended.status == 0 and not ended.results["test_it"]["cold"], str(ended)
    assert not any(" leave" in note for note in ended.notes), str(ended)


def test_temporary_files_of_a_conftest_are_there_for_tests(suite):
    suite.write("conftest.py", "import os, tempfile\nos.environ['PLACE'] = tempfile.mkdtemp()\nos.makedirs('out', exist_ok=True)\n")
    suite.write("test_it.py", "import os\ndef test_it(): assert os.listdir(os.environ['PLACE']) == os.listdir('out') == []\n")
    ended = suite()
    assert ended.status == 0, str(ended)
    assert not (suite.directory / "out").exists()


def test_a_process_that_a_module_leaves_does_not_hold_up_collection(suite):
    text = "import multiprocessing, time\ndef serve():\n  while True: time.sleep(1)\nmultiprocessing.get_context('fork').Process(target=serve, daemon=True).start()\n"
    suite.write("test_a.py", text + "def test_a(): pass\ndef test_fails(): assert 0\n")
    for more in ("", "def test_b(): pass\n"):
        if more:
            suite.write("test_b.py", more)
        ended = suite(timeout=60)
        assert {name: verdict for name, verdict in ended.verdicts.items() if verdict != "passed"} == {"test_fails": "failed"}, str(ended)
        assert any("test_a.py leaves" in note for note in ended.notes), str(ended)
