"""`casemate agent` against students who do not mean well: what they write, what their repositories are, what they leave behind."""

import json
import os
import pathlib
import platform
import threading
import time

import pytest
from agents import FIRST, files_with, processes
from labs import HELLO, RUN_TESTS, git
from py_test_runner import gone

SECRET = "s3cret-of-the-teacher"


def survives(world):
    """The agent that was started still grades."""
    graded = world.grade("good", **FIRST)
    assert graded.passed is True and world.agents[0].process.poll() is None


@pytest.mark.parametrize("way", ["environment", "file", "flag"])
def test_no_secret_reaches_a_cell_a_log_a_file_or_a_process_list(world, way):
    world.start_backend(auth=True, users={"dora_explorer": [SECRET, True]})
    environment, words = {}, []
    if way == "environment":
        environment["CASEMATE_AGENT_PASSWORD"] = SECRET
    elif way == "file":
        (world.directory / "secret").write_text(SECRET + "\n")
        (world.directory / "secret").chmod(0o600)
        words = ["--password-file", world.directory / "secret"]
    else:
        words = ["--password", SECRET]
    log = world.directory / "agent.log"
    seen, over = {}, threading.Event()

    def watch():
        while not over.is_set():
            for pid, (line, variables) in processes().items():
                if SECRET.encode() in line or (SECRET.encode() in variables and pid != agent.pid):
                    seen[pid] = line
            time.sleep(0.01)

    agent = world.start("--auth", "--logger-level", "debug", "--logger-output", log, *words, environment=environment)
    world.backend.wait(lambda state: state["record"])  # by now it has hidden what its command line said
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        graded = world.grade("spy", **FIRST)
    finally:
        over.set()
        watcher.join()
    assert graded.passed is False
    said = graded.by_name["test_greets"]["description"]
    assert "the spy was here" in said
    tokens = [json.loads(one["body"]).get("refreshToken", SECRET) for one in world.backend.requests("refresh")]
    tokens += [one["headers"]["Authorization"].removeprefix("Bearer ") for one in world.backend.requests("get")]
    assert tokens
    for word in {SECRET, "dora_explorer", *tokens}:
        assert word not in json.dumps(graded.body)
        assert word not in log.read_text() or word == "dora_explorer"
        assert word not in agent.said or word == "dora_explorer"
    for word in {SECRET, *tokens}:
        assert files_with(word, world.state) == []
    assert seen == {}
    # The host's own: nothing of /etc/shadow, no process but the cell's.
    host = pathlib.Path("/etc/shadow")
    if os.access(host, os.R_OK):
        for line in host.read_text().splitlines():
            if line.count(":") > 2 and len(line.split(":")[1]) > 10:
                assert line.split(":")[1] not in json.dumps(graded.body)
    assert "casemate-agent" not in said and "CASEMATE_STATE_DIR" not in said


def test_one_that_kills_the_tests(world):
    graded = world.grade("parricide", laboratoryNumber=1)
    assert (graded.passed, graded.error) == (False, True) and graded.details
    survives(world)


def test_one_that_forges_the_report(world):
    graded = world.grade("forger", laboratoryNumber=1)
    assert graded.passed is False  # test_greets and test_configured fail, whatever report.xml says
    survives(world)


# Has pytest end with status 0, two seconds after it is done: writes that into its memory, where exit(3) is. Meanwhile somebody else writes a report.
SURGEON = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
static unsigned long libc_of(int pid) {
  char path[64], line[1024];
  unsigned long at = 0;
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE* file = fopen(path, "r");
  while (file && !at && fgets(line, sizeof line, file)) if (strstr(line, "libc.so") || strstr(line, "libc-2")) at = strtoul(line, 0, 16);
  return at;
}
int main(void) {
  /* nanosleep({2, 0}, 0); exit_group(0) */
  unsigned char code[] = {0xb8, 35, 0, 0, 0, 0x48, 0x8d, 0x3d, 16, 0, 0, 0, 0x31, 0xf6, 0x0f, 0x05, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05,
                          0x90, 0x90, 0x90, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  char path[64];
  unsigned long theirs = libc_of(getppid());
  snprintf(path, sizeof path, "/proc/%d/mem", getppid());
  int memory = open(path, O_RDWR);
  printf("maps %d, memory %d\n", theirs != 0, memory >= 0);
  if (theirs && memory >= 0) pwrite(memory, code, sizeof code, theirs + ((unsigned long)dlsym(RTLD_DEFAULT, "exit") - libc_of(getpid())));
  if (fork() != 0) return 0;
  setsid();
  if (fork() != 0) _exit(0);
  for (int fd = 0; fd < 3; fd++) { close(fd); open("/dev/null", O_RDWR); }
  for (;; usleep(50000)) {
    FILE* file = fopen("/work/report/report.xml", "r+");
    if (!file) continue;
    fseek(file, 0, SEEK_END);
    if (ftell(file) < 100) { fclose(file); continue; }
    fclose(file);
    usleep(200000);
    file = fopen("/work/report/report.xml", "w");
    fputs("<?xml version='1.0'?><testsuites><testsuite name='pytest' tests='1' time='0.1'>"
          "<testcase classname='tests.lab1.test_run' name='test_greets' time='0.1'/></testsuite></testsuites>", file);
    fclose(file);
    return 0;
  }
}
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="writes x86's instructions")
def test_one_that_changes_how_the_tests_end(world):
    world.labs.lab("good", name="surgeon.git", files={"proxy.c": SURGEON})
    graded = world.grade("surgeon", **FIRST)
    # Its report may come after pytest's, and is not believed then: an error.
    assert graded.passed is False, graded
    assert "maps 0, memory 0" in world.artifact("output.txt").decode()
    survives(world)


AGAIN = "import os, subprocess, sys\nsys.exit(subprocess.run([sys.executable, 'inner.py', *sys.argv[1:]], env={'PATH': os.environ['PATH']}).returncode)\n"


@pytest.mark.parametrize("command", ["python run_tests.py", "python -m inner", "env python3 inner.py", "sh inner.sh", "python again.py"])
def test_nobody_gets_into_a_python_that_runs_tests(world, command):
    """However it is started. And its own children a program may debug."""
    files = {"inner.py": RUN_TESTS, "again.py": AGAIN, "inner.sh": 'exec python inner.py "$@"\n'}
    more = "import pytest\n\ndef test_greets(proxy):\n    pytest.fail(proxy().stdout, pytrace=False)\n"
    world.tests = world.labs.tests(**files, **{"tests/lab1/test_run.py": more})
    graded = world.grade("burglar", "--tests-command", command, **FIRST)
    said = graded.by_name["test_greets"]["description"]
    assert f"doors: 0 of {2 if 'again' in command else 1} houses" in said and "all doors of its own" in said, said
    assert (graded.error, graded.passed) == (False, False)


def test_one_that_writes_the_expected_results(world):
    """Of this very run: the next one has other tests anyway."""
    world.tests = world.labs.tests(
        **{
            "tests__slash__lab1__slash__expected.py": "WORDS = 'hello'\n",
            "tests__slash__lab1__slash__test_run.py": "def test_greets(proxy):\n    said = proxy().stdout.strip()\n    from tests.lab1.expected import WORDS\n    assert said == WORDS\n",
        }
    )
    makefile = "all:\n\t-echo \"WORDS = 'good bye'\" > /work/tests/tests/lab1/expected.py\n\t-echo > /work/tests/tests/lab1/new.py\n\t$(CC) -o proxy proxy.c\n"
    world.labs.lab("wrong", name="author.git", files={"Makefile": makefile})
    graded = world.grade("author", **FIRST)
    assert (graded.error, graded.verdicts) == (False, {"test_greets": False}), graded


# What a script sees of the way in which it was started; the same as from Python itself.
ABOUT = """
import __main__, inspect, multiprocessing, os, subprocess, sys
def double(n):
    return 2 * n
if __name__ == "__main__":
    print([__name__, __file__, sys.path[0], sys.argv[0], __main__.__file__, __doc__], inspect.getsource(double), "_casemate" in globals())
    print(multiprocessing.get_context("spawn").Pool(1).map(double, [21]), subprocess.run(["sh", "-c", "echo out > /dev/stderr; ls /proc/self/fd | wc -l"]).returncode)
    sys.exit("the end")
"""


def test_a_script_sees_nothing_of_what_protects_it(world):
    world.tests = world.labs.tests(**{"run_tests.py": ABOUT, "more/run.py": ABOUT})
    world.start_backend()
    world.lab("good")

    def said_by(command):
        key = world.task("good")
        agent = world.start("--once", "--tests-command", command)
        assert "left no report" in world.backend.wait_for(key).details
        agent.wait()
        return world.artifact("output.txt").decode()

    for command, at in (["python run_tests.py", "run_tests.py"], ["python ./more/run.py", "./more/run.py"]):
        place = f"/work/tests/{at.removeprefix('./')}"
        said = said_by(command)
        head = f"['__main__', '{place}', '{os.path.dirname(place)}', '{at}', '{place}', None]"
        assert head in said and "def double(n):" in said and "[42] 0" in said and "False\n" in said, said
        assert "the end\n" in said, said  # before or after the rest: stdout and stderr are two pipes
    assert "can't open file" in said_by("python nosuch.py")


def test_a_fork_bomb(world):
    graded = world.grade("bomb", "--proxy-timeout", "2", "--timeout", "12", laboratoryNumber=1)
    assert graded.passed is False
    survives(world)


def test_one_that_eats_memory(world):
    graded = world.grade("hungry", "--memory", "256M", "--proxy-timeout", "20", "--timeout", "60", **FIRST)
    assert graded.passed is False
    survives(world)


def test_one_that_leaves_a_daemon(world):
    graded = world.grade("daemon", **FIRST)
    assert graded.passed is True
    assert gone("86401.25")


def test_no_network_for_the_tests(world):
    program = (
        "#include <stdio.h>\n#include <arpa/inet.h>\n#include <sys/socket.h>\nint main(void) {\n"
        "  int fd = socket(AF_INET, SOCK_STREAM, 0);\n"
        f"  struct sockaddr_in to = {{.sin_family = AF_INET, .sin_port = htons({world.start_backend().port})}};\n"
        '  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);\n'
        '  return puts(connect(fd, (struct sockaddr*)&to, sizeof to) ? "hello" : "connected") < 0;\n}\n'
    )
    world.labs.lab("good", name="caller.git", files={"proxy.c": program})
    assert world.grade("caller", **FIRST).passed is True  # "hello": it could not


def test_the_students_writes_stay_in_the_cell(world):
    lab = world.labs.lab("good", name="writer.git", files={"Makefile": "all:\n\techo gone > ../../../outside; echo x > /tmp/casemate-e2e-writer; $(CC) -o proxy proxy.c\n"})
    before = git("rev-parse", "main", cwd=lab.bare)
    assert world.grade("writer", **FIRST).passed is True
    assert not pathlib.Path("/tmp/casemate-e2e-writer").exists()
    assert git("rev-parse", "main", cwd=lab.bare) == before
    assert files_with("gone\n", world.state) == []


def test_the_tests_cannot_be_changed_for_the_next_student(world):
    """A program that rewrites the tests' tree, its environment and the project's neighbours."""
    program = (
        "#include <stdlib.h>\nint main(void) {\n"
        "  return system(\"for f in $(find / -xdev -name test_run.py 2>/dev/null); do echo 'def test_greets(): pass' > $f; done; echo hello\");\n}\n"
    )
    world.labs.lab("wrong", name="rewriter.git", files={"proxy.c": program})
    world.grade("rewriter", **FIRST)
    assert world.grade("wrong", **FIRST).verdicts == {"test_greets": False}


def test_options_in_urls_and_branches_are_no_options(world):
    world.start_backend()
    world.start("--allow-file-urls")
    marker = world.directory / "marker"
    good = world.lab("good")
    tasks = [
        (f"--upload-pack=touch {marker}", "main"),
        (f"ext::sh -c touch% {marker}", "main"),
        (f"-u touch {marker}", "main"),
        (good, f"--upload-pack=touch {marker}"),
        (good, "-h"),
        (good, "main:refs/heads/x"),
        (good, "../../etc"),
        (f"ssh://-oProxyCommand=touch {marker}/x", "main"),
        ("http://127.0.0.1:1/\n\nHost: x", "main"),
        ("\x1b[2J" + good, "main\x1b[31m"),
    ]
    for url, branch in tasks:
        graded = world.backend.wait_for(world.backend.task(url, branch))
        assert (graded.error, graded.cases) == (True, []), (url, branch)
        assert not marker.exists()
        assert "\x1b" not in world.agents[0].said
    survives(world)


@pytest.mark.parametrize("url", ["/etc", "file:///etc", "ext::sh -c touch% /tmp/casemate-e2e-ext", "../good.git"])
def test_submodules_of_the_host_are_not_followed(world, url):
    lab = world.labs.lab("good", name="parent.git")
    other = world.labs.lab("good", name="other.git")
    commit = git("rev-parse", "main", cwd=other.bare)
    lab.commit({".gitmodules": f'[submodule "part"]\n\tpath = part\n\turl = {url}\n'})
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},part", cwd=lab.work)
    git("commit", "--quiet", "--message", "part", cwd=lab.work)
    git("push", "--quiet", "origin", "main", cwd=lab.work)
    graded = world.grade("parent", **FIRST)
    if url.startswith("."):  # a neighbour on the same server, which lacks that commit or has it
        assert graded is not None
    else:
        assert (graded.error, graded.passed) == (True, False)
    assert not pathlib.Path("/tmp/casemate-e2e-ext").exists()


def test_links_out_of_the_repository_lead_nowhere(world):
    lab = world.labs.lab("good", name="links.git")
    (lab.work / "outside").symlink_to("/etc/shadow")
    (lab.work / "self").symlink_to("self")
    (lab.work / "proxy.conf").unlink()
    (lab.work / "proxy.conf").symlink_to(world.directory / "state")
    lab.commit()
    graded = world.grade("links", laboratoryNumber=1)
    assert graded.verdicts["test_greets"] is True and graded.verdicts["test_configured"] is False


def test_hooks_and_attributes_of_a_repository_run_nothing(world):
    lab = world.labs.lab("good", name="hooked.git")
    marker = world.directory / "hooked"
    (lab.bare / "hooks").mkdir(exist_ok=True)
    for hook in ("post-checkout", "post-merge"):
        path = lab.bare / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {marker}\n")
        path.chmod(0o755)
    lab.commit({".gitattributes": "*.c filter=evil diff=evil\n", ".gitconfig": f"[filter \"evil\"]\n\tsmudge = touch {marker}\n"})
    assert world.grade("hooked", **FIRST).passed is True
    assert not marker.exists()


def test_names_that_are_not_for_a_terminal(world):
    lab = world.labs.lab("good", name="names.git", files={"\x1b[31mred": "x", "a\nb": "y", "q\xff": "z"})
    lab.commit({"proxy.c": HELLO.replace('"hello"', '"\\033]0;owned\\007hello"')})
    graded = world.grade("names", "--logger-level", "debug", **FIRST)
    assert graded.passed is False
    assert "\x1b" not in world.agents[0].said
    page = world.artifact("report.html").decode()
    assert "\x1b" not in page and "<script>alert" not in page


REPORTS = {
    "entities": '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><testsuites><testsuite time="1"><testcase classname="tests.x" name="&b;"/></testsuite></testsuites>',
    "external": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><testsuites><testsuite time="1"><testcase classname="tests.x" name="n"><failure>&a;</failure></testcase></testsuite></testsuites>',
    "cut": '<testsuites><testsuite time="1"><testcase classname="tests.x" na',
    "empty": "",
    "not-xml": "PASSED",
    "deep": "<a>" * 50000,
    "no-cases": '<testsuites><testsuite time="1"/></testsuites>',
    "link": None,
}


@pytest.mark.parametrize("kind", REPORTS)
def test_reports_that_are_hostile_are_errors(world, kind):
    path = 'sys.argv[sys.argv.index("--junit-xml") + 1]'
    write = f"open({path}, 'w').write({REPORTS[kind]!r})" if kind != "link" else f"os.symlink('/etc/passwd', {path})"
    world.tests = world.labs.tests(**{"run_tests.py": f"import os, sys\n{write}\n"})
    graded = world.grade("good")
    assert (graded.passed, graded.error) == (False, True) and "root:" not in json.dumps(graded.body)
    assert "aaaaaaaaaaaaaaaaaaaa" not in json.dumps(graded.body)


def test_output_without_end_is_bounded(world):
    world.tests = world.labs.tests(**{"run_tests.py": "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)\n"})
    graded = world.grade("good", "--timeout", "30")
    assert (graded.passed, graded.error) == (False, True)
    assert len(world.artifact("output.txt")) < 100 << 20


def test_a_repository_without_end_is_bounded(world):
    """A server that sends for ever, and one that never does."""
    world.start_backend()
    world.start("--timeout", "5")
    hanging = world.backend.task(world.git.url("hang/x.git"))
    survives(world)
    assert world.backend.result(hanging) is None
