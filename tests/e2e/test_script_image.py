"""py_test_runner in images: Debian's Python from a registry that stands in for docker.io, packages from PyPI."""

import json
import re
import signal
import socket

import pytest
from images import UV, image_layout

# The document's own example: a script with a data file and arguments, which leaves two files.
SCRIPT = """
import argparse, csv, pathlib, platform, sys
import attrs, six
parser = argparse.ArgumentParser()
parser.add_argument('--input-file')
parser.add_argument('--mode')
arguments = parser.parse_args()
rows = list(csv.reader(open(arguments.input_file)))
with open('output.csv', 'w') as out: csv.writer(out).writerows(rows[::-1])
pathlib.Path('plot.png').write_bytes(b'\\x89PNG')
print('%d.%d' % sys.version_info[:2], platform.freedesktop_os_release()['VERSION_CODENAME'], arguments.mode, len(rows), pathlib.Path.cwd())
"""
CODENAMES = {"3.11": "bookworm", "3.13": "trixie"}


@pytest.fixture(params=["uv", "pip"])
def example(request, runner, docker_hub):
    if request.param == "uv" and not UV:
        pytest.skip("no uv on this host")
    runner.environment |= docker_hub.environment | {"CASEMATE_UV": UV if request.param == "uv" else "none"}
    runner.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    runner.environment.pop("PYENV_ROOT", None)  # and HOME is docker_hub's: nobody's pyenv
    runner.write("my_script.py", SCRIPT)
    runner.write("requirements.txt", f"# {request.param}\nsix==1.16.0\nattrs>={'21' if request.param == 'uv' else '22'}\n")
    runner.write("data.csv", "a,b\n1,2\n3,4\n")
    runner.installer = request.param
    return runner


def documented(runner, *more, timeout=400):
    """The example of the document, with --json-output."""
    command = ["--script", "my_script.py", "--reqs", "requirements.txt", "--inputs", "data.csv", "--script-args", "--input-file data.csv --mode fast"]
    done = runner(*command, "--json-output", "--network", "none", *more, timeout=timeout)
    assert done.stderr == b"", done.stderr.decode(errors="replace")
    told = json.loads(done.stdout)
    if told["status"] == "error" and told["error_type"] == "environment_setup_failed" and "six" in told["message"]:
        pytest.skip("no package index can be reached: " + told["message"])
    return told, done.returncode


def test_the_documents_example_in_an_image(example):
    told, status = documented(example, "--image", "docker://python:3.11-slim")
    assert (status, told["status"]) == (0, "success"), told
    assert list(told) == ["status", "message", "captured_files", "details"]
    assert told["message"] == "Script executed successfully. Captured 2 output file(s)."
    assert told["captured_files"] == ["output.csv", "plot.png"]
    assert told["details"]["raw_logs"] == "3.11 bookworm fast 3 /app\n"
    assert told["details"]["image"]["name"] == "docker://docker.io/library/python:3.11-slim"
    assert told["details"]["image"]["digest"].startswith("sha256:")
    assert told["details"]["environment"]["python"].startswith("3.11.")
    assert told["details"]["environment"]["installer"].startswith(example.installer + " ")
    assert "image_ms" in told["details"]["timings"]
    assert example.results() == {"output.csv": b"3,4\r\n1,2\r\na,b\r\n", "plot.png": b"\x89PNG"}
    again, status = documented(example, "--image", "docker://python:3.11-slim", "--pull", "never", "--python-version", "3.11")
    assert status == 0, again
    assert again["details"]["environment"]["cached"] is True
    assert again["details"]["environment"]["key"] == told["details"]["environment"]["key"]
    assert again["details"]["image"] == told["details"]["image"]
    assert again["captured_files"] == told["captured_files"]


def test_a_version_that_the_host_lacks_comes_from_its_image(example, docker_hub):
    lacking = [version for version in docker_hub.has if documented_on_host(example, version) is None]
    if not lacking:
        pytest.skip("this host has all Pythons that there are images of")
    version = lacking[0]
    told, status = documented(example, "--python-version", version)
    assert status == 0, told
    image = f"docker://docker.io/library/python:{version}-slim"
    assert told["details"]["raw_logs"] == f"{version} {CODENAMES[version]} fast 3 /app\n"
    assert told["details"]["image"]["name"] == image
    (note,) = [note for note in told["details"]["notes"] if "using" in note]
    assert note.startswith(f"there is no Python {version} on this host; there are: ")
    assert note.endswith(f"; using {image}")
    human = example("--script", "my_script.py", "--reqs", "/dev/null", "--python-version", version, "--network", "none")
    assert f"image: {image} in ".encode() in human.stderr
    assert f"note: {note}".encode() in human.stderr


def test_a_lock_pins_the_image(runner, docker_hub):
    of_images(runner, docker_hub)
    image = "docker://docker.io/library/python:3.11-slim"
    told, status = runner.object("pass", "--image", image, "--lock")
    assert status == 0, told
    lock = (runner.directory / "casemate.lock").read_text()
    assert told["details"]["image"]["digest"] in lock
    assert any(note.startswith(f"casemate.lock: {image} pinned to sha256:") for note in told["details"]["notes"])
    told, status = runner.object("pass", "--image", image, "--lock")
    assert status == 0, told
    assert not any("pinned" in note for note in told["details"]["notes"])
    # Another pin is what is got, and that is not to be had.
    (runner.directory / "other.lock").write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "1" * 64, lock))
    told, status = runner.object("pass", "--image", image, "--lock=other.lock")
    assert (status, told["error_type"]) == (1, "environment_setup_failed")
    assert "1111" in told["message"]


def documented_on_host(runner, version):
    """What the host's own Python of this version says of itself; None: it has none."""
    runner.write("version.py", "import sys\nprint(sys.version)\n")
    done = runner("--script", "version.py", "--reqs", "/dev/null", "--network", "none", "--image", "host", "--python-version", version, "--json-output")
    told = json.loads(done.stdout)
    return told["details"]["stdout"] if done.returncode == 0 else None


def of_images(runner, docker_hub):
    runner.environment |= docker_hub.environment
    return runner


def test_the_version_must_be_the_images(runner, docker_hub):
    told, status = of_images(runner, docker_hub).object("pass", "--python-version", "3.9", "--image", "docker://python:3.11-slim")
    assert (status, told["error_type"]) == (1, "environment_setup_failed")
    assert told["message"].startswith("image 'docker://docker.io/library/python:3.11-slim' has no Python 3.9; it has Python 3.11.")
    assert told["details"]["image"]["name"] if "image" in told["details"] else True


def test_neither_here_nor_in_an_image(runner, docker_hub):
    told, status = of_images(runner, docker_hub).object("pass", "--python-version", "3.8.77")
    assert (status, told["error_type"]) == (1, "environment_setup_failed")
    assert told["message"].startswith("there is no Python 3.8.77 on this host; there are: ")
    assert "nor can it be had from an image: " in told["message"]
    assert "docker://docker.io/library/python:3.8.77-slim" in told["message"]
    assert "\n" not in told["message"]
    # Who asks for the host gets nothing else.
    told, status = runner.object("pass", "--python-version", "3.8.77", "--image", "host")
    assert (status, told["error_type"]) == (1, "environment_setup_failed")
    assert told["message"].startswith("there is no Python 3.8.77 on this host")
    assert "image" not in told["message"]


def test_an_image_that_is_not_there(runner, docker_hub):
    told, status = of_images(runner, docker_hub).object("pass", "--image", "docker://python:no-such-tag")
    assert (status, told["error_type"], told["details"]["reason"]) == (1, "environment_setup_failed", "not_found")
    assert "docker://docker.io/library/python:no-such-tag" in told["message"]
    told, status = runner.object("pass", "--image", f"oci:{runner.directory}/nowhere")
    assert (status, told["error_type"], told["details"]["reason"]) == (1, "environment_setup_failed", "not_found")
    told, status = runner.object("pass", "--image", "docker://localhost:1/x:y", "--tls-verify=false")
    assert (status, told["error_type"]) == (1, "environment_setup_failed")


def test_only_the_images_files_are_seen_and_it_keeps_nothing(runner):
    image = image_layout("python3.11")
    source = """
import os, sys
print(sys.executable, os.path.realpath(sys.executable), os.environ['HOME'], os.getuid())
print(sorted(os.listdir('/app')), os.path.exists('/usr/share/doc'), os.path.exists('/usr/bin/casemate-was-here'))
open('/usr/bin/casemate-was-here', 'w').write('x')
try:
    import pip
except ImportError:
    print('bare')
"""
    for _ in range(2):
        told, status = runner.object(source, "--image", image)
        assert status == 0, told
        assert told["details"]["stdout"] == (
            "/casemate/env/bin/python /usr/bin/python3.11 /root 0\n['script.py'] False False\nbare\n"
        )
        assert told["captured_files"] == []


def test_an_images_environment_is_the_scripts(runner):
    told, status = runner.object("import os\nprint(os.environ['PATH'], os.environ['LANG'])\n", "--image", image_layout("python3.11"), "--env", "LANG=C")
    assert status == 0, told
    assert told["details"]["stdout"] == "/casemate/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin C\n"


def test_limits_hold_in_an_image(runner):
    image = image_layout("python3.11")
    told, status = runner.object("import time\ntime.sleep(600)\n", "--timeout", "1", "--image", image)
    assert (status, told["message"]) == (1, "The user script timed out after 1 s.")
    told, status = runner.object("with open('/big', 'wb', 0) as f:\n    while True: f.write(bytes(1 << 20))\n", "--disk", "16M", "--image", image)
    assert status == 1
    assert told["details"]["outcome"].startswith("disk limit"), told


def test_an_interruption_ends_a_pull(runner):
    """A registry that takes the connection and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        runner.write("script.py", "pass")
        image = f"docker://localhost:{silent.getsockname()[1]}/a:b"
        begun = runner.start("--script", "script.py", "--reqs", "/dev/null", "--image", image, "--tls-verify=false", "--json-output")
        silent.accept()
        begun.send_signal(signal.SIGINT)
        out, err = begun.communicate(timeout=30)
    assert (begun.returncode, err) == (130, b"")
    told = json.loads(out)
    assert (told["error_type"], told["details"]["reason"]) == ("runner_internal_error", "interrupted")
