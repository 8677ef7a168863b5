"""Real git repositories for the agent: students' C projects, a repository of tests, and servers on loopback."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest
from labs import requirements
from py_test_runner import CASEMATE

AGENT = CASEMATE.parent / "casemate-agent"

GIT = os.environ | {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "lab",
    "GIT_AUTHOR_EMAIL": "lab@localhost",
    "GIT_COMMITTER_NAME": "lab",
    "GIT_COMMITTER_EMAIL": "lab@localhost",
}

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
MAKEFILE = "hello: hello.c\n\t$(CC) -o $@ hello.c\n"

RUN_TESTS = """
import argparse, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--src", required=True)
parser.add_argument("--junit-xml", required=True)
parser.add_argument("-k")
parser.add_argument("--lab-num", nargs="+")
parser.add_argument("--proxy_timeout", type=float, default=10)
typed = parser.parse_args()
os.environ["SRC"] = typed.src
os.environ["PROXY_TIMEOUT"] = str(typed.proxy_timeout)
import pytest
sys.exit(pytest.main(["-s", "tests", "--junit-xml=" + typed.junit_xml, *(["-k", typed.k] if typed.k else [])]))
"""

TEST_BUILD = """
import os, subprocess

def test_make():
    assert subprocess.run(["make", "-C", os.environ["SRC"]]).returncode == 0
"""

TEST_RUN = """
import os, subprocess

def test_hello():
    done = subprocess.run([os.environ["SRC"] + "/hello"], stdout=subprocess.PIPE, timeout=float(os.environ["PROXY_TIMEOUT"]))
    assert (done.returncode, done.stdout) == (0, b"hello\\n")

def test_source_is_there():
    assert os.path.exists(os.environ["SRC"] + "/hello.c")
"""


def git(directory, *arguments):
    return subprocess.run(["git", *arguments], cwd=directory, env=GIT, check=True, capture_output=True, text=True).stdout.strip()


class Repository:
    """A repository with a work tree, which is served by its path."""

    def __init__(self, path, files):
        self.path = path
        path.mkdir(parents=True)
        git(path, "init", "-q", "-b", "main")
        self.commit(files)

    def commit(self, files):
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pathlib.Path):
                file.symlink_to(content)
            else:
                file.write_text(content)
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", "work")
        return git(self.path, "rev-parse", "HEAD")

    @property
    def url(self):
        return f"file://{self.path}"


class Lab:
    """Starts workers in directories of the test's own."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment
        self.count = 0
        self.tests = None

    def repository(self, name, files):
        return Repository(self.directory / name, files)

    def student(self, hello=HELLO, makefile=MAKEFILE, name="student", **more):
        return self.repository(name, {"hello.c": hello, "Makefile": makefile} | more)

    def order(self, url, **over):
        task = {"attempt": 21, "repositoryUrl": url, "branch": "main", "laboratoryNumber": [1], "connectedTests": []}
        task |= over.pop("task", {})
        return {
            "task": task,
            "timeout_ms": 60_000,
            "proxy_timeout_ms": 10_000,
            "tests_repo": over.pop("tests", None) or self.tests.url,
            "tests_revision": "",
            "tests_command": ["python", "run_tests.py"],
            "image": "",
            "limits": {"memory_bytes": 1 << 30, "pids": 128, "output_bytes": 64 << 20, "disk_bytes": 256 << 20},
            "slots": 1,
            "isolation": "run",
            "allow_file_urls": True,
            "clone_network": "host",
        } | over

    def place(self, order):
        self.count += 1
        place = self.directory / f"task{self.count}"
        place.mkdir()
        (place / "order.json").write_text(order if isinstance(order, str) else json.dumps(order))
        return Place(place)

    def start(self, url, **over):
        place = self.place(self.order(url, **over))
        worker = subprocess.Popen([AGENT, "worker", place.path], stdin=subprocess.DEVNULL, env=self.environment, start_new_session=True)
        return place, worker

    def grade(self, url, **over):
        """Grades a task to its end. A worker that has done its work exits with 0, whatever the grade."""
        place = self.place(self.order(url, **over))
        done = subprocess.run([AGENT, "worker", place.path], stdin=subprocess.DEVNULL, env=self.environment, capture_output=True, timeout=200)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        return place


class Place:
    """What a worker left in its directory."""

    def __init__(self, path):
        self.path = path

    def read(self, name):
        return (self.path / name).read_text(errors="replace")

    def json(self, name):
        return json.loads(self.read(name))

    @property
    def error(self):
        grade = self.json("grade.json")
        return grade["error_details"] if grade["is_error"] else None

    @property
    def steps(self):
        return {step["name"]: step for step in self.json("steps.json")["steps"]}

    @property
    def cases(self):
        """{name: "passed" | "failed" | "skipped"} of report.xml as the grade has them."""
        return {one["name"]: one["verdict"] for one in self.json("grade.json")["cases"]}


@pytest.fixture
def bare_lab(tmp_path, casemate_directories, wheelhouse):
    """Without a tests repository. Its environment is that of `world`, made once a session."""
    if not AGENT.exists():
        pytest.fail(f"{AGENT} is missing: ./dev build")
    packages = {"PIP_FIND_LINKS": str(wheelhouse), "PIP_NO_INDEX": "1"}
    return Lab(tmp_path, os.environ | casemate_directories | packages | {"CASEMATE_AGENT_PASSWORD": "hunter2hunter2"})


@pytest.fixture
def lab(bare_lab):
    """With tests that want pytest."""
    bare_lab.tests = bare_lab.repository(
        "lab-tests",
        {"requirements.txt": requirements(), "run_tests.py": RUN_TESTS, "tests/test_build.py": TEST_BUILD, "tests/test_run.py": TEST_RUN},
    )
    return bare_lab


@contextlib.contextmanager
def git_daemon(base):
    """git:// of all that is below `base`; gives the beginning of URLs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={base}", str(base)]
    daemon = subprocess.Popen(command, env=GIT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}"
    finally:
        os.killpg(daemon.pid, 15)  # the program git, and its git-daemon
        daemon.wait()


@contextlib.contextmanager
def dumb_server(base):
    """http:// of files alone: a server that can't make a shallow clone."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(base)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


__all__ = ["HELLO", "Lab", "bare_lab", "dumb_server", "git", "git_daemon", "lab"]
