"""casemate pytest when something kills parts of it, or what runs in it means harm: no verdict is wrong, and nothing is left."""

import glob
import json
import os
import random
import signal
import time

import pytest


def stat_of(pid):
    """(name, parent, start time), None if it is gone or a zombie."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
    return None if rest[0] in "ZX" else (name, int(rest[1]), int(rest[19]))


def below(root):
    """{pid: (name, parent, start time)} of all that descends from `root`."""
    every = {int(pid): stat_of(int(pid)) for pid in os.listdir("/proc") if pid.isdigit()}
    found, grown = {}, {root}
    while grown:
        grown = {pid for pid, stat in every.items() if stat and stat[1] in grown and pid not in found}
        found |= {pid: every[pid] for pid in grown}
    return found


class Parts:
    """The processes of a run, by what they are."""

    def __init__(self, engine):
        self.all = below(engine)
        self.blocks = [pid for pid, stat in self.all.items() if stat[0] == "casemate-block"]
        self.inits = [pid for pid, stat in self.all.items() if stat[0] == "casemate-init"]
        self.bases = self.children(self.inits)
        self.modules = self.children(self.bases)
        self.forks = self.children(self.modules)

    def children(self, of):
        return [pid for pid, stat in self.all.items() if stat[1] in of and pid not in self.inits]


def cgroups_of(engine):
    return [path for path in glob.glob("/sys/fs/cgroup/**/casemate-%d-*" % engine, recursive=True) if os.path.isdir(path)]


def assert_gone(seen, engine, cgroups=True):
    """Processes end at once, but the kernel may need a moment."""
    for _ in range(200):
        now = {pid: stat_of(pid) for pid in seen}
        left = {pid: stat for pid, stat in seen.items() if now[pid] and now[pid][2] == stat[2]}
        if not left:
            break
        time.sleep(0.05)
    assert not left
    if cgroups:
        assert cgroups_of(engine) == []


HUNDREDS = """
    import pytest, time
    @pytest.mark.parametrize("n", range(%d))
    def test_it(n):
        time.sleep(%s)
        assert n %% 10 != 0
"""


@pytest.mark.parametrize("victims", ["bases", "modules", "inits", "forks", "blocks", "any"])
def test_killed_at_random_moments(suite, victims):
    for name in "abc":
        suite.write("test_%s.py" % name, HUNDREDS % (60, 0.01))
    chance = random.Random(victims)
    process = suite.start()
    seen, killed = {}, 0
    # Before the collection is over its death is the run's.
    while process.poll() is None and '"collected"' not in (suite.events_file.read_text() if suite.events_file.exists() else ""):
        time.sleep(0.01)
    limit = {"bases": 4, "blocks": 3, "modules": 8}.get(victims, 25)
    while process.poll() is None and killed < limit:
        time.sleep(chance.uniform(0.01, 0.25 if victims in ("bases", "blocks") else 0.08))
        parts = Parts(process.pid)
        seen |= parts.all
        found = [pid for pid in (parts.all if victims == "any" else getattr(parts, victims)) if pid != process.pid]
        if not found:
            continue
        victim = chance.choice(sorted(found))
        now = stat_of(victim)
        if now and now[2] == parts.all[victim][2]:
            os.kill(victim, signal.SIGKILL)
            killed += 1
    ended = suite.ended(process)
    assert killed > 0
    assert_gone(seen, process.pid)
    assert ended.status == 1, str(ended)
    last = [event for event in ended.finished if event["last"]]
    assert len(last) == len({event["id"] for event in last}) == 180
    lost = 0
    for result in last:
        should_fail = result["name"] in ["test_it[%d]" % n for n in range(0, 60, 10)]
        if result["outcome"]["kind"] == "exited" and result["verdict"] != "lost":
            assert result["verdict"] == ("failed" if should_fail else "passed"), result
            assert not should_fail or "assert" in result["reason"], result
        else:
            assert result["verdict"] in ("failed", "lost"), result
            assert result["outcome"]["kind"] in ("signaled", "lost", "setup failed"), result
            lost += 1
    assert lost <= 4 * killed
    if victims == "modules":  # their tests are run again
        assert lost <= 2 * killed


def test_the_engine_is_killed(suite):
    suite.write("test_it.py", HUNDREDS % (200, 0.05))
    process = suite.start()
    while len(Parts(process.pid).forks) == 0:
        assert process.poll() is None
        time.sleep(0.02)
    seen = below(process.pid)
    process.kill()
    process.communicate()
    assert_gone(seen, process.pid, cgroups=False)
    assert suite("-k", "test_it[1]").status == 0
    assert cgroups_of(process.pid) == []  # swept


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["collecting", "running", "cold"])
def test_a_signal_ends_the_run_with_a_summary(suite, number, status, moment):
    wait = "time.sleep(600)\n" if moment == "collecting" else ""
    suite.write("test_it.py", "import time\n" + wait + "def test_first(): pass\ndef test_it(): time.sleep(600)\ndef test_other(): time.sleep(600)\n")
    process = suite.start("--slots", 2, *(["--isolation", "cold"] if moment == "cold" else []))
    began = time.monotonic()
    while time.monotonic() < began + 60:
        text = suite.events_file.read_text() if suite.events_file.exists() else ""
        if len(Parts(process.pid).modules if moment == "collecting" else [x for x in text.splitlines() if "test_started" in x]) >= (
            1 if moment == "collecting" else 3
        ):
            break
        time.sleep(0.02)
    seen = below(process.pid)
    process.send_signal(number)
    ended = suite.ended(process)
    assert ended.status == status, str(ended)
    end = ended.of("run_finished")[-1]
    assert end["exit_status"] == status and "interrupted" in end["stopped_because"]
    if moment != "collecting":
        assert ended.verdicts == {"test_first": "passed", "test_it": "cancelled", "test_other": "cancelled"}, str(ended)
        assert "interrupted" in ended.out
    assert_gone(seen, process.pid)


def test_two_interrupts_end_it_too(suite):
    suite.write("test_it.py", HUNDREDS % (100, 1))
    process = suite.start()
    while not Parts(process.pid).forks:
        assert process.poll() is None
        time.sleep(0.02)
    seen = below(process.pid)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert suite.ended(process).status == 130
    assert_gone(seen, process.pid)


JUNK = """
    import os
    def every(write):
        for fd in range(3, 256):
            try:
                os.fstat(fd)
            except OSError:
                continue
            try:
                os.set_blocking(fd, False)
                write(fd)
            except OSError:
                pass
"""


@pytest.mark.parametrize(
    "what",
    [
        "b'junk\\n'",
        "b'x' * (1 << 20)",
        "b'{\"done\": true}\\n'",
        "b'E' + bytes(63)",
        "b'R{\"hash\": ' + b'[' * 60000 + b']' * 60000 + b'}'",
        "b'B{}'",
    ],
)
@pytest.mark.parametrize("when", ["import", "pytest_sessionstart", "pytest_collection_finish"])
def test_a_conftest_that_writes_to_every_descriptor(suite, what, when):
    """It may break its own run, and that is said; nothing passes that should not."""
    call = "every(lambda fd: os.write(fd, %s))\n" % what
    indented = "    def pytest_%s(session):\n        %s" % (when.partition("_")[2], call) if when != "import" else "    " + call
    suite.write("conftest.py", JUNK + indented)
    suite.write("test_it.py", "def test_pass(): pass\ndef test_fail(): assert 0\n")
    ended = suite()
    assert ended.status in (1, 2, 3, 4), str(ended)
    assert ended.verdicts.get("test_fail") in ("failed", "lost", None)
    assert not ended.results or len(ended.results) == 2


FORGERIES = {
    "another's": "for i in range(3): line({'report': {'id': 'test_it.py::test_fail', 'when': 'call', 'outcome': 'passed'}})\n"
    "        line({'end': 'test_it.py::test_fail'})",
    "million": "data = b'{}\\n' * 10000\n        for _ in range(100): out(data)",
    "million reports": "data = b'{\"report\": {\"id\": \"nobody\", \"when\": \"call\", \"outcome\": \"failed\"}}\\n' * 1000\n        for _ in range(1000): out(data)",
    "no end": "for _ in range(80): out(b'x' * (1 << 20))",
    "deep": "out(b'{\"file\": \"a\", \"hash\": ' + b'[' * 5000000 + b']' * 5000000 + b'}\\n')",
    "wide": "out(b'{\"report\": {\"properties\": [' + b'[\"a\", 1],' * 2000000 + b'1]}}\\n')",
    "binary": "out(os.urandom(1 << 20) + b'\\n')",
    "closed": "os.closerange(3, 256)",
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_test_that_writes_to_the_pipe_of_reports(suite, kind):
    suite.write(
        "test_it.py",
        """
    import json, os, pytest, stat
    def out(data):
        for fd in range(3, 256):
            try:
                if stat.S_ISFIFO(os.fstat(fd).st_mode) and os.get_blocking(fd):
                    rest = memoryview(data)
                    while rest:
                        rest = rest[os.write(fd, rest):]
            except OSError:
                pass
    def line(value):
        out(json.dumps(value).encode() + b"\\n")
    @pytest.mark.parametrize("n", range(3))
    def test_hostile(n):
        %s
    def test_pass(): pass
    def test_fail(): assert 0, "honest"
    """
        % FORGERIES[kind],
    )
    ended = suite()
    assert ended.status == 1, str(ended)
    assert len(ended.results) == 5
    assert ended.results["test_pass"]["verdict"] == "passed"
    assert ended.results["test_fail"]["verdict"] == "failed" and "honest" in ended.results["test_fail"]["reason"]


def test_a_parent_that_forges_the_ends_of_others_forks(suite):
    suite.write(
        "a/conftest.py",
        """
        import os, socket, struct
        def forge():
            for fd in range(3, 256):
                try:
                    known = socket.socket(fileno=os.dup(fd))
                except OSError:
                    continue
                for job in range(200):
                    try:
                        known.send(struct.pack("<c3xiQqqqqq", b"E", 0, job, 0, 0, 0, 0, 0), socket.MSG_DONTWAIT)
                        known.send(struct.pack("<c3xiQII", b"F", 1, job, 0, 0), socket.MSG_DONTWAIT)
                    except OSError:
                        pass
        os.register_at_fork(after_in_parent=forge)
        """,
    )
    suite.write("a/test_a.py", "import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_a(n): pass\n")
    suite.write("b/test_b.py", "import pytest, time\n@pytest.mark.parametrize('n', range(20))\ndef test_b(n): time.sleep(0.02)\n")
    ended = suite("--slots", 4)
    assert len(ended.results) == 25, str(ended)
    assert {verdict for name, verdict in ended.verdicts.items() if name.startswith("test_b")} == {"passed"}, str(ended)


def test_a_conftest_that_closes_all_descriptors_is_told(suite):
    suite.write("conftest.py", "import os\ndef pytest_sessionstart(session):\n    os.closerange(3, 1000)\n")
    suite.write("test_it.py", "def test_it(): pass\n")
    ended = suite()
    assert ended.status in (2, 3), str(ended)
    assert json.dumps(ended.problem) != '""'
