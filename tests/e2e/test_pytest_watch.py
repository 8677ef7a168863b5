"""casemate pytest --watch, and what it does on a terminal."""

import os
import re
import signal
import subprocess

import pytest
from py_test_runner import CASEMATE
from terminal import Terminal

FIRST = "def test_it():\n    assert 1 + 1 == 2\n"


@pytest.fixture
def on_terminal(suite):
    begun = []

    def begin(*words):
        environment = suite.environment | {"TERM": "xterm-256color"}
        begun.append(Terminal([str(CASEMATE), "pytest", *words], cwd=suite.directory, env=environment))
        return begun[-1]

    yield begin
    for terminal in begun:
        terminal.close()


def wait_for_line(process, wanted):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return "".join(lines)
    raise AssertionError(f"no {wanted!r}:\n" + "".join(lines))


def test_an_edit_begins_another_run(suite):
    suite.write("test_a.py", FIRST)
    (suite.directory / ".git").mkdir()
    (suite.directory / "__pycache__").mkdir()
    process = suite.start("--watch", "--ui", "simple", "--junit-xml", "report.xml", stderr=subprocess.STDOUT, text=True)
    try:
        wait_for_line(process, "waiting for changes")
        # None of these is an edit: our own report was written, too.
        suite.write(".git/index", "x")
        suite.write("__pycache__/test_a.pyc", "x")
        suite.write(".test_a.py.swp", "x")
        (suite.directory / "test_a.py").open("a").close()
        # As an editor does it: written beside, and renamed.
        suite.write("test_a.py.new", FIRST.replace("== 2", "== 3")).rename(suite.directory / "test_a.py")
        text = wait_for_line(process, "waiting for changes")
        assert text.count("changed:") == 1 and re.search(r"changed: test_a\.py", text), text
        assert "assert (1 + 1) == 3" in text and "1 failed" in text
        (suite.directory / "new").mkdir()
        suite.write("new/test_b.py", FIRST)
        text = wait_for_line(process, "waiting for changes")
        if "new/test_b.py::test_it" not in text:  # the directory was seen before its file was
            text = wait_for_line(process, "waiting for changes")
        assert "new/test_b.py::test_it" in text and "1 failed, 1 passed" in text
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_keys_while_it_waits(suite, on_terminal):
    suite.write("test_a.py", FIRST)
    terminal = on_terminal("--watch")
    terminal.wait_for("Enter runs again")
    assert terminal.modes() == (False, False)
    terminal.type(b"\r")
    terminal.bytes = b""
    while terminal.bytes.count(b"waiting for changes") < 1:
        terminal.read(1)
    assert terminal.text().count("1 passed") == 2
    terminal.type(b"q")
    assert terminal.end() == 0
    assert terminal.modes() == (True, True)


def test_a_key_asks_what_runs(suite, on_terminal):
    suite.write("test_slow.py", "import time\ndef test_quick():\n    pass\n\ndef test_slow():\n    time.sleep(3)\n")
    terminal = on_terminal("--ui", "fancy")
    terminal.wait_for("test_slow.py::test_slow")
    assert terminal.modes() == (False, False)
    terminal.type(b"\r")
    text = terminal.wait_for("running")
    assert "test_slow.py::test_slow" in text
    assert terminal.end() == 0
    assert "2 passed" in terminal.text()
    assert terminal.modes() == (True, True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, -signal.SIGQUIT)])
def test_the_terminal_is_as_it_was_however_it_ends(suite, on_terminal, number, status):
    suite.write("test_slow.py", "import time\ndef test_slow():\n    time.sleep(60)\n")
    terminal = on_terminal("--ui", "fancy")
    terminal.wait_for("test_slow.py::test_slow")
    assert terminal.modes() == (False, False)
    os.kill(terminal.process.pid, number)
    assert terminal.end(30) == status
    assert terminal.modes() == (True, True)
