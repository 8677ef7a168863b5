"""Real git repositories for the grading agent's tests: a tests repository and C labs, served by git's own http-backend on loopback, by a web server
that only knows files, or by file: URL; and wheels of pytest, so that its environment is made without the world."""

import base64
import contextlib
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from importlib import metadata

TREE = pathlib.Path(__file__).resolve().parents[2]
PYTEST = ("pytest", "iniconfig", "packaging", "pluggy", "pygments")

RUN_TESTS = r'''
"""The tests of the labs against one project."""
import argparse, os, pathlib, sys
import pytest

parser = argparse.ArgumentParser()
parser.add_argument("--src", required=True)
parser.add_argument("--junit-xml", required=True)
parser.add_argument("-k", default="")
parser.add_argument("--lab-num", nargs="*", type=int, default=[])
parser.add_argument("--proxy_timeout", type=float, default=5)
options = parser.parse_args()
here = pathlib.Path(__file__).resolve().parent
paths = [f"tests/lab{number}" for number in options.lab_num] or ["tests"]
os.chdir(here)
words = ["-p", "no:cacheprovider", "-rP", "--src", os.path.abspath(options.src), "--junit-xml", options.junit_xml, "--proxy_timeout", str(options.proxy_timeout)]
if options.k:
    words += ["-k", options.k]
sys.exit(pytest.main(words + paths))
'''

CONFTEST = r'''
import pathlib, subprocess
import pytest

def pytest_addoption(parser):
    parser.addoption("--src")
    parser.addoption("--proxy_timeout", type=float, default=5)

@pytest.fixture(scope="session")
def project(request):
    return pathlib.Path(request.config.getoption("--src"))

@pytest.fixture(scope="session")
def proxy_timeout(request):
    return request.config.getoption("--proxy_timeout")

@pytest.fixture(scope="session")
def built(project):
    subprocess.run(["make"], cwd=project, check=True)
    return project / "proxy"

@pytest.fixture
def proxy(built, proxy_timeout):
    def run(*words):
        try:
            return subprocess.run([built, *words], cwd=built.parent, capture_output=True, text=True, errors="replace", timeout=proxy_timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Proxy not finished in {proxy_timeout} seconds.")
    return run

@pytest.fixture
def configuration(project):
    if not (project / "proxy.conf").exists():
        raise RuntimeError("proxy.conf is missing: no fixture")
    return (project / "proxy.conf").read_text()
'''

LAB1_BUILD = r'''
import subprocess

def test_make(project):
    assert subprocess.run(["make", "clean", "all"], cwd=project).returncode == 0

def test_binary(built):
    assert built.is_file()
'''

LAB1_RUN = r'''
import pytest

def test_greets(proxy):
    done = proxy()
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stdout + done.stderr

@pytest.mark.parametrize("word", ["a", "b c", "d-ё"])
def test_echoes(proxy, word):
    assert proxy(word).stdout == word + "\n"

def test_configured(configuration):
    assert configuration
'''

LAB2 = r'''
import pytest

def test_refuses(proxy):
    assert proxy("--bad").returncode == 2

@pytest.mark.skip(reason="not this term")
def test_later():
    pass

@pytest.mark.xfail(reason="known")
def test_known():
    assert False
'''

MAKEFILE = "all: proxy\nproxy: proxy.c\n\t$(CC) -o $@ $<\nclean:\n\trm -f proxy\n.PHONY: all clean\n"

HELLO = r"""
#include <stdio.h>
#include <string.h>
int main(int argc, char** argv) {
  if (argc == 1) return puts("hello") < 0;
  if (strcmp(argv[1], "--bad") == 0) return 2;
  return puts(argv[1]) < 0;
}
"""

# What each lab's proxy.c is; what else lies in it is in MORE.
PROGRAMS = {
    "good": HELLO,
    "wrong": HELLO.replace('"hello"', '"good bye"'),
    "broken": "int main(void) { return undeclared_name; }\n",
    "endless": "int main(void) { for (volatile int i = 0;; i = i + 1) {} }\n",
    "chatty": HELLO,
    "nuls": '#include <stdio.h>\nint main(void) { fwrite("a\\0b\\033[31m\\xff", 1, 9, stdout); return 1; }\n',
    "bomb": "#include <unistd.h>\nint main(void) { for (;;) fork(); }\n",
    "parricide": "#include <signal.h>\n#include <unistd.h>\nint main(void) { kill(getppid(), SIGKILL); sleep(5); return 0; }\n",
    "daemon": r"""
#include <stdio.h>
#include <unistd.h>
int main(int argc, char** argv) {
  if (argc == 1) {
    if (fork() == 0) { setsid(); if (fork() == 0) { close(0); close(1); close(2); execlp("sleep", "sleep", "86401.25", (char*)0); } _exit(0); }
    return puts("hello") < 0;
  }
  return puts(argv[1]) < 0;
}
""",
    "hungry": '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { for (;;) { char* p = malloc(1 << 24); if (p) memset(p, 1, 1 << 24); } }\n',
}

# Prints whatever of the host it finds, as text that a description shows.
SPY = r"""
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
extern char** environ;
static void show(const char* path) {
  char text[4096];
  FILE* file = fopen(path, "r");
  if (!file) { printf("%s: %s\n", path, strerror(errno)); return; }
  size_t n = fread(text, 1, sizeof text - 1, file);
  for (size_t i = 0; i < n; i++) if (!text[i]) text[i] = ' ';
  text[n] = 0;
  printf("%s has %zu bytes: %s\n", path, n, text);
  fclose(file);
}
int main(void) {
  puts("the spy was here");
  show("/etc/shadow");
  for (char** word = environ; *word; word++) printf("mine: %s\n", *word);
  DIR* processes = opendir("/proc");
  for (struct dirent* one; processes && (one = readdir(processes));) {
    if (one->d_name[0] < '0' || one->d_name[0] > '9') continue;
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/environ", one->d_name);
    show(path);
    snprintf(path, sizeof path, "/proc/%s/cmdline", one->d_name);
    show(path);
  }
  puts("the spy is done");
  return 1;
}
"""

# Finds pytest's --junit-xml in its parent's command line and writes a report there in which all is well: at once, and again and again by a
# process that it leaves behind.
FORGER = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static const char* all_well = "<?xml version='1.0'?><testsuites><testsuite name='pytest' errors='0' failures='0' skipped='0' tests='1' time='0.1'>"
  "<testcase classname='tests.lab1.test_run' name='test_greets' time='0.1'/></testsuite></testsuites>";
static void forge(const char* path) {
  FILE* file = fopen(path, "w");
  if (file) { fputs(all_well, file); fclose(file); }
}
int main(void) {
  static char words[65536];
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cmdline", getppid());
  FILE* file = fopen(path, "r");
  size_t n = file ? fread(words, 1, sizeof words - 1, file) : 0;
  const char* report = "";
  for (size_t i = 0; i < n; i += strlen(words + i) + 1)
    if (strcmp(words + i, "--junit-xml") == 0) report = words + i + strlen(words + i) + 1;
  forge(report);
  if (fork() == 0) {
    setsid(); close(0); close(1); close(2);
    for (;;) { forge(report); usleep(2000); }
  }
  puts("forged");
  return 0;
}
"""

# Tries to get into every process that it sees but the cell's first, those that only run it (a shell) too, and says which way was open.
BURGLAR = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
static int doors = 0;
static void open_door(const char* name, int pid) { printf("in by %s of %d\n", name, pid); ++doors; }
static void break_into(int pid) {
  char path[64], byte;
  for (int fd = 0; fd < 64; fd++) {
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    int taken = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (taken >= 0) { close(taken); open_door("descriptor", pid); }
  }
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  int memory = open(path, O_RDWR | O_CLOEXEC);
  if (memory >= 0) { close(memory); open_door("memory", pid); }
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE* maps = fopen(path, "r");
  unsigned long at = 0;
  if (maps && fscanf(maps, "%lx", &at) == 1) open_door("maps", pid);
  if (maps) fclose(maps);
  struct iovec ours = {&byte, 1}, theirs = {(void*)at, 1};
  if (at && process_vm_readv(pid, &ours, 1, &theirs, 1, 0) == 1) open_door("process_vm_readv", pid);
  int pidfd = syscall(SYS_pidfd_open, pid, 0);
  for (int fd = 0; pidfd >= 0 && fd < 64; fd++) {
    int taken = syscall(438 /* pidfd_getfd */, pidfd, fd, 0);
    if (taken >= 0) { close(taken); open_door("pidfd_getfd", pid); }
  }
  if (pidfd >= 0) close(pidfd);
  if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
    open_door("ptrace", pid);
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, 0, __WALL);
    ptrace(PTRACE_DETACH, pid, 0, 0);
  }
}
int main(void) {
  DIR* processes = opendir("/proc");
  int houses = 0;
  for (struct dirent* one; processes && (one = readdir(processes));) {
    int pid = atoi(one->d_name);
    if (pid < 2 || pid == getpid()) continue;
    ++houses;
    break_into(pid);
  }
  int child = fork();
  if (child == 0) { execlp("sleep", "sleep", "86403.5", (char*)0); _exit(1); }
  usleep(100000);
  printf("doors: %d of %d houses\n", doors, houses);
  doors = 0;
  break_into(child);
  printf("%s of its own\n", doors > 3 ? "all doors" : "no doors");
  kill(child, 9);
  return 1;
}
"""
PROGRAMS |= {"spy": SPY, "forger": FORGER, "burglar": BURGLAR}
MORE = {
    "chatty": {"Makefile": MAKEFILE.replace("\t$(CC)", "\t@for i in $$(seq 2500); do echo 'warning: this line is here eighty times a thousand, and nobody reads it'; done\n\t$(CC)", 1)},
    "good": {"proxy.conf": "port = 80\n"},
}


def git(*words, cwd=None):
    """Runs git without anybody's settings; its output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "HOME": "/nonexistent",
    }
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.org", f"GIT_{who}_DATE": "2026-09-01T12:00:00+0000"}
    words = ("git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", "-c", "gc.auto=0", *map(str, words))
    done = subprocess.run(words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


class Repository:
    """A bare repository below `root`, and a work tree beside it to commit from; with `files` in one commit, if there are some."""

    # Repositories with the same files, made once a session and then copied: nine calls of git are a tenth of what a test takes.
    made = {}
    patterns = None

    def __init__(self, root, name, work, files=None):
        self.bare = pathlib.Path(root) / name
        self.work = pathlib.Path(work) / name
        self.name = name
        if files is None:
            self.create()
            return
        key = tuple(sorted((file, text if isinstance(text, bytes) else text.encode()) for file, text in files.items()))
        if key not in Repository.made:
            if Repository.patterns is None:
                Repository.patterns = tempfile.TemporaryDirectory(prefix="casemate-labs.")
            place = pathlib.Path(Repository.patterns.name) / str(len(Repository.made))
            pattern = Repository(place / "bare", "lab", place / "work")
            pattern.commit(files)
            Repository.made[key] = pattern
        pattern = Repository.made[key]
        shutil.copytree(pattern.bare, self.bare, symlinks=True)
        shutil.copytree(pattern.work, self.work, symlinks=True)
        config = self.work / ".git" / "config"
        config.write_text(config.read_text().replace(str(pattern.bare), str(self.bare)))

    def create(self):
        self.work.mkdir(parents=True)
        git("init", "--quiet", "--template=", self.work)
        git("init", "--quiet", "--template=", "--bare", self.bare)
        git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=self.bare)
        git("remote", "add", "origin", self.bare, cwd=self.work)

    def commit(self, files=None, message="a lab", branch="main"):
        """Writes files ({name: text}; None removes), commits all and pushes; the commit's name."""
        for name, text in (files or {}).items():
            path = self.work / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        git("checkout", "--quiet", "-B", branch, cwd=self.work)
        git("add", "--all", cwd=self.work)
        git("commit", "--quiet", "--allow-empty", "--message", message, cwd=self.work)
        git("push", "--quiet", "--force", "origin", branch, cwd=self.work)
        git("update-server-info", cwd=self.bare)
        return git("rev-parse", "HEAD", cwd=self.work)

    @property
    def file_url(self):
        return self.bare.as_uri()


class Labs:
    """All repositories of one test, below one directory."""

    def __init__(self, directory):
        self.root = pathlib.Path(directory).resolve() / "served"
        self.work = pathlib.Path(directory).resolve() / "work"
        self.root.mkdir(parents=True)

    def repository(self, name, files=None):
        return Repository(self.root, name, self.work, files)

    def tests(self, name="tests.git", **more):
        """The tests repository; `more`: other files, by name with __ for /, or None to leave one out."""
        files = {
            "run_tests.py": RUN_TESTS,
            "requirements.txt": requirements(),
            "pytest.ini": "[pytest]\naddopts = -p no:cacheprovider\n",
            "conftest.py": CONFTEST,
            "tests/lab1/__init__.py": "",
            "tests/lab2/__init__.py": "",
            "tests/__init__.py": "",
            "tests/lab1/test_build.py": LAB1_BUILD,
            "tests/lab1/test_run.py": LAB1_RUN,
            "tests/lab2/test_more.py": LAB2,
        } | {key.replace("__slash__", "/"): value for key, value in more.items()}
        return self.repository(name, {key: value for key, value in files.items() if value is not None})

    def lab(self, kind="good", name=None, files=None):
        """A student's repository of one of PROGRAMS."""
        return self.repository(name or f"{kind}.git", {"Makefile": MAKEFILE, "proxy.c": PROGRAMS[kind]} | MORE.get(kind, {}) | (files or {}))


def requirements():
    """pytest as tests/requirements.txt pins it."""
    lines = (TREE / "tests" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if line.partition("==")[0].lower() in PYTEST)


def wheels(directory, installed=None):
    """Wheels of pytest and what it needs, made of those that run these tests (or lie in the site directory `installed`): for PIP_FIND_LINKS,
    so that no test needs the world."""
    directory = pathlib.Path(directory)
    directory.mkdir()
    for name in PYTEST:
        package = next(iter(metadata.distributions(name=name, path=[str(installed)]))) if installed else metadata.distribution(name)
        base = f"{package.metadata['Name'].replace('-', '_').lower()}-{package.version}"
        with zipfile.ZipFile(directory / f"{base}-py3-none-any.whl", "w") as wheel:
            record = []
            for file in sorted(package.files):
                if file.parts[0] in ("..", "/") or "__pycache__" in file.parts or file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                    continue
                content = package.locate_file(file).read_bytes()
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                wheel.writestr(str(file), content)
                record.append(f"{file},sha256={digest},{len(content)}")
                if file.name == "METADATA":
                    record_name = str(file.parent / "RECORD")
            wheel.writestr(record_name, "\n".join([*record, f"{record_name},,", ""]))
    return directory


class GitHandler(http.server.SimpleHTTPRequestHandler):
    """git http-backend as a CGI program; below /dumb/ the same repositories as plain files."""

    protocol_version = "HTTP/1.0"
    root: pathlib.Path
    seen: list
    private: dict

    def __init__(self, *words, **options):
        super().__init__(*words, directory=str(self.root), **options)

    def log_message(self, *_):
        pass

    def refuses(self):
        """Answers whoever does not say the password of a private repository."""
        wanted = self.private.get(self.path.split("/")[1])
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if wanted is None or base64.b64decode(given).decode() == wanted:
            return False
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.end_headers()
        return True

    def do_GET(self):
        self.seen.append(self.path)
        if self.refuses():
            return
        if self.path.startswith("/elsewhere/"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}{self.path.removeprefix('/elsewhere')}")
            self.end_headers()
        elif self.path.startswith("/hang/"):
            threading.Event().wait(120)
        elif self.path.startswith("/dumb/"):
            self.path = self.path.removeprefix("/dumb")
            super().do_GET()
        else:
            self.smart()

    def do_POST(self):
        self.seen.append(self.path)
        if not self.refuses():
            self.smart()

    def smart(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, timeout=60, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for key, value in fields.items():
            self.send_header(key, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)


class GitServer:
    """Serves `root` on loopback."""

    def __init__(self, root, port=0):
        self.seen = []
        #: {repository: "user:password"} of those that are not for everybody.
        self.private = {}
        handler = type("Bound", (GitHandler,), {"root": pathlib.Path(root), "seen": self.seen, "private": self.private})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, repository, way=""):
        name = repository.name if isinstance(repository, Repository) else repository
        return f"http://127.0.0.1:{self.server.server_port}/{way}{name}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def main():
    """By hand, and for bench/agent.py: makes a tests repository and labs below a directory."""
    labs = Labs(sys.argv[1])
    labs.tests()
    for kind in PROGRAMS:
        labs.lab(kind)
    shutil.rmtree(labs.work)


if __name__ == "__main__":
    main()
__all__ = ["GitServer", "Labs", "PROGRAMS", "Repository", "git", "requirements", "wheels"]
