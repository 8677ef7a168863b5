"""`casemate pytest` itself, beside a plain pytest with the same plugins: the same reports of every test."""
import re

import pytest

from program import Program, difference
from test_outcomes import SUITE

@pytest.fixture
def program(tmp_path, python_with_plugins):
    for name in ("project", "scratch", "cache", "state"):
        (tmp_path / name).mkdir()
    made = Program(tmp_path / "project", python_with_plugins, tmp_path / "scratch")
    made.more = {"CASEMATE_CACHE_DIR": str(tmp_path / "cache"), "CASEMATE_STATE_DIR": str(tmp_path / "state")}
    made.write("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider -p no:randomly\n")
    return made


# Plugins are loaded by name where few are wanted: each start of an interpreter with all of them takes a second.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def same(program, *options, **env):
    """Both runs, which say the same."""
    plain, ours = program.plain(*options, **env), program.casemate(*options, **env)
    lines = difference(plain, ours)
    assert not lines and plain.reports, "\n".join([*lines, plain.text[-2000:], ours.text[-2000:]])
    assert ours.status == plain.status
    return plain, ours


def test_outcomes(program):
    program.write("test_it.py", SUITE)
    plain, ours = same(program, **ALONE)
    assert len(plain.reports) > 90
    assert {"passed", "failed", "skipped", "xfailed", "xpassed", "error"} <= set(ours.verdicts.values())
    assert set(ours.past_capture) <= {"test_it.py::test_module_fixture"}


PLUGINS = {
    "test_async.py": """
        import asyncio, os, pytest
        @pytest.mark.asyncio
        async def test_asyncio(): await asyncio.sleep(0)
        @pytest.mark.asyncio
        async def test_asyncio_fails(): assert 0
        @pytest.mark.anyio
        async def test_anyio(anyio_backend_name): assert anyio_backend_name in ("asyncio", "trio")
        def test_mock(mocker):
            mocker.patch("os.getcwd", return_value="x")
            assert os.getcwd() == "x"
        def test_mock_is_over(): assert os.getcwd() != "x"
    """,
    "test_hypothesis.py": """
        from hypothesis import given, strategies
        @given(strategies.integers())
        def test_fine(x): assert x + 0 == x
        @given(strategies.integers())
        def test_falsified(x): assert x < 100
    """,
    "test_timeout.py": """
        import time, pytest
        @pytest.mark.timeout(0.5)
        def test_too_long(): time.sleep(20)
        @pytest.mark.timeout(50)
        def test_in_time(): pass
    """,
    "test_reruns.py": """
        import pytest
        count = []
        @pytest.mark.flaky(reruns=2)
        def test_flaky():
            count.append(1)
            assert len(count) == 2
        @pytest.mark.flaky(reruns=1)
        def test_never(): assert 0
    """,
    "test_subtests.py": """
        def test_it(subtests):
            for i in range(3):
                with subtests.test(msg="part", i=i): assert i != 1
    """,
    "test_benchmark.py": "def test_it(benchmark): assert benchmark(lambda: 3) == 3",
    "test_loopback.py": """
        import requests
        def test_server(httpserver):
            httpserver.expect_request("/x").respond_with_json({"a": 1})
            assert requests.get(httpserver.url_for("/x")).json() == {"a": 1}
        def test_server_again(httpserver):
            httpserver.expect_request("/y").respond_with_data("b")
            assert requests.get(httpserver.url_for("/y")).text == "b"
    """,
    "test_snapshots.py": """
        def test_missing(snapshot): assert 5 == snapshot
        def test_known(data_regression): data_regression.check({"a": 1})
    """,
    "test_snapshots/test_known.yml": "a: 1\n",
}


def test_plugins(program):
    for name, text in PLUGINS.items():
        program.write(name, text)
    _, ours = same(program)
    assert "x=100" in ours.text
    assert not ours.past_capture
    assert not (program.directory / "__snapshots__").exists()


def test_xdist_is_told_to_stay_out(program):
    program.write("pytest.ini", "[pytest]\naddopts = -n 3 --dist=loadfile\n")
    program.write("test_it.py", "import os\ndef test_x(worker_id): assert worker_id == 'master' and 'PYTEST_XDIST_WORKER' not in os.environ\n")
    ours = program.casemate()
    assert ours.status == 0 and any("xdist" in note for note in ours.notes), ours.text


def test_a_given_seed_is_pytest_randomlys(program):
    program.write("pytest.ini", "[pytest]\naddopts = -p no:cacheprovider\n")
    program.write("test_it.py", "import random\ndef test_seed(): assert not random.random()\n")
    plain, ours = same(program, "--randomly-seed=7")
    drawn = re.compile(r"assert not (0\.\d+)")
    assert drawn.search(plain.text).group(1) == drawn.search(ours.text).group(1)


def test_a_timeout_by_thread_ends_one_test_alone(program):
    program.write("test_it.py", """
        import time, pytest
        @pytest.mark.timeout(0.3, method="thread")
        def test_too_long(): time.sleep(20)
        def test_after(): pass
    """)
    ours = program.casemate()
    assert ours.verdicts == {"test_it.py::test_too_long": "failed", "test_it.py::test_after": "passed"}
    assert "Timeout" in ours.past_capture["test_it.py::test_too_long"]


DJANGO = {
    "site1/__init__.py": "",
    "shop/__init__.py": "",
    "site1/settings.py": """
        import os, pathlib
        here = pathlib.Path(__file__).parent.parent
        SECRET_KEY = "x"
        INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": here / "db.sqlite3"}}
        if "IN_FILE" in os.environ:
            DATABASES["default"]["TEST"] = {"NAME": here / "test.sqlite3"}
        STATIC_URL = "/static/"
        USE_TZ = True
        ROOT_URLCONF = "site1.urls"
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    """,
    "site1/urls.py": """
        from django.http import HttpResponse
        from django.urls import path
        urlpatterns = [path("hello/", lambda request: HttpResponse("hello"))]
    """,
    "shop/models.py": """
        from django.db import models
        class Thing(models.Model):
            name = models.CharField(max_length=20)
    """,
    "pytest.ini": """
        [pytest]
        addopts = -p no:cacheprovider -p no:randomly
        DJANGO_SETTINGS_MODULE = site1.settings
        pythonpath = .
    """,
    "test_data.py": """
        import urllib.request
        import pytest
        from django.test import TestCase
        from shop.models import Thing

        def test_not_allowed(): Thing.objects.count()

        @pytest.mark.django_db
        class TestData:
            def test_one(self):
                Thing.objects.create(name="a")
                assert Thing.objects.count() == 1
            def test_other(self):
                Thing.objects.create(name="b")
                assert Thing.objects.count() == 1
            def test_client(self, client): assert client.get("/hello/").content == b"hello"
            def test_admin(self, admin_user): assert admin_user.is_superuser
            def test_live(self, live_server): assert urllib.request.urlopen(live_server.url + "/hello/").read() == b"hello"

        class Case(TestCase):
            @classmethod
            def setUpTestData(cls): cls.thing = Thing.objects.create(name="x")
            def test_given(self): assert Thing.objects.get().name == "x"
            def test_more(self):
                Thing.objects.create(name="y")
                assert Thing.objects.count() == 2
    """,
}


@pytest.mark.parametrize("env", [{}, {"IN_FILE": "1"}], ids=["in memory", "in a file"])
def test_django(program, env):
    for name, text in DJANGO.items():
        program.write(name, text)
    same(program, "-p", "pytest_django.plugin", **ALONE, **env)


COVERED = {
    "shop/__init__.py": "",
    "shop/cart.py": """
        class Cart:
            def __init__(self):
                self.items = []
            def add(self, item, count=1):
                if count < 0:
                    raise ValueError(count)
                for _ in range(count):
                    self.items.append(item)
            def total(self):
                if not self.items:
                    return 0
                return sum(self.items)
            def never(self):
                return 2
        def in_thread(n):
            if n > 3:
                return "big"
            return "small"
    """,
    "shop/work.py": """
        import sys
        def main(kind):
            if kind == "process":
                return 1
            elif kind == "fork":
                return 2
            return 3
        if __name__ == "__main__":
            main(sys.argv[1])
    """,
    "shop/dead.py": "def never():\n    return 1\n",
    "conftest.py": """
        import pytest
        from shop.cart import Cart
        @pytest.fixture
        def cart():
            yield (made := Cart())
            made.total()
    """,
    "test_cart.py": """
        import threading
        import pytest
        from shop import cart as module
        def test_add(cart):
            cart.add(3, 2)
            assert cart.total() == 6
        def test_negative(cart):
            with pytest.raises(ValueError): cart.add(1, -1)
        def test_fails(cart): assert cart.total() == 2
        def test_thread():
            thread = threading.Thread(target=module.in_thread, args=(9,))
            thread.start()
            thread.join()
    """,
    "test_processes.py": """
        import multiprocessing, subprocess, sys
        import pytest
        from shop.work import main
        @pytest.mark.casemate(isolation="cold")
        def test_process(): subprocess.run([sys.executable, "-m", "shop.work", "process"], check=True)
        def test_fork():
            process = multiprocessing.get_context("fork").Process(target=main, args=("fork",))
            process.start()
            process.join()
            assert process.exitcode == 0
    """,
    "pytest.ini": "[pytest]\naddopts = -p no:cacheprovider -p no:randomly\npythonpath = .\nmarkers = casemate\n",
}
CONFIG = "[run]\nbranch = True\nparallel = True\nconcurrency = multiprocessing,thread\npatch = subprocess\n"


def table(run):
    """pytest-cov's lines of a run."""
    found = re.search(r"^Name .*?^TOTAL[^\n]*\n", run.text, re.S | re.M)
    return found.group(0) if found else run.text


@pytest.mark.parametrize(
    "config, options",
    [(CONFIG, ("--cov=shop", "--cov-report=term-missing", "--cov-report=xml:reports/coverage.xml", "--cov-report=html")),
     ("", ("--cov=.", "--cov-context=test", "--cov-report=term-missing", "--cov-report=json", "--cov-report=lcov"))],
    ids=["branches and processes", "lines and contexts"],
)
def test_coverage_is_that_of_a_plain_run(program, config, options):
    for name, text in COVERED.items():
        program.write(name, text)
    program.write(".coveragerc", config)
    plain = program.plain("-p", "pytest_cov.plugin", *options, **ALONE)
    wanted = {}
    for place in ("reports/coverage.xml", "coverage.lcov", "htmlcov/index.html", ".coverage", "coverage.json"):
        path = program.directory / place
        if path.exists():
            wanted[place] = path.read_bytes()
            path.unlink()
    ours = program.casemate("-p", "pytest_cov.plugin", *options, **ALONE)
    assert table(ours) == table(plain)
    assert "TOTAL" in table(plain) and ours.status == plain.status == 1
    assert ".coverage" in wanted and len(wanted) >= 3
    stamp = re.compile(rb'timestamp="\d+"|"timestamp": "[^"]*"|created at [^<]*')
    for place, content in wanted.items():
        written = (program.directory / place).read_bytes()
        if place != ".coverage":
            assert stamp.sub(b"", written) == stamp.sub(b"", content), place


def test_too_little_coverage_is_a_failure(program):
    for name, text in COVERED.items():
        program.write(name, text)
    program.directory.joinpath("test_processes.py").unlink()
    for least, status in ((99, 1), (10, 0)):
        options = ("--cov=shop", f"--cov-fail-under={least}", "--deselect=test_cart.py::test_fails")
        ours = program.casemate("-p", "pytest_cov.plugin", *options, **ALONE)
        assert (ours.status, "failed" in ours.verdicts.values()) == (status, False), ours.text
        assert f"Required test coverage of {least}%" in ours.text


def test_a_report_of_coverage_that_fails_is_told(program):
    program.write("test_it.py", "def test_x(): pass\n")
    program.write("file", "")
    ours = program.casemate("-p", "pytest_cov.plugin", "--cov=.", "--cov-report=xml:file/coverage.xml", **ALONE)
    assert ours.verdicts == {"test_it.py::test_x": "passed"}
    assert ours.status == 1, ours.text
    assert any("there is no report" in note and re.search(r"(NotADirectory|FileExists)Error: .*file", note) for note in ours.notes), ours.text


MIXED = {
    "pytest.ini": """
        [pytest]
        addopts = --doctest-modules --doctest-glob=*.txt --durations=3 -p no:randomly
        log_cli = true
        log_cli_level = INFO
        faulthandler_timeout = 50
        tmp_path_retention_count = 1
        tmp_path_retention_policy = failed
    """,
    "conftest.py": """
        import pytest
        def pytest_sessionstart(session): session.config.started = True
        def pytest_sessionfinish(session, exitstatus): raise RuntimeError("not in a fork") if exitstatus == -1 else None
        def pytest_generate_tests(metafunc):
            if "generated" in metafunc.fixturenames: metafunc.parametrize("generated", [1, "x", None], ids=["one", "x", "none"])
        @pytest.fixture(scope="session")
        def shared(tmp_path_factory):
            place = tmp_path_factory.mktemp("shared")
            (place / "f").write_text("1")
            yield place
            (place / "f").unlink()
        def pytest_collect_file(parent, file_path):
            if file_path.suffix == ".yaml": return Lines.from_parent(parent, path=file_path)
        class Lines(pytest.File):
            def collect(self):
                for number, line in enumerate(self.path.read_text().splitlines()):
                    yield Line.from_parent(self, name="line%d" % number, text=line)
        class Line(pytest.Item):
            def __init__(self, *, text, **more):
                super().__init__(**more)
                self.text = text
            def runtest(self):
                if "bad" in self.text: raise ValueError(self.text)
            def reportinfo(self): return self.path, 0, "line: " + self.name
    """,
    "inner/lines.yaml": "ok: 1\nbad: 2\n",
    "inner/doc.txt": ">>> 1 + 1\n2\n>>> 1 + 2\n4\n",
    "inner/module.py": """
        def f():
            '''
            >>> f()
            3
            '''
            return 3
        def g():
            '''
            >>> g()
            4
            '''
            return 3
    """,
    "inner/conftest.py": "import pytest\n@pytest.fixture\ndef near(): return 'outer'\n",
    "inner/sub/conftest.py": "import pytest\n@pytest.fixture\ndef near(near): return near + '-inner'\n",
    "inner/sub/test_sub.py": "def test_near(near): assert near == 'outer-inner'\n",
    "inner/test_it.py": """
        import gc, logging, os, warnings
        def test_generated(generated): assert generated
        def test_shared(shared): assert (shared / "f").read_text() == "1"
        def test_shared_again(shared): assert (shared / "f").exists()
        def test_started(request): assert request.config.started
        def test_cache(request):
            request.config.cache.set("x/y", 1)
            assert request.config.cache.get("x/y", None) == 1
        def test_log(): logging.getLogger("a").info("hello")
        def test_tmp(tmp_path): (tmp_path / "x").write_text("x")
        def test_tmp_fails(tmp_path): assert 0
        def test_warns(): warnings.warn("hm")
        def test_descriptor():
            fd = os.open("/dev/null", os.O_RDONLY)
            gc.collect()
            os.fstat(fd)
            os.close(fd)
    """,
}


@pytest.mark.parametrize("options", [(), ("-W", "error", "-s", "--import-mode=importlib")], ids=" ".join)
def test_what_suites_have(program, options):
    for name, text in MIXED.items():
        program.write(name, text)
    same(program, *options, **ALONE)


def test_a_rootdir_above(program):
    for name, text in MIXED.items():
        program.write(name, text)
    program.directory /= "inner"
    plain, ours = program.plain(**ALONE), program.casemate(**ALONE)
    bare = [(name.removeprefix("inner/"), *rest) for name, *rest in ours.reports]
    assert sorted(bare) == sorted((name.removeprefix("inner/"), *rest) for name, *rest in plain.reports), ours.text[-2000:]


def test_an_interpreter_without_a_gil_is_refused(program):
    program.write("sitecustomize.py", "import sys\nsys.abiflags = 't'\n")
    program.write("test_it.py", "def test_x(): pass\n")
    ours = program.casemate(PYTHONPATH=str(program.directory))
    assert ours.status == 3 and "free-threaded" in ours.text and not ours.verdicts, ours.text
