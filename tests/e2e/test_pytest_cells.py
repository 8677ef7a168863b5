"""casemate pytest: what a test's cell is, what it leaves, and how it ends when it ends badly."""

import os

import pytest

AS_ROOT = os.geteuid() == 0
needs_cgroups = pytest.mark.skipif(not AS_ROOT, reason="without cgroups of its own a user's limits are a watchdog's")


@pytest.mark.parametrize("isolation, inits", [("test", 6), ("class", 4), ("module", 2), ("file", 2), ("cold", 6)])
def test_fixtures_run_once_a_cell(suite, isolation, inits):
    """Tests that share a cell see the same session fixture and the same process."""
    body = """
        import os, pytest
        @pytest.fixture(scope="session")
        def session(tmp_path_factory): return (os.getpid(), os.urandom(8).hex())
        class TestOne:
            def test_1(self, session): print("IS", session)
            def test_2(self, session): print("IS", session)
        def test_3(session): print("IS", session)
    """
    suite.write("test_a.py", body)
    suite.write("test_b.py", body)
    ended = suite("--isolation", isolation)
    assert ended.status == 0, str(ended)
    cells = set()
    for event in ended.finished:
        for report in event["reports"]:
            for title, text in report.get("sections", []):
                cells |= {line for line in text.splitlines() if line.startswith("IS")}
    assert len(cells) == inits


def test_nothing_of_a_test_is_left_for_another(suite):
    suite.write("data.txt", "as it was")
    suite.write(
        "test_it.py",
        """
        import os, pathlib, pytest, socket, sys, subprocess
        @pytest.mark.parametrize("n", range(8))
        def test_it(n):
            for place in ("/tmp/mark", "mark", "/dev/shm/mark", os.path.expanduser("~/mark")):
                assert not os.path.exists(place), place
                pathlib.Path(place).write_text("x")
            assert pathlib.Path("data.txt").read_text() == "as it was"
            pathlib.Path("data.txt").write_text("changed")
            assert "CASEMATE_MARK" not in os.environ and not hasattr(sys, "mark")
            os.environ["CASEMATE_MARK"] = "1"
            sys.mark = 1
            assert subprocess.run(["ipcs", "-q"], capture_output=True, text=True).stdout.count("0x") == 0
            subprocess.run(["ipcmk", "-Q"], check=True, capture_output=True)
            assert 1 < os.getpid() < 10
            assert sorted(int(p) for p in os.listdir("/proc") if p.isdigit())[:2] == [1, os.getpid()]
            server = socket.socket()
            server.bind(("127.0.0.1", 8765))
            server.listen()
            client = socket.create_connection(("127.0.0.1", 8765))
            peer, _ = server.accept()
            peer.close()      # leaves TIME_WAIT
            client.close()
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
        """,
    )
    ended = suite("--slots", 4)
    assert ended.status == 0, str(ended)
    assert len(ended.results) == 8
    assert sorted(path.name for path in suite.directory.iterdir()) == ["data.txt", "test_it.py"]
    assert (suite.directory / "data.txt").read_text() == "as it was"


@pytest.mark.parametrize(
    "touch",
    [
        "os.chmod('/dev/pts/ptmx', 0)",
        "os.chmod('/dev/pts', 0o700)",
        "os.utime('/dev/stdin', (1, 1), follow_symlinks=False)",
        "os.utime('/dev/ptmx', (1, 1), follow_symlinks=False)",
        "os.chmod(os.path.dirname(os.getcwd()), 0o700)",
        "os.setxattr('/var', 'user.mark', b'1')",
        "os.rename('/dev/stdin', '/dev/mark'); os.rename('/dev/mark', '/dev/stdin')",
        "os.symlink('/proc/self/fd/1', '/dev/mark'); os.rename('/dev/mark', '/dev/stdin')",
    ],
)
def test_a_place_that_was_touched_is_never_used_again(suite, touch):
    suite.write(
        "test_it.py",
        """
        import os, pytest
        @pytest.mark.parametrize("n", range(8))
        def test_it(n):
            for place in ("/dev/pts/ptmx", "/dev/pts", "/dev/stdin", "/dev/ptmx", "/var", os.path.dirname(os.getcwd())):
                found = os.lstat(place)
                assert found.st_mtime > 1 and found.st_mode & 0o777 in (0o666, 0o755, 0o777), place
            assert os.listxattr("/var") == [] and os.readlink("/dev/stdin") == "fd/0", os.readlink("/dev/stdin")
            %s
        """
        % touch,
    )
    ended = suite("--slots", 1)
    assert ended.status == 0, str(ended)


def test_flags_of_descriptors_are_no_others(suite):
    """A test that makes its pipes non-blocking, as asyncio does with stdout, takes nothing of the reports and the output of the next."""
    suite.write(
        "test_it.py",
        """
        import fcntl, os, pytest
        @pytest.mark.parametrize("n", range(9))
        def test_it(n, record_property):
            assert all(os.get_blocking(fd) for fd in (0, 1, 2)) and fcntl.fcntl(1, 1032) == 65536  # F_GETPIPE_SZ
            if n % 3:
                for i in range(20): record_property("big%d" % i, "x" * 60000)
                os.write(1, b"y" * 300_000)
            else:
                for fd in map(int, os.listdir("/proc/self/fd")):
                    try: os.set_blocking(fd, False)
                    except OSError: pass  # the listing's own
                fcntl.fcntl(1, 1031, 4096)  # F_SETPIPE_SZ
        """,
    )
    ended = suite("--slots", 1, "-s")
    assert ended.status == 0, str(ended)


def test_message_queues_are_seen_where_they_are_mounted(suite):
    """Also by a test whose cell would have served another one before."""
    suite.write("maelstrom-pytest.toml", "[[directives]]\nmounts = [{ type = 'mqueue', mount_point = '/dev/mqueue' }]\n")
    suite.write(
        "test_it.py",
        """
        import ctypes, os, pytest
        @pytest.mark.parametrize("n", range(8))
        def test_it(n):
            assert os.listdir("/dev/mqueue") == []
            if n > 3:
                assert ctypes.CDLL("librt.so.1").mq_open(b"/mine", os.O_CREAT | os.O_RDWR, 0o600, None) >= 0
                assert os.listdir("/dev/mqueue") == ["mine"]
        """,
    )
    ended = suite("--slots", 1)
    assert ended.status == 0, str(ended)


@pytest.mark.parametrize(
    "touch",
    [
        "os.fork() or (time.sleep(0.02), socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)), os._exit(0))",
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); c = socket.create_connection(s.getsockname()); s.accept()[0].close(); c.close()",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 9))",
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.sendto(b'x', ('::1', 9))",
        "s = socket.socket(); s.bind(('127.0.0.1', 8765)); globals()['kept'] = s",
        "s = socket.socket(); s.settimeout(1); s.connect_ex(('127.0.0.1', 9))",
        "s = socket.socket(); s.settimeout(1); s.connect_ex(('192.0.2.1', 9))",
        "s = socket.socket(socket.AF_INET6); s.settimeout(1); s.connect_ex(('2001:db8::1', 9))",
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 5353))",
        "s = socket.socket(socket.AF_UNIX); s.bind('\\0mark'); globals()['kept'] = s",
        "subprocess.Popen(['sleep', '600'])",
        "pass",
    ],
)
def test_a_network_that_was_touched_is_never_used_again(suite, touch):
    """Counters, sockets and addresses are as in a new namespace for each test, in whatever order they run."""
    suite.write(
        "test_it.py",
        """
        import os, pytest, socket, subprocess, time
        def state():
            text = open("/proc/net/snmp").read() + open("/proc/net/snmp6").read() + open("/proc/net/sockstat").read().partition("\\n")[2]
            text += open("/proc/net/sockstat6").read() + open("/proc/net/netstat").read()
            text += open("/proc/net/tcp").read() + open("/proc/net/udp").read() + open("/proc/net/tcp6").read() + open("/proc/net/unix").read()
            lines = open("/proc/net/dev").read().splitlines()
            return [text, [line for line in lines if "lo:" in line]]
        @pytest.mark.parametrize("n", range(12))
        def test_it(n, record_property):
            found = state()
            # Memory is the host's, inode numbers are unique; the kernel's own router solicitations and the like go nowhere here.
            import re
            text = re.sub(r" mem \\d+", "", found[0])
            record_property("state", [line for line in text.splitlines() if not line.startswith("TCP: inuse 0")])
            record_property("lo", found[1])
            %s
        """
        % touch,
    )
    ended = suite("--slots", 1)
    assert ended.status == 0, str(ended)
    first = ended.results["test_it[0]"]["properties"]
    for result in ended.results.values():
        assert result["properties"] == first


def test_randomness_differs_between_tests(suite):
    suite.write(
        "test_it.py",
        """
        import os, pytest, random, secrets, tempfile, uuid
        @pytest.mark.parametrize("n", range(6))
        def test_it(n, record_property, tmp_path):
            record_property("random", random.random())
            record_property("uuid", str(uuid.uuid4()) + secrets.token_hex())
            record_property("temp", os.path.basename(tempfile.mkdtemp()))
        """,
    )
    ended = suite()
    assert ended.status == 0, str(ended)
    for name in ("random", "uuid", "temp"):
        values = [str(dict(result["properties"])[name]) for result in ended.results.values()]
        assert len(set(values)) == 6, (name, values)


@pytest.mark.parametrize("isolation", ["test", "module", "cold"])
@pytest.mark.parametrize(
    "body, kind, code",
    [
        ("os.kill(os.getpid(), 9)", "signaled", 9),
        ("os.kill(os.getpid(), 15)", "signaled", 15),
        ("os._exit(0)", "exited", 0),
        ("os._exit(3)", "exited", 3),
        ("ctypes.string_at(0)", "signaled", 11),
        ("os.abort()", "signaled", 6),
    ],
)
def test_ends_of_its_process_are_its_own_verdict(suite, isolation, body, kind, code):
    suite.write("test_it.py", "import ctypes, os, pytest\ndef test_1(): pass\ndef test_2(): %s\ndef test_3(): pass\n" % body)
    ended = suite("--isolation", isolation)
    assert ended.verdicts == {"test_1": "passed", "test_2": "failed", "test_3": "passed"}, str(ended)
    outcome = ended.results["test_2"]["outcome"]
    assert (outcome["kind"], outcome["code"]) == (kind, code)
    assert ended.status == 1
    if code in (6, 11):
        assert "Fatal Python error" in ended.results["test_2"]["output"]["stderr"], str(ended)


def test_recursion_is_no_crash_but_a_c_stack_overflow_is(suite):
    suite.write(
        "test_it.py",
        """
        import os, subprocess, sys
        def deeper(): deeper()
        def test_python():
            import pytest
            with pytest.raises(RecursionError): deeper()
        def test_c():
            import ctypes
            kind = ctypes.CFUNCTYPE(ctypes.c_int)
            sys.setrecursionlimit(1 << 30)
            @kind
            def call(): return call()
            call()
        """,
    )
    ended = suite()
    assert ended.results["test_python"]["verdict"] == "passed"
    assert ended.results["test_c"]["verdict"] == "failed"
    assert ended.results["test_c"]["outcome"]["kind"] == "signaled" and ended.results["test_c"]["outcome"]["code"] == 11, str(ended)


def test_a_memory_bomb_is_out_of_memory(suite):
    result, ended = suite.one("def test_it():\n    kept = []\n    while True: kept.append(b'x' * (4 << 20))\n", "--memory", "128m")
    assert result["verdict"] == "failed" and result["outcome"]["kind"] == "out of memory", str(ended)
    assert "out of memory" in ended.out


@needs_cgroups
def test_a_fork_bomb_is_too_many_processes(suite):
    result, ended = suite.one("import os, time\ndef test_it():\n    while True:\n        if os.fork() == 0: time.sleep(60)\n", "--pids", "30")
    assert result["verdict"] == "failed" and result["outcome"]["kind"] == "too many processes", str(ended)
    assert "too many processes" in ended.out


def test_a_full_disk_has_its_name(suite):
    body = "def test_it():\n    with open('/tmp/big', 'wb') as file:\n        while True: file.write(b'x' * 65536); file.flush()\n"
    result, ended = suite.one(body, "--disk", "8m")
    assert result["verdict"] == "failed", str(ended)
    assert "No space left" in result["reason"] and result["outcome"]["kind"] == "disk limit", str(ended)


@pytest.mark.parametrize("isolation", ["test", "cold"])
def test_a_timeout_has_its_name(suite, isolation):
    result, ended = suite.one("import time\ndef test_it(): time.sleep(600)\n", "--timeout", "2", "--isolation", isolation)
    assert result["outcome"]["kind"] == "timed out" and result["verdict"] == "failed", str(ended)
    assert ended.status == 1
    assert "TIMEOUT" in ended.out and "2.00 s" in ended.out, str(ended)


def test_a_directives_timeout(suite):
    suite.write("maelstrom-pytest.toml", "[[directives]]\nfilter = 'name.contains(slow)'\ntimeout = 1\n")
    suite.write("test_it.py", "import time\ndef test_slow(): time.sleep(600)\ndef test_other(): time.sleep(1.5)\n")
    ended = suite()
    assert ended.verdicts == {"test_slow": "failed", "test_other": "passed"}
    assert ended.results["test_slow"]["outcome"]["kind"] == "timed out"


@pytest.mark.parametrize("capture", ["fd", "no"])
def test_a_flood_of_output_is_bounded(suite, capture):
    body = "import os\ndef test_it():\n    for _ in range(400): os.write(1, b'x' * 65535 + b'\\n')\n    assert 0\n"
    result, ended = suite.one(body, "--inline-limit", "10KB", "--capture", capture)
    assert result["verdict"] == "failed"
    assert len(ended.out) < 200_000
    assert suite.events_file.stat().st_size < 8 << 20


@pytest.mark.parametrize("isolation", ["test", "cold"])
def test_a_leftover_process_is_named_and_gone(suite, isolation):
    body = "import subprocess\ndef test_it(): subprocess.Popen(['sleep', '98765'], start_new_session=True)\n"
    result, ended = suite.one(body, "--isolation", isolation)
    assert result["verdict"] == "passed"
    assert [leftover["name"] for leftover in result["leftovers"]] == ["sleep"]
    assert "LEAK" in ended.out and "sleep" in ended.out
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                assert b"98765" not in file.read().split(b"\0")
        except OSError:
            pass


def test_a_leftover_that_holds_the_reports_pipe_delays_nothing(suite):
    body = """
        import os
        def test_it():
            if os.fork() == 0:
                os.setsid()
                import time
                while True: time.sleep(1)
    """
    result, ended = suite.one(body)
    assert result["verdict"] == "passed" and result["leftovers"], str(ended)


def test_a_timeout_at_the_very_end_costs_no_other_test(suite):
    """The cell of a test that ends while it is being killed does not serve again."""
    suite.write("test_it.py", "import pytest, time\n@pytest.mark.parametrize('n', range(48))\ndef test_it(n): time.sleep(0.985 + n % 8 * 0.002)\n")
    ended = suite("--timeout", "1", "--slots", 8)
    assert len(ended.results) == 48
    for result in ended.results.values():
        assert result["verdict"] == "passed" or result["outcome"]["kind"] == "timed out", str(ended)
