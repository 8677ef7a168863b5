"""Somebody who uses maelstrom-pytest changes a name: its document step by step, its configuration, its command line."""

import re

import pytest
from images import UV
from suites import simple_lines

# The document's advice for seeing tests side by side.
CLIENT_TEST = """
import os, pathlib, sys
import pytest

import client


@pytest.mark.parametrize("number", range(8))
def test_expands(number):
    assert client.double(number) == 2 * number
    assert sys.version_info[:2] == (3, 11)
    assert pathlib.Path("/etc/debian_version").read_text().startswith("12")
    assert os.getpid() != 1
    pathlib.Path("/tmp/one-for-each").touch(exist_ok=False)
"""


def with_packages(done):
    """Skips where no package index can be reached."""
    said = done.out + done.err
    if done.status != 0 and re.search("error sending request|dns error|Could not fetch|No matching distribution|Connection", said):
        pytest.skip("no package index can be reached: " + said[-300:])
    return done


@pytest.fixture
def seed(suite, docker_hub):
    """A project after all steps of the document but the last."""
    suite.environment |= docker_hub.environment | {"CASEMATE_UV": UV or "none"}
    done = suite.maelstrom("--init")
    assert (done.status, done.err) == (0, ""), done.err
    path = suite.directory / "maelstrom-pytest.toml"
    text = path.read_text()
    assert 'image = "docker://python:3.11-slim"' in text
    path.write_text('[[directives]]\nimage = "docker://python:3.11-slim"\nadded_layers = [ { glob = "**.py" } ]\n')
    suite.write("py/client.py", "def double(n):\n    return 2 * n\n")
    suite.write("py/maelstrom_client_test.py", CLIENT_TEST)
    suite.write("test_other.py", "def test_other():\n    pass\n\ndef test_fails():\n    assert 1 == 2\n")
    suite.write("test-requirements.txt", "pytest==8.1.1\n")
    suite.write("notes.txt", "not Python\n")
    return suite


def test_the_document_step_by_step(seed):
    done = with_packages(seed.maelstrom("--ui", "simple", "--slots", 8, "--include", "file.equals(py/maelstrom_client_test.py)"))
    assert done.status == 0, done.out + done.err
    lines = simple_lines(done.out)
    assert lines == {f"py/maelstrom_client_test.py::test_expands[{number}]": "OK" for number in range(8)}
    assert re.search(r"Successful Tests: +8\n", done.out)
    done = seed.maelstrom("--ui", "simple")
    assert done.status == 1
    assert simple_lines(done.out)["test_other.py::test_fails"] == "FAIL"
    assert "assert 1 == 2" in done.out
    assert re.search(r"Failed Tests +: +1\n    test_other.py::test_fails: failure\n", done.out), done.out
    # The files lie there as they did, and nothing of ours beside them.
    assert sorted(path.name for path in seed.directory.iterdir()) == ["maelstrom-pytest.toml", "notes.txt", "py", "test-requirements.txt", "test_other.py"]
    assert not list(seed.directory.rglob("__pycache__"))


# What the document says of WSL2, and the file that --init of the real tool writes.
WSL2 = """
[[directives]]
image = "docker://python:3.11-slim"
network = "disabled"
enable_writable_file_system = false
user = 0
group = 0
mounts = [
  { type = "tmp", mount_point = "/tmp" },
  { type = "tmp", mount_point = "/root" },
  { type = "proc", mount_point = "/proc" },
  { type = "sys", mount_point = "/sys" },
  { type = "devices", devices = ["full", "null", "random", "urandom", "zero"] },
]
added_layers = [ { glob = "**.py" }, { stubs = ["/{proc,sys,tmp,root}/", "/dev/{full,null,random,urandom,zero}"] } ]

[directives.added_environment]
XDG_CACHE_HOME = "/tmp"
PYTEST_XDIST_AUTO_NUM_WORKERS = "1"
"""

WSL2_TEST = """
import os, pathlib

def test_settings():
    assert os.environ["XDG_CACHE_HOME"] == "/tmp" and os.environ["PYTEST_XDIST_AUTO_NUM_WORKERS"] == "1"
    assert "PYTEST_XDIST_WORKER" not in os.environ
    pathlib.Path("/tmp/pip").mkdir()
    pathlib.Path("/root/x").write_text("x")
    assert open("/dev/zero", "rb").read(2) == bytes(2)
    kinds = {line.split()[1]: line.split()[2] for line in open("/proc/mounts")}
    assert (kinds["/tmp"], kinds["/root"], kinds["/proc"], kinds["/sys"]) == ("tmpfs", "tmpfs", "proc", "sysfs")
    assert os.getuid() == 0 and os.getgid() == 0 and os.getcwd() == "/"

def test_fresh():
    assert not os.path.exists("/root/x") and not os.path.exists("/tmp/pip")
"""


def test_the_documents_settings_for_wsl2(seed):
    seed.write("maelstrom-pytest.toml", WSL2)
    seed.write("py/test_wsl2.py", WSL2_TEST)
    seed.write("test-requirements.txt", "pytest==8.1.1\npytest-xdist\nprotobuf==5.29.3\n")
    done = with_packages(seed.maelstrom("--ui", "simple", "--include", "file.equals(py/test_wsl2.py)"))
    assert done.status == 0, done.out + done.err
    assert simple_lines(done.out) == {"py/test_wsl2.py::test_settings": "OK", "py/test_wsl2.py::test_fresh": "OK"}


def test_the_file_of_init_as_it_is(seed):
    (seed.directory / "maelstrom-pytest.toml").unlink()
    assert seed.maelstrom("--init").status == 0
    done = with_packages(seed.maelstrom("--list"))
    assert done.status == 0, done.out + done.err
    assert sorted(done.out.splitlines()) == sorted([f"py/maelstrom_client_test.py::test_expands[{n}]" for n in range(8)] + ["test_other.py::test_fails", "test_other.py::test_other"])
    done = seed.maelstrom("--ui", "simple", "test_other.py::test_other", "py/maelstrom_client_test.py")
    assert done.status == 0, done.out + done.err
    assert len(simple_lines(done.out)) == 9
    again = seed.maelstrom("--init")
    assert (again.status, again.out) == (2, f"Config already exists at {seed.directory}/maelstrom-pytest.toml. Doing nothing.\n")


def test_without_what_the_image_needs(seed):
    (seed.directory / "test-requirements.txt").unlink()
    done = seed.maelstrom("--ui", "simple")
    assert done.status == 2
    said = done.out + done.err
    assert "test-requirements.txt" in said and "pytest" in said, said
    assert "Traceback" not in said
    assert seed.maelstrom("--list").status == 2


FILTERED = """
import pytest

class TestThings:
    @pytest.mark.parametrize("what", ["1", "two words"])
    def test_one(self, what):
        pass

@pytest.mark.skip
def test_skip():
    pass

def test_pass():
    pass

def test_pass_with_output():
    print("out")
"""

ONE, WORDS, SKIP, PASS, OUTPUT = (
    f"py/test_a.py::{name}" for name in ("TestThings::test_one[1]", "TestThings::test_one[two words]", "test_skip", "test_pass", "test_pass_with_output")
)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("file.equals(py/test_a.py)", [ONE, WORDS, SKIP, PASS, OUTPUT]),
        ("name.equals(test_pass)", [PASS]),
        ("n.eq[test_pass]", [PASS]),
        ("na.m/^test_(skip|pass$)/", [SKIP, PASS]),
        ("node_id.ends_with(two words])", [WORDS]),
        ("name.equals(TestThings.test_one[1])", [ONE]),
        ("name.starts_with<TestThings>", [ONE, WORDS]),
        ("all - name.contains(pass) - name.contains(one)", [SKIP]),
        ("f.globs{**/test_*.py} && !markers.contains(parametrize)", [SKIP, PASS, OUTPUT]),
        ("package.equals(default) and (m.contains(skip) or no.contains(output))", [SKIP, OUTPUT]),
        ("any minus not name.contains(pass)", [PASS, OUTPUT]),
    ],
)
def test_filters(suite, expression, wanted):
    suite.write("py/test_a.py", FILTERED)
    suite.write("py/test_other.txt", "")
    done = suite.maelstrom("--list", "--include", expression)
    assert (done.status, sorted(done.out.splitlines())) == (0, sorted(wanted)), done.err
    left = suite.maelstrom("--list", "-x", expression)
    assert sorted(left.out.splitlines() + wanted) == sorted([ONE, WORDS, SKIP, PASS, OUTPUT])


def test_a_filter_that_cannot_be_read(suite):
    done = suite.maelstrom("--include", "fiel.equals(a)")
    assert done.status == 2
    assert done.err == "maelstrom-pytest: --include 'fiel.equals(a)': column 1: there is no selector 'fiel', did you mean 'file'?\n"


def test_words_for_pytest(suite):
    suite.write("test_a.py", "def test_a(pytestconfig):\n    assert pytestconfig.option.tbstyle == 'line' and not pytestconfig.pluginmanager.hasplugin('cacheprovider')\n    assert pytestconfig.option.verbose == 3\n")
    suite.write("test_b.py", "def test_b():\n    assert 0\n")
    done = suite.maelstrom("--ui", "simple", "--extra-pytest-args=-p", "--extra-pytest-args=no:cacheprovider", "--extra-pytest-collect-args=--ignore=test_b.py", "-v", "-v", "--", "--tb=line")
    assert done.status == 0, done.out + done.err
    assert simple_lines(done.out) == {"test_a.py::test_a": "OK"}
    done = suite("--durations", "1", "-vv", "-k", "test_a")
    assert re.search(r"slowest 1 durations:\n\d+\.\d\ds (setup|call|teardown) +test_a.py::test_a\n", done.out), done.out


def test_the_lock_of_maelstrom_pins_an_image(seed):
    digest = "sha256:" + "1" * 64
    seed.write("maelstrom-container-tags.lock", f'version = 1\n\n[python]\n"3.11-slim" = "{digest}"\n')
    done = seed.maelstrom("--list")
    assert done.status == 2 and digest in done.err, done.err
