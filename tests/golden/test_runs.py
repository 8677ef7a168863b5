"""py_test_runner's document, sentence by sentence: modes, structures, error types, messages, the results rule."""

import json
import os
import signal
import stat
import subprocess

import pytest
from py_test_runner import gone, wait_for_process

BUGGY = """\
import sys
print("before")
sys.stdout.flush()

x = 1 / 0
"""


def test_success_object(runner):
    told, status = runner.object("open('output.csv', 'w').write('1')\nopen('plot.png', 'wb').write(b'\\x89PNG')\nprint('logs')\n")
    assert status == 0
    assert list(told) == ["status", "message", "captured_files", "details"]
    assert told["status"] == "success"
    assert told["message"] == "Script executed successfully. Captured 2 output file(s)."
    assert told["captured_files"] == ["output.csv", "plot.png"]
    assert told["details"]["raw_logs"] == "logs\n"
    assert told["details"]["exit_code"] == 0
    assert runner.results() == {"output.csv": b"1", "plot.png": b"\x89PNG"}


def test_script_failure_object(runner):
    told, status = runner.object(BUGGY, name="my_buggy_script.py")
    assert status == 1
    assert list(told) == ["status", "error_type", "message", "details"]
    assert told["status"] == "error"
    assert told["error_type"] == "script_execution_failed"
    assert told["message"] == "The user script failed with a non-zero exit code."
    assert told["details"]["exit_code"] == 1
    logs = told["details"]["raw_logs"]
    assert logs.startswith('before\nTraceback (most recent call last):\n  File "/app/my_buggy_script.py", line 5, in <module>\n    x = 1 / 0\n')
    assert logs.endswith("ZeroDivisionError: division by zero\n")


def test_our_additions(runner):
    # Two pipes: what comes within the same instant has no order, in no container.
    source = "import sys, time\nprint('one'); time.sleep(0.1); print('two', file=sys.stderr); time.sleep(0.1); print('three')\nopen('sub.txt', 'w').write('hi')\nsys.exit(7)\n"
    told, status = runner.object(source)
    assert status == 1
    details = told["details"]
    assert details["exit_code"] == 7
    assert details["outcome"] == "exited 7"
    assert details["raw_logs"] == "one\ntwo\nthree\n"
    assert details["stdout"] == "one\nthree\n"
    assert details["stderr"] == "two\n"
    assert details["resources"]["wall_ms"] > 0
    assert details["resources"]["user_cpu_ms"] + details["resources"]["system_cpu_ms"] > 0
    (entry,) = details["captured"]
    assert entry["path"] == "sub.txt"
    assert entry["type"] == "file"
    assert entry["kind"] == "created"
    assert entry["size"] == 2
    assert entry["digest"] == "sha256:8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
    assert {"stage_ms", "environment_ms", "run_ms", "script_ms", "total_ms"} <= set(details["timings"])
    assert details["skipped"] == []
    assert runner.results() == {"sub.txt": b"hi"}  # a failed script's files are kept too


@pytest.mark.parametrize("option", ["--script", "--reqs", "--inputs"])
@pytest.mark.parametrize("what", ["missing", "directory", "fifo"])
def test_file_not_found(runner, option, what):
    if option == "--inputs" and what == "directory":
        pytest.skip("an input may be a directory")
    runner.write("script.py", "print(1)")
    runner.write("requirements.txt", "")
    if what == "directory":
        (runner.directory / "thing").mkdir()
    elif what == "fifo":
        os.mkfifo(runner.directory / "thing")
    arguments = {"--script": "script.py", "--reqs": "requirements.txt", option: "thing"}
    done = runner(*(part for pair in arguments.items() for part in pair), "--json-output")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["error_type"] == "file_not_found"
    assert told["message"].startswith(f"{option} thing: ")
    assert "captured_files" not in told
    assert told["details"]["raw_logs"] == ""


def test_file_not_found_for_a_person_is_one_line(runner):
    done = runner("--script", "gone.py", "--reqs", "/dev/null")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr == b"py_test_runner.py: error: --script gone.py: no such file\n"


def test_unreadable_file(runner):
    if os.geteuid() == 0:
        pytest.skip("root may read every file")
    runner.write("script.py", "")
    os.chmod(runner.directory / "script.py", 0)
    done = runner("--script", "script.py", "--reqs", "/dev/null", "--json-output")
    assert json.loads(done.stdout)["error_type"] == "file_not_found"


def test_environment_setup_failed(runner):
    runner.write("requirements.txt", "--no-index\ncasemate-has-no-such-package==1.0\n")
    told, status = runner.object("print(1)", requirements="requirements.txt", network=None)
    assert status == 1
    assert told["error_type"] == "environment_setup_failed"
    assert "casemate-has-no-such-package" in told["details"]["raw_logs"]
    assert "exit_code" not in told["details"]
    assert runner.results() == {}


@pytest.mark.parametrize("content", [b"six==\n", b"\xff\xfe\x00six", b"-r missing.txt\n", b"\x7fELF\x02\x01"], ids=["syntax", "binary", "nested", "elf"])
def test_requirements_that_make_no_sense(runner, content):
    runner.write("requirements.txt", b"--no-index\n" + content)
    told, status = runner.object("print(1)", requirements="requirements.txt", network=None)
    assert status == 1
    assert told["error_type"] == "environment_setup_failed"
    assert told["message"]
    assert "\n" not in told["message"]


def test_python_version_that_is_not_there(runner):
    told, status = runner.object("print(1)", "--python-version", "2.99")
    assert status == 1
    assert told["error_type"] == "environment_setup_failed"
    assert "2.99" in told["message"]


def test_docker_daemon_error(runner):
    told, status = runner.object("print(1)", "--executor", "docker")
    assert status == 1
    assert told["error_type"] == "docker_daemon_error"
    assert "Docker daemon" in told["message"]


def test_two_inputs_of_one_name(runner):
    runner.write("a/data.csv", "1")
    runner.write("b/data.csv", "2")
    told, status = runner.object("print(1)", "--inputs", "a/data.csv", "b/data.csv")
    assert status == 1
    assert told["error_type"] == "runner_internal_error"
    assert told["details"]["reason"] == "invalid_input"
    assert told["message"] == "a/data.csv and b/data.csv would both be /app/data.csv; rename one of them"


def test_human_mode(runner):
    done = runner.script("import sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\nopen('out.txt', 'w').write('x')\n")
    assert done.returncode == 0
    assert done.stdout == b"to stdout\n"
    errors = done.stderr.decode()
    assert "to stderr\n" in errors
    assert "environment: " in errors
    assert "run: script.py" in errors
    assert "Script executed successfully. Captured 1 output file(s)." in errors
    assert "\x1b" not in errors and "\r" not in errors


def test_human_mode_failure(runner):
    done = runner.script("raise SystemExit(3)")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.endswith(b"py_test_runner.py: error: The user script failed with a non-zero exit code. (exited 3)\n")


def test_quiet(runner):
    done = runner.script("print('only this')", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"only this\n", b"")


def test_color_only_when_asked(runner):
    assert b"\x1b[32m" in runner.script("print(1)", "--color", "always").stderr
    assert b"\x1b" not in runner.script("print(1)", "--color=never").stderr


def test_piped_output_is_the_scripts_bytes(runner):
    done = runner.script("import sys\nsys.stdout.buffer.write(b'\\x1b[31m\\xff\\x00\\r')\n")
    assert done.stdout == b"\x1b[31m\xff\x00\r"


def test_output_comes_while_the_script_runs(runner):
    runner.write("script.py", "print('now')\nimport time\ntime.sleep(60)\n")
    with runner.start("--script", "script.py", "--reqs", "/dev/null", "--network", "none", "--quiet") as running:
        assert running.stdout.readline() == b"now\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 143


def test_arguments_reach_the_script_as_a_shell_would_split_them(runner):
    source = "import json, sys\nprint(json.dumps(sys.argv[1:]))\n"
    told, _ = runner.object(source, "--script-args", r"""--input-file data.csv "two words" 'it'\''s' --x= '' $HOME *.py a\ b""")
    expected = ["--input-file", "data.csv", "two words", "it's", "--x=", "", "$HOME", "*.py", "a b"]
    assert json.loads(told["details"]["stdout"]) == expected


def test_script_and_inputs_lie_in_app(runner):
    runner.write("deep/down/job.py", "import os, sys\nprint(os.getcwd(), __file__, sys.argv[0])\nprint(open('data.csv').read(), sorted(os.listdir()))\n")
    runner.write("other/data.csv", "1,2")
    runner.write("tree/sub/leaf", "x")
    done = runner("--script", "deep/down/job.py", "--reqs", "/dev/null", "--inputs", "other/data.csv", "tree", "--network", "none", "--json-output")
    told = json.loads(done.stdout)
    assert told["details"]["stdout"] == "/app /app/job.py /app/job.py\n1,2 ['data.csv', 'job.py', 'tree']\n"
    assert told["captured_files"] == []


def test_what_is_captured(runner):
    runner.write("data.csv", "old")
    runner.write("same.csv", "same")
    source = """
import os
os.makedirs('a/b')
open('a/b/deep.txt', 'w').write('d')
open('data.csv', 'a').write(' new')
os.symlink('/etc/passwd', 'link')
os.remove('same.csv')
os.mkdir('empty')
os.mkfifo('fifo')
open('/tmp/elsewhere', 'w').write('not captured')
open('module.py', 'w').write('x = 1')
import module
"""
    told, status = runner.object(source, "--inputs", "data.csv", "same.csv")
    assert status == 0, told
    assert told["captured_files"] == ["a/b/deep.txt", "data.csv", "link", "module.py"]
    assert told["message"] == "Script executed successfully. Captured 4 output file(s)."
    details = told["details"]
    assert [entry["path"] for entry in details["captured"] if entry["kind"] == "modified" and entry["type"] == "file"] == ["data.csv"]
    assert [entry["path"] for entry in details["deleted"]] == ["same.csv"]
    assert [entry["path"] for entry in details["skipped"]] == ["fifo"]
    results = runner.results()
    assert results == {"a/b/deep.txt": b"d", "data.csv": b"old new", "link": "/etc/passwd", "module.py": b"x = 1"} or results["link"] == b"/etc/passwd"
    assert (runner.directory / "data.csv").read_bytes() == b"old"


def test_the_environment_is_the_jobs_own(runner):
    runner.environment["SECRET_OF_THE_HOST"] = "x"
    source = "import json, os\nprint(json.dumps(dict(os.environ)))\n"
    told, _ = runner.object(source, "-e", "GIVEN=1", "--env=EMPTY=")
    seen = json.loads(told["details"]["stdout"])
    assert "SECRET_OF_THE_HOST" not in seen
    assert seen["GIVEN"] == "1" and seen["EMPTY"] == ""
    assert seen["HOME"] == "/root" and seen["LANG"] == "C.UTF-8"
    told, _ = runner.object(source, "-eSECRET_OF_THE_HOST")
    assert json.loads(told["details"]["stdout"])["SECRET_OF_THE_HOST"] == "x"


# ./results

def test_results_are_deleted_and_made_anew(runner):
    runner.write("results/old/file", "old")
    (runner.directory / "results" / "link").symlink_to(runner.directory / "kept")
    runner.write("kept/file", "kept")
    before = (runner.directory / "results").stat()
    told, status = runner.object("open('new', 'w').write('n')")
    assert status == 0
    assert runner.results() == {"new": b"n"}
    assert (runner.directory / "kept" / "file").read_text() == "kept"
    after = (runner.directory / "results").stat()
    assert (before.st_ino, before.st_ctime_ns) != (after.st_ino, after.st_ctime_ns)


def test_results_exist_also_when_nothing_was_made(runner):
    runner.write("results/old", "old")
    assert runner.script("pass").returncode == 0
    assert list((runner.directory / "results").iterdir()) == []


def test_a_request_that_never_ran_leaves_results_alone(runner):
    runner.write("results/old", "old")
    assert runner("--script", "gone.py", "--reqs", "/dev/null").returncode == 1
    assert runner("--script").returncode == 2
    assert runner.results() == {"old": b"old"}


def test_results_directory_of_ones_own(runner):
    assert runner.script("open('x', 'w')", "--results", "out").returncode == 0
    assert (runner.directory / "out" / "x").exists()
    assert not (runner.directory / "results").exists()


@pytest.mark.parametrize("kind", ["symlink", "file", "cwd", "holds input", "git"])
def test_results_refuse_what_was_not_meant(runner, kind):
    runner.write("precious/file", "precious")
    extra = []
    if kind == "symlink":
        (runner.directory / "results").symlink_to("precious")
    elif kind == "file":
        runner.write("results", "file")
    elif kind == "cwd":
        extra = ["--results", str(runner.directory)]
    elif kind == "git":
        (runner.directory / "precious" / ".git").mkdir()
        extra = ["--results", "precious"]
    else:
        extra = ["--results", "precious", "--inputs", "precious/file"]
    told, status = runner.object("pass", *extra)
    assert status == 1
    assert told["error_type"] == "runner_internal_error"
    assert "--results DIR" in told["message"]
    assert (runner.directory / "precious" / "file").read_text() == "precious"


def test_results_that_cannot_be_made(runner):
    told, status = runner.object("pass", "--results", "no/such/parent")
    assert status == 1
    assert told["error_type"] == "runner_internal_error"
    if os.geteuid() != 0:
        (runner.directory / "shut").mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
        told, status = runner.object("pass", "--results", "shut/results")
        assert status == 1
        assert "denied" in told["message"].lower()


def test_results_where_nothing_can_be_made(runner):
    told, status = runner.object("pass", "--results", "/proc/results")
    assert status == 1
    assert told["error_type"] == "runner_internal_error"


def on_small_disk(runner, *arguments, timeout=60):
    """Runs with a file system of 256 KiB at ./small, in a mount namespace of its own, so that nothing is left mounted."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system and still have all of casemate's ids")
    (runner.directory / "small").mkdir()
    inside = 'mount -t tmpfs -o size=256k small small && mkdir small/cache && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", *runner.command(*arguments)]
    done = subprocess.run(
        command, cwd=runner.directory, env=runner.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
    )
    assert done.stderr == b""
    return json.loads(done.stdout), done.returncode


def test_results_on_a_full_disk(runner):
    runner.write("script.py", "open('big', 'wb').write(b'x' * 1_000_000)\nprint('done')\n")
    told, status = on_small_disk(
        runner, "--script", "script.py", "--reqs", "/dev/null", "--network", "none", "--results", "small/results", "--json-output"
    )
    assert status == 1
    assert told["error_type"] == "runner_internal_error"
    assert told["message"].startswith("The script succeeded, but not all of its files could be saved: ")
    assert "No space left on device" in told["message"]
    assert told["details"]["exit_code"] == 0
    assert told["details"]["stdout"] == "done\n"


def test_inputs_that_fill_the_cache(runner):
    runner.environment["CASEMATE_CACHE_DIR"] = str(runner.directory / "small" / "cache")
    runner.write("script.py", "print(1)")
    runner.write("big.bin", b"x" * 1_000_000)
    told, status = on_small_disk(runner, "--script", "script.py", "--reqs", "/dev/null", "--inputs", "big.bin", "--json-output")
    assert status == 1
    assert told["error_type"] == "runner_internal_error"
    assert told["details"]["reason"] == "exhausted"
    assert "CASEMATE_CACHE_DIR" in told["message"]


# interruptions

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_json_mode_gives_an_object(runner, number):
    name = f"sleeper_{os.getpid()}_{number}.py"
    runner.write(name, "import time\nopen('made', 'w').write('x')\nprint('sleeping', flush=True)\ntime.sleep(120)\n")
    with runner.start("--script", name, "--reqs", "/dev/null", "--network", "none", "--json-output") as running:
        wait_for_process(f"/app/{name}")
        running.send_signal(number)
        output, errors = running.communicate(timeout=30)
    told = json.loads(output)
    assert errors == b""
    assert told["status"] == "error"
    assert told["error_type"] == "runner_internal_error"
    assert told["message"] == f"The run was interrupted by {number.name}."
    assert told["details"]["reason"] == "interrupted"
    assert running.returncode == 128 + number
    assert gone(f"/app/{name}")


def test_a_reader_that_goes_away_does_not_end_the_run(runner):
    runner.write("script.py", "for i in range(20000): print('line', i)\nopen('made', 'w').write('x')\n")
    with runner.start("--script", "script.py", "--reqs", "/dev/null", "--network", "none", stderr=subprocess.DEVNULL) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(60) == 0
    assert runner.results() == {"made": b"x"}


def test_a_reader_that_waits_loses_nothing(runner):
    """More than a pipe holds, read only when the script has long ended."""
    runner.write("script.py", "import sys\nsys.stdout.write('x' * 3_000_000)\n")
    with runner.start("--script", "script.py", "--reqs", "/dev/null", "--network", "none", "--timeout", "30", stderr=subprocess.DEVNULL) as running:
        made = runner.directory / "results"
        wait_until = 100
        while not made.exists() and wait_until:
            wait_until -= 1
            signal.sigtimedwait([], 0.05)
        output, _ = running.communicate(timeout=60)
    assert len(output) == 3_000_000
    assert running.returncode == 0


def test_stdout_that_cannot_be_written_is_a_failure_in_json_mode(runner):
    runner.write("script.py", "print(1)")
    with open("/dev/full", "wb") as full:
        done = runner("--script", "script.py", "--reqs", "/dev/null", "--network", "none", "--json-output", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"can't write the result" in done.stderr
