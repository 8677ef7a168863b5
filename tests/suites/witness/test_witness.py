"""What a test can see of the process it runs in. In plain pytest all of these pass; what they record has to be the same in a cell."""

import atexit
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
import warnings
import weakref

import pytest


@pytest.fixture
def record_property(record_property):
    return lambda name, value: record_property(name, str(value))


class Cycle:
    pass


made = Cycle()
made.me = made
seen_weakly = weakref.ref(made)
del made
locked = threading.Lock()
event = threading.Event()


class TestGarbage:
    def test_referrers_of_a_module(self):
        assert gc.get_referrers(os)

    def test_objects_know_a_module(self):
        assert any(thing is os for thing in gc.get_objects())

    def test_nothing_is_frozen(self):
        assert gc.get_freeze_count() == 0

    def test_settings(self, record_property):
        record_property("gc", (gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.callbacks)))
        assert gc.isenabled()

    def test_cycles_of_the_module_are_collected(self):
        gc.collect()
        assert seen_weakly() is None

    def test_reference_counts(self):
        thing = object()
        assert sys.getrefcount(thing) == 2
        assert sys.getrefcount(Cycle) < 100


class TestInterpreter:
    def test_modules(self, record_property):
        ours = {"recorder", "json.scanner", "json.decoder", "json.encoder", "json", "_json"}
        names = sorted(name for name in sys.modules if not name.startswith(("xdist", "execnet", "pytest_forked", "pytest_randomly", "hypothesis", "_hypothesis")) and name not in ours)
        record_property("modules", names)

    def test_argv_of_pytest(self, record_property):
        record_property("argv0 is pytest", os.path.basename(os.path.dirname(sys.argv[0])) if sys.argv[0].endswith("__main__.py") else os.path.basename(sys.argv[0]))

    def test_path(self, record_property):
        record_property("path", [entry for entry in sys.path if "tests/suites" not in entry or entry.endswith("witness")])

    def test_flags(self, record_property):
        record_property("flags", (sys.flags, sys.dont_write_bytecode, sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.getprofile()))

    def test_main_module(self, record_property):
        record_property("main", (sys.modules["__main__"].__name__, getattr(sys.modules["__main__"], "__file__", None)))

    def test_executable(self, record_property):
        record_property("executable", (sys.executable, sys.prefix, sys.base_prefix, sys.version))

    def test_warning_filters(self, record_property):
        record_property("filters", warnings.filters)

    def test_hooks(self, record_property):
        record_property("hooks", [hook.__qualname__ if hasattr(hook, "__qualname__") else repr(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook)])

    def test_importers(self, record_property):
        record_property("importers", [type(finder).__name__ + getattr(finder, "__name__", "") for finder in sys.meta_path])

    def test_threads(self, record_property):
        record_property("threads", [thread.name for thread in threading.enumerate()])
        assert threading.current_thread() is threading.main_thread()
        assert threading.main_thread().ident == threading.get_ident()
        assert threading.main_thread().native_id == threading.get_native_id()

    def test_locale(self, record_property):
        record_property("locale", (locale.setlocale(locale.LC_ALL), sys.getfilesystemencoding(), locale.getpreferredencoding()))

    def test_logging(self, record_property):
        record_property("handlers", [type(handler).__name__ for handler in logging.getLogger().handlers])
        record_property("level", logging.getLogger().level)

    def test_streams(self, record_property):
        record_property("streams", [(stream.encoding, stream.errors, stream.isatty()) for stream in (sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr)])
        assert sys.stdin.isatty() is False
        with pytest.raises(OSError, match="reading from stdin"):
            sys.stdin.read()

    def test_atexit(self, record_property):
        record_property("atexit", atexit._ncallbacks() > 0)


class TestProcess:
    def test_environment(self, record_property):
        left_out = {"PYTHONPATH", "RECORDER_FILE", "HOME", "TMPDIR", "CASEMATE_CACHE_DIR", "CASEMATE_STATE_DIR"}
        record_property("environment", sorted((name, value) for name, value in os.environ.items() if name not in left_out))

    def test_directory(self, record_property):
        record_property("cwd", os.getcwd())
        assert os.path.exists("test_witness.py")

    def test_parent(self, record_property):
        record_property("parent can be seen", os.getppid() > 0)

    def test_pid(self):
        assert os.getpid() > 1
        assert os.path.realpath("/proc/self").endswith(str(os.getpid()))

    def test_descriptors(self, record_property):
        kinds = sorted(os.readlink(f"/proc/self/fd/{fd}").split(":")[0].split("/")[0] for fd in os.listdir("/proc/self/fd") if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}"))
        record_property("above 2", [kind for kind in kinds if kind])

    def test_signals(self, record_property):
        record_property("signals", [(number.name, str(signal.getsignal(number)).split(" at ")[0]) for number in sorted(signal.valid_signals()) if isinstance(number, signal.Signals) and signal.getsignal(number) != signal.SIG_DFL])
        record_property("blocked", sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        record_property("itimer", signal.getitimer(signal.ITIMER_REAL))

    def test_umask(self, record_property):
        mask = os.umask(0o022)
        os.umask(mask)
        record_property("umask", mask)

    def test_limits(self, record_property):
        names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
        record_property("limits", [(name, resource.getrlimit(getattr(resource, name))) for name in names])

    def test_scheduling(self, record_property):
        record_property("nice", os.nice(0))
        record_property("affinity", os.sched_getaffinity(0))

    def test_children(self):
        assert subprocess.run(["true"], check=False).returncode == 0
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, 0)

    def test_child_by_multiprocessing(self):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-1, 2]) == [1, 2]

    def test_child_by_spawn(self):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(abs, [-1, 2]) == [1, 2]

    def test_thread_and_lock(self):
        assert locked.acquire(timeout=1)
        thread = threading.Thread(target=event.set)
        thread.start()
        assert event.wait(10)
        thread.join()

    def test_killed_by_its_own_signal_is_possible(self):
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM

    def test_session(self, record_property):
        record_property("is leader of its group", os.getpgid(0) == os.getpid())
        record_property("terminal", os.path.exists("/dev/tty") and os.access("/dev/tty", os.R_OK))


class TestFiles:
    def test_temporary(self, tmp_path, tmp_path_factory, record_property):
        record_property("basetemp", (tmp_path.name, tmp_path.parent.name.rstrip("0123456789"), oct(tmp_path.stat().st_mode), tmp_path_factory.getbasetemp() == tmp_path.parent))
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x")

    def test_shared_memory(self):
        from multiprocessing import shared_memory

        memory = shared_memory.SharedMemory(create=True, size=4096)
        memory.close()
        memory.unlink()

    def test_devices(self):
        for name in ("null", "zero", "urandom", "full"):
            assert os.path.exists(f"/dev/{name}")
        with open("/dev/null", "w") as null:
            null.write("x")

    def test_home_takes_files(self):
        path = os.path.expanduser("~/.witness")
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)

    def test_capture(self, capfd, capsys_or_not=None):
        os.write(1, b"through the descriptor\n")
        assert capfd.readouterr().out == "through the descriptor\n"


class TestChance:
    """Each of these draws what no other test may draw."""

    drawn = set()

    @pytest.mark.parametrize("i", range(3))
    def test_numbers_differ(self, i):
        number = (random.random(), uuid.uuid4(), uuid.uuid1(), os.urandom(8), next(tempfile._get_candidate_names()))
        assert number not in self.drawn
        self.drawn.add(number)


class TestConfig:
    def test_plugins(self, request, record_property):
        names = sorted(str(name) for name, _ in request.config.pluginmanager.list_name_plugin())
        record_property("plugins", [name for name in names if not name.isdigit() and "recorder" not in name and "witness" not in name])

    def test_options(self, request, record_property):
        options = {key: value for key, value in sorted(vars(request.config.option).items()) if key not in ("plugins", "file_or_dir", "basetemp")}
        record_property("options", options)

    def test_session(self, request, record_property):
        record_property("session", (request.session.testscollected, request.session.testsfailed, len(request.session.items), str(request.config.rootpath), str(request.config.invocation_params.dir)))

    def test_current_test(self):
        assert os.environ["PYTEST_CURRENT_TEST"].endswith("test_current_test (call)")


class TestLast:
    """Imports much, which the tests before would see."""

    def test_hypothesis_takes_random(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            import hypothesis.internal.entropy  # noqa: F401
