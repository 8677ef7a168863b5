"""What goes to a remote engine and what is told of it: with a buildbox-casd that executes."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest
from images import image_layout

HIDDEN = "/usr/bin/python3.11 is not what was sent: the engine's workers have something of their own there"


@pytest.mark.big
def test_an_image_that_the_workers_hide_is_not_run(run, suite, casd):
    """The interpreter of this host has the same version, and its package most of the same files."""
    image = image_layout("python3.11")
    done = run("--remote", casd.address, "--image", image, "--", "python3", "-c", "print('ran')", timeout=400)
    told = [line for line in done.stderr.decode().splitlines() if "setup failed" in line]
    assert (done.returncode, done.stdout) == (125, b"") and len(told) == 1 and HIDDEN in told[0], done.stderr
    assert "without --runner-arg=--ro-bind-mount" in told[0]
    suite.write("test_a.py", "def test_a(): pass\n")
    suite.write("requirements.txt", "")
    for where in (), ("--remote-slots", 1, "--remote-property", "unixUID=1000"):
        ended = suite("--remote", casd.address, "--image", image, *where, timeout=400)
        assert ended.status == 3 and HIDDEN in ended.out + ended.err, str(ended)


def test_an_interpreter_of_the_users_own_is_sent_without_what_it_does_not_run_from(suite, casd, tmp_path):
    """As pyenv has one; its tests, headers and static libraries stay."""
    python = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", python], check=True)
    library = python / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(sysconfig.get_path("purelib"), library / "site-packages", symlinks=True, dirs_exist_ok=True)
    for place in (python / "include/python.h", python / "lib/libpython.a", library / "test/big"):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(os.urandom(20 << 20))
    suite.write("test_a.py", "import sys\ndef test_a(): assert sys.prefix.endswith('/python'), sys.prefix\n")
    before = stored(casd)
    ended = suite("--remote", casd.address, "--python", python / "bin/python3", timeout=400)
    assert ended.status == 0 and ended.verdicts == {"test_a": "passed"}, str(ended)
    whole = sum(file.stat().st_size for file in python.rglob("*") if file.is_file() and not file.is_symlink())
    sent = stored(casd) - before
    assert whole > (55 << 20) + sent, (whole, sent)


def stored(casd):
    return sum(file.stat().st_size for file in (casd.top / "cache/cas/objects").rglob("*") if file.is_file())


def test_much_that_is_sent_is_told(run, suite, casd):
    """On a pipe in few lines, before what the command says; a second time there is nothing to send."""
    for directory in (run.directory, suite.directory):
        (directory / "big").write_bytes(os.urandom(1 << 20) * 200)
    done = run("--remote", casd.address, "--inputs", "big", "--disk", "1g", "--", "echo", "ran", timeout=400)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (0, b"ran\n"), lines
    assert any(re.search(r"sends .* of 20\d\.\d MiB \(\d+ of \d+ files\) to ", line) for line in lines), lines
    assert any(re.search(r"has sent 20\d\.\d MiB \(\d+ files\) to ", line) for line in lines), lines
    again = run("--remote", casd.address, "--inputs", "big", "--disk", "1g", "--", "echo", "ran", timeout=400)
    assert "sen" not in again.stderr.decode()
    suite.write("test_a.py", "def test_a(): pass\n")
    ended = suite("--remote", casd.address, timeout=400)
    assert ended.status == 0, str(ended)
    assert any(re.match(r"sends .* to ", event["line"]) for event in ended.of("progress")), ended.events


def test_a_script_tells_of_it_too(runner, casd):
    runner.write("big", "0123456789abcdef" * (8 << 20))
    runner.write("script.py", "print('ran')\n")
    runner.environment["PATH"] = "/usr/bin:/bin"
    words = ["--script", "script.py", "--reqs", "/dev/null", "--inputs", "big", "--remote", casd.address]
    with runner.start(*words) as running:
        out, said = running.communicate(timeout=400)
    assert (running.returncode, out) == (0, b"ran\n"), said
    assert re.search(rb"sends .* to ", said), said
