"""Workers that run actions in a directory of their own root, as many engines have them: absolute paths lead there by symlinks."""

import json
import pathlib
import subprocess

import pytest
from images import image_layout
from py_test_runner import CASEMATE

PLACE = "/worker/build/1"


@pytest.fixture
def elsewhere(start_casd):
    return start_casd(place=PLACE)


def test_inputs_are_at_their_places_and_files_come_back(run, elsewhere):
    (run.directory / "in").mkdir()
    (run.directory / "in/a.txt").write_text("a\n")
    line = "pwd; readlink /app; cat in/a.txt; echo more >> in/a.txt; echo new > new; cat /given/a.txt"
    words = ("--remote", elsewhere.address, "--inputs", "in", "--outputs", "out", "-v", f"{run.directory / 'in'}:/given:ro", "--", "sh", "-c", line)
    done = run(*words)
    assert (done.returncode, done.stdout.decode()) == (0, f"{PLACE}/app\n{PLACE}/app\na\na\n"), done.stderr
    assert (run.directory / "out/in/a.txt").read_text() == "a\nmore\n"
    assert (run.directory / "out/new").read_text() == "new\n"


def test_a_script(runner, elsewhere):
    runner.environment["PATH"] = "/usr/bin:/bin"
    runner.write("data.csv", "a\n")
    source = "import pathlib, sys\npathlib.Path('/app/out.csv').write_text(pathlib.Path('/app/data.csv').read_text() * 2)\nprint(sys.prefix)\n"
    told, status = runner.object(source, "--inputs", "data.csv", "--remote", elsewhere.address)
    assert (status, told["details"]["raw_logs"]) == (0, "/casemate/env\n"), told
    assert runner.results() == {"out.csv": b"a\na\n"}


@pytest.mark.parametrize("where", [(), ("--remote-property", "unixUID=1000")], ids=["processes", "namespaces"])
def test_tests(suite, elsewhere, where):
    suite.write("data.txt", "x")
    suite.write("test_a.py", "import pathlib\nHERE = pathlib.Path(__file__).parent\ndef test_a(): assert (HERE / 'data.txt').read_text() == 'x'\ndef test_b(): assert 0\n")
    suite.directory.chmod(0o755)
    ended = suite("--remote", elsewhere.address, *where)
    assert ended.verdicts == {"test_a": "passed", "test_b": "failed"}, str(ended)


def test_an_image_can_not_be_had_there(run, elsewhere):
    done = run("--remote", elsewhere.address, "--image", image_layout("python3.11"), "--", "python3", "-c", "print('ran')", timeout=400)
    told = [line for line in done.stderr.decode().splitlines() if "setup failed" in line]
    assert (done.returncode, done.stdout, len(told)) == (125, b"", 1), done.stderr
    assert "/usr/bin/python3.11 is not the image's" in told[0] and "--remote-image property" in told[0]


def test_a_place_that_the_worker_has_itself_is_told(run, start_casd):
    engine = start_casd(place=PLACE, worker=("--dir", "/app"))
    (run.directory / "in").write_text("x")
    done = run("--remote", engine.address, "--inputs", "in", "--", "true")
    assert done.returncode == 125, done.stderr
    assert done.stderr == b"casemate run: setup failed (put /app at its place: EEXIST; the worker has something there already)\n"


def test_the_doctor_says_so(elsewhere):
    told = json.loads(subprocess.run([CASEMATE, "doctor", "--json", "--remote", elsewhere.address], capture_output=True, check=True).stdout)
    text = json.dumps(told)
    assert "what is sent lies in a directory of the worker's own root" in text
    assert pathlib.Path(PLACE).parent.exists() is False, "nothing of it is on this host"
