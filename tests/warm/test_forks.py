"""Forks: each its own streams, random numbers and names; crashes, floods and leaks of one are its own."""
import os
import random
import signal

import pytest


def test_concurrent_forks_do_not_mix_their_output(project):
    project.write("test_it.py", """
        import os, sys, time, pytest
        @pytest.mark.parametrize("n", range(4))
        def test_says(n):
            for _ in range(20):
                print("print", n)
                os.write(1, b"raw %d\\n" % n)
                os.write(2, b"err %d\\n" % n)
                time.sleep(0.005)
            sys.__stdout__.flush()
            assert n % 2
    """)
    for options in ((), ("-s",), ("--capture=sys",), ("--capture=tee-sys",)):
        parent = project.module("test_it.py", *options)
        started = [parent.start(f"test_it.py::test_says[{n}]") for n in range(4)]
        for n, fork in enumerate(started):
            result = parent.finish(fork)
            out = result.out + "".join(t for name, t in (result.reports[1].get("sections") or []) if name == "Captured stdout call")
            err = result.err + "".join(t for name, t in (result.reports[1].get("sections") or []) if name == "Captured stderr call")
            assert out.count(f"print {n}\n") == (40 if "tee-sys" in str(options) else 20)
            assert out.count(f"raw {n}\n") == 20
            assert err.count(f"err {n}\n") == 20
            assert not any(f"{word} {other}\n" in out + err for word in ("print", "raw", "err") for other in range(4) if other != n)
        parent.close()


def test_random_numbers_and_names_differ(project):
    project.write("test_it.py", """
        import random, secrets, tempfile, uuid
        tempfile.mktemp()
        try: import numpy.random
        except ImportError: numpy = None
        def test_draws(record_property):
            record_property("random", random.random())
            record_property("name", tempfile.mktemp())
            record_property("uuid1", str(uuid.uuid1()))
            record_property("uuid4", str(uuid.uuid4()))
            record_property("secret", secrets.token_hex(8))
            record_property("clock", random.getrandbits(30))
            if numpy: record_property("numpy", float(numpy.random.rand()))
    """)
    parent = project.module()
    drawn = [dict(parent.run("test_it.py::test_draws").reports[-1]["properties"]) for _ in range(3)]
    for name in drawn[0]:
        assert len({draw[name] for draw in drawn}) == 3, name


def test_a_deliberate_seed_of_a_module_stays(project):
    project.write("test_it.py", """
        import random
        random.seed(7)
        WANTED = random.Random(7).random()
        def test_seeded(): assert random.random() == WANTED
        try: import numpy.random
        except ImportError: NUMPY = None
        else:
            numpy.random.seed(3)
            NUMPY = numpy.random.RandomState(3).rand()
        def test_numpy_seeded(): assert NUMPY is None or numpy.random.rand() == NUMPY
    """)
    project.write("test_draws.py", """
        import random
        DATA = [random.random() for _ in range(5000)]
        def test_draws(record_property): record_property("random", random.random())
    """)
    base = project.base()
    parent = base.module("test_it.py")
    for name in ("test_seeded", "test_numpy_seeded"):
        assert parent.run("test_it.py::" + name).outcomes()["call"] == "passed"
    parent = base.module("test_draws.py")
    assert len({parent.run("test_draws.py::test_draws").reports[-1]["properties"][0][1] for _ in range(3)}) == 3


def test_a_deliberate_seed_of_a_conftest_stays(project):
    project.write("conftest.py", "import random\nrandom.seed(7)\n")
    project.write("test_it.py", """
        import random
        AT_IMPORT = random.random()
        def test_seeded():
            wanted = random.Random(7)
            assert [AT_IMPORT, random.random()] == [wanted.random(), wanted.random()]
    """)
    parent = project.module()
    for _ in range(2):
        result = parent.run("test_it.py::test_seeded")
        assert result.outcomes()["call"] == "passed", result.text()


@pytest.mark.parametrize("seed", ["", "random.seed(7)"])
def test_random_numbers_of_a_part_are_as_those_of_a_whole(project, seed):
    project.write("test_it.py", f"""
        import random, pytest
        {seed}
        @pytest.mark.parametrize("n", range(4001))
        def test_draws(record_property, n): record_property("drawn", random.random())
    """)
    whole = project.module()
    parts = [whole.part(0, 4000), whole.part(4000, 1)]
    results = [parts[0].run("test_it.py::test_draws[0]"), parts[0].run("test_it.py::test_draws[1]"), parts[1].run("test_it.py::test_draws[4000]")]
    results.append(whole.run("test_it.py::test_draws[7]"))  # it serves until its parts do
    drawn = {result.reports[-1]["properties"][0][1] for result in results}
    assert drawn == {str(random.Random(7).random())} if seed else len(drawn) == 4
    for part in parts:
        part.close()


def test_a_part_has_its_own_items_alone(project):
    """The others would weigh down every fork."""
    project.write("test_it.py", """
        import gc, pytest
        @pytest.mark.parametrize("n", range(4100))
        def test_it(request, n):
            items = [item for item in gc.get_objects() if isinstance(item, pytest.Function)]
            assert len(request.session.items) == len(items) == 100
    """)
    whole = project.module()
    part = whole.part(4000, 100)
    result = part.run("test_it.py::test_it[4050]")
    assert result.outcomes()["call"] == "passed", result.text()
    part.close()


CRASHES = {
    "os._exit(3)": 3 << 8,
    "os.kill(os.getpid(), signal.SIGKILL)": signal.SIGKILL,
    "os.kill(os.getpid(), signal.SIGTERM)": signal.SIGTERM,
    "os.abort()": signal.SIGABRT,
    "ctypes.string_at(0)": signal.SIGSEGV,
}


@pytest.mark.parametrize("options", [(), ("-s",), ("--capture=sys",)], ids=" ".join)
def test_a_crash_is_one_forks_alone(project, options):
    project.write("test_it.py", "import ctypes, os, resource, signal, pytest\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
                  + "@pytest.mark.parametrize('what', %r)\ndef test_crash(what): eval(what)\ndef test_fine(): pass\n" % list(CRASHES))
    base = project.base(*options)
    parent = base.module("test_it.py")
    ids = [line["item"] for line in base.collect() if "item" in line]
    for test_id, (what, status) in zip(ids, CRASHES.items()):
        result = parent.run(test_id)
        assert result.status & ~0x80 == status, what
        assert {"done": True} not in result.lines
        if "ctypes" in what:
            assert "Fatal Python error: Segmentation fault" in result.err
            assert "test_it.py" in result.err
    assert parent.run("test_it.py::test_fine").outcomes()["call"] == "passed"


def test_a_flood_is_bounded_and_keeps_both_ends(project):
    project.write("test_it.py", """
        def test_flood():
            print("HEAD")
            for _ in range(300): print("x\\u00fc" * 10000)
            print("TAIL")
            raise ValueError("y" * 5000000)
    """)
    result = project.module().run("test_it.py::test_flood")
    report = result.reports[1]
    captured = dict(report["sections"])["Captured stdout call"]
    assert captured.startswith("HEAD") and captured.endswith("TAIL\n") and "left out" in captured
    assert len(captured.encode()) <= 1 << 20
    assert len(report["text"].encode()) <= 1 << 20
    assert len(report["message"]) <= 16384 and report["message"].startswith("ValueError: yyy")


@pytest.mark.parametrize("count", [3, 4])
def test_sections_are_bounded_and_counted(project, count):
    project.write("test_it.py", f"""
        def test_sections(request):
            for n in range({count}): request.node.add_report_section("call", str(n), "x" * (1 << 20))
    """)
    sections = project.module().run("test_it.py::test_sections").reports[1]["sections"]
    assert [title for title, _ in sections] == ["Captured 0 call", "Captured 1 call", "Captured 2 call", *["casemate"] * (count - 3)]
    assert count == 3 or sections[-1][1] == "1 more sections left out"


def test_forks_leak_nothing_into_the_parent_and_each_other(project):
    project.write("test_it.py", """
        import os
        state = []
        def test_changes():
            state.append(1); os.environ["LEAK"] = "1"; os.chdir("/"); os.close(0)
        def test_sees():
            assert state == [] and "LEAK" not in os.environ and os.getcwd() != "/" and os.fstat(0)
        def test_descriptors():
            assert max(map(int, os.listdir("/proc/self/fd"))) < 64
            print(len(os.listdir("/proc/self/fd")))
        def test_group(): assert os.getsid(0) == os.getpid()
    """)
    parent = project.module()
    counts = set()
    for _ in range(30):
        assert parent.run("test_it.py::test_changes").outcomes()["call"] == "passed"
        assert parent.run("test_it.py::test_sees").outcomes()["call"] == "passed"
    for _ in range(5):
        started = [parent.start("test_it.py::test_descriptors") for _ in range(3)]
        counts |= {parent.finish(fork).section("Captured stdout call") for fork in started}
    assert parent.run("test_it.py::test_group").outcomes()["call"] == "passed"
    assert len(counts) == 1


def test_a_process_that_a_test_forked_reports_nothing(project):
    project.write("test_it.py", """
        import os
        def test_forks():
            if os.fork() == 0: return
            os.wait()
            assert 0
    """)
    result = project.module().run("test_it.py::test_forks")
    assert [r["outcome"] for r in result.reports] == ["passed", "failed", "passed"]


def test_reference_counts_and_the_collector_are_sane(project):
    project.write("test_it.py", """
        import gc, sys, weakref
        class Thing: pass
        def test_counts():
            thing = Thing()
            assert sys.getrefcount(thing) <= 2
            seen = weakref.ref(thing)
            del thing
            assert seen() is None
            a, b = Thing(), Thing()
            a.b, b.a = b, a
            seen = weakref.ref(a)
            del a, b
            assert seen() is not None
            assert gc.collect() >= 2
            assert seen() is None
            text = "".join(["fresh", str(len(sys.argv))])
            assert sys.getrefcount(text) <= 2
        held = Thing()
        held.child = Thing()
        def test_objects_of_the_module_die_too():
            global held
            seen = weakref.ref(held), weakref.ref(held.child)
            del held
            assert [ref() for ref in seen] == [None, None]
        things = {"a": Thing()}
        def test_what_a_dict_of_the_module_holds_dies_with_it():
            global things
            seen = weakref.ref(things["a"])
            del things
            assert seen() is None
        empty, plain, pair = {}, Thing(), ("a", Thing())
        def test_what_a_test_puts_into_them_dies_too():
            global empty, plain, pair
            empty["thing"] = plain.thing = Thing()
            seen = weakref.ref(plain.thing), weakref.ref(pair[1])
            del empty, plain, pair
            assert [ref() for ref in seen] == [None, None]
    """)
    parent = project.module()
    names = "counts objects_of_the_module_die_too what_a_dict_of_the_module_holds_dies_with_it what_a_test_puts_into_them_dies_too"
    for name in names.split():
        result = parent.run("test_it.py::test_" + name)
        assert result.outcomes()["call"] == "passed", result.text()


def test_interrupts_do_not_end_a_parent_that_serves(project):
    project.write("test_it.py", "import signal\ndef test_x(): assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n")
    base = project.base()
    parent = base.module("test_it.py")
    os.kill(base.process.pid, signal.SIGINT)
    assert parent.run("test_it.py::test_x").outcomes()["call"] == "passed"
    assert base.module("test_it.py").ready["count"] == 1


def test_children_that_a_conftest_started_are_its_own(project):
    project.write("conftest.py", """
        import subprocess
        process = subprocess.Popen(["sleep", "0"])
        import pytest
        @pytest.fixture
        def child(): return process
    """)
    project.write("test_it.py", "def test_x(): pass\n")
    parent = project.module()
    for _ in range(3):
        assert parent.run("test_it.py::test_x").status == 0


def test_module_parents_side_by_side(project):
    for n in range(3):
        project.write(f"test_{n}.py", f"def test_x(): print({n}); assert 0\n")
    base = project.base()
    parents = [base.module(f"test_{n}.py") for n in range(3)]
    hashes = {line["file"]: line["hash"] for line in base.collect() if "hash" in line}
    for n, parent in enumerate(parents):
        assert parent.ready["hash"] == hashes[f"test_{n}.py"]
        assert parent.run(f"test_{n}.py::test_x").section("Captured stdout call") == f"{n}\n"
    whole = base.module(None)
    assert whole.ready["count"] == 3
    assert whole.run("test_2.py::test_x").outcomes()["call"] == "failed"
