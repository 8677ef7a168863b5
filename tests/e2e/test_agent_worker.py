"""casemate-agent worker: one task with real repositories, compilers and hostile programs."""

import os
import pathlib
import signal
import subprocess
import time

import pytest
from agents import below, without_limits
from repositories import AGENT, HELLO, RUN_TESTS, dumb_server, git, git_daemon
from py_test_runner import TREE

ALL = {"test_build::test_make": "passed", "test_run::test_hello": "passed", "test_run::test_source_is_there": "passed"}
PRINT_ARGUMENTS = ["python3", "-c", "import sys, os; print(sys.argv[1:], os.getcwd())"]
ENDLESS = "int main(void) { for (;;) { } }\n"


def program(body, includes=()):
    lines = [f"#include <{name}.h>" for name in ("stdio", "stdlib", "unistd", "signal", "string", *includes)]
    return "\n".join(lines) + f"\nint main(void) {{ {body} }}\n"


def test_a_task_from_clone_to_grade(lab):
    student = lab.student()
    place = lab.grade(student.url)
    assert place.error is None, place.read("output.txt")
    assert place.cases == ALL
    commit = git(student.path, "rev-parse", "HEAD")
    assert place.json("grade.json")["commit"] == place.steps["clone"]["commit"] == commit
    assert commit in place.read("report.html")
    assert list(place.steps) == ["clone", "tests", "environment", "run", "report"]
    assert all(step["problem"] == "" for step in place.steps.values())
    assert all(one["memory_kib"] > 1000 for one in place.json("grade.json")["cases"])
    assert "<testcase" in place.read("report.xml")
    assert "test_make" in place.read("report.html")
    assert sorted(os.listdir(place.path)) == ["grade.json", "order.json", "output.txt", "report.html", "report.xml", "steps.json"]
    again = lab.grade(lab.student(name="another").url)
    assert again.cases == ALL
    assert again.steps["tests"]["cached"] and again.steps["environment"]["cached"]


def test_what_the_command_is_told(lab):
    place = lab.grade(
        lab.student().url,
        tests_command=PRINT_ARGUMENTS,
        proxy_timeout_ms=2500,
        task={"laboratoryNumber": [1, 3], "connectedTests": ["test_a", "test_b[x-1]"]},
    )
    words = ["--src", "/work/project", "--junit-xml", "/work/report/report.xml", "-k", "test_a or test_b[x-1]", "--lab-num", "1", "3"]
    assert place.read("output.txt") == f"{[*words, '--proxy_timeout', '2.5']} /work/tests\n"
    assert "left no report" in place.error
    plain = lab.grade(lab.student(name="b").url, tests_command=PRINT_ARGUMENTS, proxy_timeout_ms=0, task={"laboratoryNumber": []})
    assert plain.read("output.txt") == f"{words[:4]} /work/tests\n"


def test_the_tests_asked_for_are_those_that_run(lab):
    place = lab.grade(lab.student().url, task={"connectedTests": ["test_make"]})
    assert place.error is None
    assert place.cases == {"test_build::test_make": "passed"}


@pytest.mark.parametrize(
    ("url", "branch", "told"),
    [
        ("file:///nowhere/x.git", "main", "repository 'file:///nowhere/x.git' does not exist"),
        ("justaname", "main", "repository 'justaname' does not exist"),
        ("ext::sh -c touch% /tmp/x", "main", "transport 'ext' not allowed"),
        ("http://127.0.0.1:1/x.git", "main", "unable to access 'http://127.0.0.1:1/x.git/'"),
        ("--upload-pack=touch /tmp/x", "main", "can't be used"),
        (None, "--upload-pack=x", "can't be used"),
        (None, "missing", "Remote branch missing not found"),
    ],
)
def test_what_cannot_be_cloned_is_an_error_in_gits_words(lab, url, branch, told):
    place = lab.grade(url or lab.student().url, task={"branch": branch})
    assert told in place.error
    assert "\n" not in place.error
    assert place.cases == {}
    assert "run" not in place.steps
    assert not (place.path / "report.xml").exists()


def test_paths_of_this_machine_are_refused_unless_allowed(lab):
    for url in (lab.student().url, str(lab.directory / "student")):
        place = lab.grade(url, tests="http://127.0.0.1:1/tests", allow_file_urls=False)
        assert "files of this machine are not allowed" in place.error


def test_a_branch_with_a_slash(lab):
    student = lab.student("int main(void) { return 1; }\n")
    git(student.path, "checkout", "-q", "-b", "feature/lab/1")
    student.commit({"hello.c": HELLO})
    git(student.path, "checkout", "-q", "main")
    assert lab.grade(student.url, task={"branch": "feature/lab/1"}).cases == ALL
    assert lab.grade(student.url, task={"branch": "main"}).cases["test_run::test_hello"] == "failed"
    assert "can't be used" in lab.grade(student.url, task={"branch": ""}).error  # never another one instead


def test_an_empty_repository_is_an_error(lab):
    (lab.directory / "empty").mkdir()
    git(lab.directory / "empty", "init", "-q", "-b", "main")
    assert "branch main not found" in lab.grade(f"file://{lab.directory}/empty").error


def test_submodules_come_by_a_git_server(lab):
    with git_daemon(lab.directory) as server:
        lab.repository("part", {"part.h": '#define TEXT "hello"\n'})
        student = lab.student('#include <stdio.h>\n#include "part/part.h"\nint main(void) { puts(TEXT); return 0; }\n')
        git(student.path, "-c", "protocol.git.allow=always", "submodule", "add", "-q", f"{server}/part", "part")
        git(student.path, "commit", "-q", "-m", "part")
        place = lab.grade(f"{server}/student")
        assert place.cases == ALL, place.error
        # Not the newest commit of a part: what a shallow clone can't always have.
        lab_part = lab.directory / "part"
        (lab_part / "part.h").write_text("#error newer\n")
        git(lab_part, "commit", "-q", "-a", "-m", "newer")
        assert lab.grade(f"{server}/student").cases == ALL


def test_a_submodule_by_ext_is_refused(lab):
    student = lab.student()
    (student.path / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% /work/tree/made\n')
    commit = git(student.path, "rev-parse", "HEAD")
    git(student.path, "update-index", "--add", "--cacheinfo", f"160000,{commit},x")
    git(student.path, "add", ".gitmodules")
    git(student.path, "commit", "-q", "-m", "x")
    assert "transport 'ext' not allowed" in lab.grade(student.url).error


def test_a_server_without_shallow_clones_is_cloned_whole_and_its_password_stays_outside(lab):
    student = lab.student()
    git(lab.directory, "clone", "-q", "--bare", "student", "digit.git")
    git(lab.directory / "digit.git", "update-server-info")
    with dumb_server(lab.directory) as port:
        assert lab.grade(f"http://127.0.0.1:{port}/digit.git").cases == ALL
        look = ["sh", "-c", "ls -a /work/project; cat /work/project/.git/config; env"]
        place = lab.grade(f"http://user:sesame@127.0.0.1:{port}/digit.git", tests_command=look)
        assert "hello.c" in place.read("output.txt")
        place.path.joinpath("order.json").unlink()
        for name in os.listdir(place.path):
            assert "sesame" not in place.read(name)
        failed = lab.grade(f"http://user:sesame@127.0.0.1:{port}/other.git")
        assert "other.git/' not found" in failed.error
        assert "sesame" not in failed.error
    assert student.path.exists()


def test_tests_are_never_stale(lab):
    student = lab.student()
    assert lab.grade(student.url).cases == ALL
    commit = lab.tests.commit({"tests/test_run.py": "def test_new():\n    pass\n"})
    place = lab.grade(student.url)
    assert place.cases == {"test_build::test_make": "passed", "test_run::test_new": "passed"}
    assert place.steps["tests"]["commit"] == commit
    git(lab.tests.path, "tag", "-a", "v1", "-m", "v1", "HEAD~1")
    assert lab.grade(student.url, tests_revision="v1").cases == ALL
    assert lab.grade(student.url, tests_revision=commit).cases == place.cases
    assert "has no branch or tag 'v2'" in lab.grade(student.url, tests_revision="v2").error


def test_a_tests_repository_that_cannot_be_had_is_an_error(lab):
    place = lab.grade(lab.student().url, tests="file:///nowhere/tests")
    assert place.error == "the tests repository can't be had: repository 'file:///nowhere/tests' does not exist"


def test_requirements_without_pytest_are_named(lab):
    lab.tests.commit({"requirements.txt": "# nothing\n"})
    assert "there is no pytest; name it in the tests' requirements.txt" in lab.grade(lab.student().url).error


def test_requirements_outside_of_the_tests_are_refused(lab):
    (lab.tests.path / "requirements.txt").unlink()
    lab.tests.commit({"requirements.txt": pathlib.Path("/etc/hostname")})
    student = lab.student()
    assert "no file of their repository" in lab.grade(student.url).error
    (lab.tests.path / "requirements.txt").unlink()
    lab.tests.commit({"requirements.txt": "-r ../../etc/hostname\n"})
    assert "no file of their repository" in lab.grade(student.url).error


def test_links_out_of_a_repository_lead_nowhere(lab):
    secret = lab.directory / "secret"
    secret.write_text("of the host\n")
    student = lab.student(leak=secret, out=pathlib.Path("/root"))
    place = lab.grade(student.url, tests_command=["sh", "-c", "cd /work/project; cat leak; echo x > leak; ls out/"])
    assert "of the host" not in place.read("output.txt")
    assert secret.read_text() == "of the host\n"
    assert lab.grade(student.url).cases == ALL


def test_a_compile_error_fails_its_case(lab):
    place = lab.grade(lab.student("int main(void) { return }\n").url)
    assert place.error is None
    assert place.cases == ALL | {"test_build::test_make": "failed", "test_run::test_hello": "failed"}
    assert "error: expected expression" in place.read("output.txt")


def test_a_program_that_never_ends_fails_its_case(lab):
    place = lab.grade(lab.student(ENDLESS).url, proxy_timeout_ms=500)
    assert place.error is None
    assert place.cases == ALL | {"test_run::test_hello": "failed"}


def test_the_timeout_keeps_what_had_finished(lab):
    place = lab.grade(lab.student(ENDLESS).url, timeout_ms=4000, proxy_timeout_ms=100_000)
    assert place.error == "Timeout, tests run ran more than:4 seconds"
    assert place.cases == {"test_build::test_make": "passed"}


def test_a_command_that_ignores_the_interrupt_is_ended(lab):
    place = lab.grade(lab.student().url, timeout_ms=500, tests_command=["sh", "-c", "trap '' INT; sleep 1000"])
    assert place.error == "Timeout, tests run ran more than:0.5 seconds"
    assert place.cases == {}


def test_two_hundred_kilobytes_of_output_block_nobody(lab):
    loud = "hello: hello.c\n\tseq 1 40000\n\tseq 1 40000 >&2\n\t$(CC) -o $@ hello.c\n"
    place = lab.grade(lab.student(makefile=loud).url)
    assert place.cases == ALL
    assert len(place.read("output.txt")) > 200_000
    assert place.steps["report"]["notes"] == []


def test_output_without_end_is_an_error_and_bounded(lab):
    place = lab.grade(lab.student(makefile="hello:\n\tyes\n").url, limits={"memory_bytes": 1 << 30, "output_bytes": 8 << 20})
    assert "output limit" in place.error
    assert len(place.read("output.txt")) < 2 << 20


def test_a_fork_bomb_fails_alone(lab):
    place = lab.grade(lab.student(program("for (;;) fork();")).url, proxy_timeout_ms=1000, timeout_ms=5000)
    assert place.cases.get("test_run::test_hello") != "passed"
    assert lab.grade(lab.student(name="next").url).cases == ALL


def test_memory_without_end_is_its_own_failure(lab):
    eater = program("for (;;) { char *p = malloc(1 << 20); if (!p) return 1; memset(p, 1, 1 << 20); }")
    place = lab.grade(lab.student(eater).url, limits={"memory_bytes": 256 << 20, "pids": 64})
    assert place.cases.get("test_run::test_hello") != "passed"


def test_nothing_of_the_host_is_to_be_read(lab):
    look = program('system("cat /etc/shadow; env; cat /proc/*/environ /proc/*/cmdline; ls /root /home /var/tmp /work"); puts("hello");')
    place = lab.grade(lab.student(look).url)
    for name in os.listdir(place.path):
        text = place.read(name)
        assert "root:" not in text
        assert "hunter2hunter2" not in text
        assert name == "order.json" or str(lab.directory) not in text or name == "report.html"


def test_there_is_no_network_for_tests(lab):
    with dumb_server(lab.directory) as port:
        fetch = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=5)"
        place = lab.grade(lab.student().url, tests_command=["python", "-c", fetch])
    assert "Connection refused" in place.read("output.txt")


def test_killing_the_parent_is_an_error(lab):
    place = lab.grade(lab.student(program("kill(getppid(), SIGKILL); pause();")).url)
    assert "signaled 9" in place.error
    assert place.cases == {}


FORGED = (
    '<?xml version=\\"1.0\\"?><testsuites><testsuite tests=\\"1\\" time=\\"1.0\\">'
    '<testcase classname=\\"tests.test_run\\" name=\\"test_hello\\" time=\\"0.1\\"/></testsuite></testsuites>'
)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_report_that_somebody_else_writes_too_is_an_error(lab, when):
    """After pytest's, with a case that has failed, as its exit status says: the others may not have passed."""
    forged = FORGED.replace("</testsuite>", '<testcase classname=\\"tests.test_run\\" name=\\"test_other\\" time=\\"0.1\\"><failure/></testcase></testsuite>')
    forge = f'FILE *f = fopen("/work/report/report.xml", "w"); fputs("{forged}", f); fclose(f); return 1;'
    wait = 'if (fork() != 0) return 1; setsid(); for (int fd = 0; fd < 3; fd++) close(fd); while (access("/work/report/report.xml", F_OK) != 0) usleep(100); usleep(100000);'
    runner = "import atexit, time\natexit.register(time.sleep, 1)\n"
    lab.tests.commit({"run_tests.py": runner + RUN_TESTS})
    place = lab.grade(lab.student(program(forge if when == "before" else wait + forge)).url)
    assert "report.xml was written 2 times: by something else than the tests, perhaps" in place.error, place.read("output.txt")
    assert place.cases == {}


def test_a_report_forged_by_a_process_left_behind_is_an_error_and_the_process_is_named(lab):
    body = f"""
        if (fork() == 0) {{
          setsid(); close(1);
          for (;;) {{ FILE *f = fopen("/work/report/.new", "w"); fputs("{FORGED}", f); fclose(f); rename("/work/report/.new", "/work/report/report.xml"); }}
        }}
        return 1;"""
    place = lab.grade(lab.student(program(body)).url)
    assert "by something else than the tests" in place.error
    assert any("hello" in note and "still ran" in note for note in place.steps["run"]["notes"])


def test_files_without_end_beside_the_report_are_an_error(lab):
    body = 'char name[64]; for (int i = 0; i < 40000; i++) { sprintf(name, "/work/report/%d", i); FILE *f = fopen(name, "w"); if (f) fclose(f); } for (;;) pause();'
    place = lab.grade(lab.student(program(body)).url, timeout_ms=60_000)
    assert place.error == "the tests' command was ended: disk limit (more than 16384 files beside its report)"


@pytest.mark.parametrize("make", ["ln -s /etc/passwd", "mkfifo", "mkdir", "truncate -s 100G"])
def test_a_report_that_is_none(lab, make):
    command = f"rm -f /work/report/report.xml; {make} /work/report/report.xml"
    place = lab.grade(lab.student().url, tests_command=["sh", "-c", command])
    assert place.error is not None
    assert "root:" not in place.error
    assert not (place.path / "report.xml").exists()


def test_without_a_report_the_last_words_are_told(lab):
    place = lab.grade(lab.student().url, tests_command=["sh", "-c", "echo first; echo the end; exit 3"])
    assert place.error == "the tests' command exited 3 and left no report; it said last: first the end"


def test_a_command_that_is_not_there(lab):
    assert "nosuchprogram" in lab.grade(lab.student().url, tests_command=["nosuchprogram"]).error


def test_each_test_in_a_cell_of_its_own(lab):
    lab.grade(lab.student().url)
    place = lab.grade(lab.student(name="again").url, isolation="test", slots=2)
    # test_hello needs what test_make has built.
    assert (place.error, place.cases) == (None, ALL | {"test_run::test_hello": "failed"}), place.read("output.txt")
    assert without_limits(place.steps["run"]["notes"]) == []
    assert "<testcase" in place.read("report.xml") and "PASS" in place.read("output.txt") and "test_make" in place.read("report.html")
    assert len({one["memory_kib"] for one in place.json("grade.json")["cases"]}) > 1


def test_each_test_in_a_cell_of_an_image(lab):
    image = pathlib.Path(os.environ.get("CASEMATE_IMAGES", TREE / "build" / "images")) / "python3.13"
    if not image.exists():
        pytest.skip("no image: ./dev images")
    tests = "import os, sys\n\ndef test_one():\n    assert sys.version_info[:2] == (3, 13)\n    open(os.environ['SRC'] + '/mark', 'x')\n"
    lab.tests.commit({"tests/test_build.py": tests, "tests/test_run.py": tests.replace("one", "two")})
    place = lab.grade(lab.student().url, image=f"oci:{image}", isolation="test")
    assert (place.error, place.cases) == (None, {"test_build::test_one": "passed", "test_run::test_two": "passed"}), place.read("output.txt")
    assert without_limits(place.steps["run"]["notes"]) == []


def test_an_order_that_is_none_is_an_error(lab):
    place = lab.place("{")
    assert subprocess.run([AGENT, "worker", place.path], env=lab.environment, check=False).returncode == 0
    assert "order can't be read" in place.error


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_stop_signal_interrupts_the_tests_and_says_so(lab):
    lab.grade(lab.student(name="warm").url)
    place, worker = lab.start(lab.student(ENDLESS).url, proxy_timeout_ms=100_000)
    wait_for(lambda: cell_runs("/work/project/hello"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert place.error == "Stop signal received"
    assert place.cases == {"test_build::test_make": "passed"}


def test_a_second_signal_ends_at_once(lab):
    place, worker = lab.start(lab.student().url, tests_command=["sh", "-c", "trap '' INT; sleep 98765; true"])
    wait_for(lambda: cell_runs("98765"))
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 130
    assert not (place.path / "grade.json").exists()
    wait_for(lambda: not cell_runs("98765"))


def test_a_second_signal_ends_tests_in_cells_of_their_own_at_once(lab):
    lab.tests.commit({"tests/test_run.py": "import subprocess\n\ndef test_one():\n    subprocess.run(['sleep', '98766'])\n"})
    place, worker = lab.start(lab.student().url, isolation="test")
    wait_for(lambda: cell_runs("98766"))
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 130
    assert not (place.path / "grade.json").exists()
    wait_for(lambda: not cell_runs("98766"))


def cell_runs(word):
    """Whether some process below this one has this as a word of its command line."""
    return any(word.encode() in line.split(b"\0") for line in below(os.getpid()).values())


def test_nothing_of_an_earlier_try_stays(lab):
    place = lab.grade(lab.student().url)
    (place.path / "order.json").write_text("{")
    assert subprocess.run([AGENT, "worker", place.path], env=lab.environment, check=False).returncode == 0
    assert "order can't be read" in place.error
    assert sorted(os.listdir(place.path)) == ["grade.json", "order.json", "report.html", "steps.json"]


def test_killed_it_leaves_no_process_and_the_next_one_removes_its_files(lab, casemate_directories):
    temporary = pathlib.Path(casemate_directories["CASEMATE_CACHE_DIR"]) / "tmp"
    place, worker = lab.start(lab.student().url, tests_command=["sh", "-c", "sleep 87654; true"])
    wait_for(lambda: cell_runs("87654"))
    worker.kill()
    worker.wait()
    wait_for(lambda: not cell_runs("87654"))
    assert os.listdir(temporary) != []
    assert not (place.path / "grade.json").exists()
    assert lab.grade(lab.student(name="next").url).cases == ALL
    assert os.listdir(temporary) == []


def test_two_at_once_fetch_new_tests_once(lab):
    lab.tests.commit({"new": "new\n"})
    started = [lab.start(lab.student(name=name).url) for name in ("a", "b")]
    assert [worker.wait(100) for _, worker in started] == [0, 0]
    assert [place.cases for place, _ in started] == [ALL, ALL]
    assert sorted(place.steps["tests"]["cached"] for place, _ in started) != [False, False]


@pytest.mark.parametrize("isolation", ["run", "test"])
def test_nothing_stays_in_the_cache_but_trees(lab, casemate_directories, isolation):
    lab.grade(lab.student().url, isolation=isolation)
    assert os.listdir(pathlib.Path(casemate_directories["CASEMATE_CACHE_DIR"]) / "tmp") == []


def test_an_image_runs_the_tests(lab):
    image = pathlib.Path(os.environ.get("CASEMATE_IMAGES", TREE / "build" / "images")) / "python3.13"
    if not image.exists():
        pytest.skip("no image: ./dev images")
    version = ["python", "-c", "import pytest, sys; print(sys.version_info[:2])"]
    place = lab.grade(lab.student().url, image=f"oci:{image}", tests_command=version)
    assert "(3, 13)" in place.read("output.txt")
