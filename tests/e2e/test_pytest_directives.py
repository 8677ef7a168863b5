"""What directives say, seen from inside the tests that they take. Each test of the project asserts what its own directive said."""

import os

import pytest
from images import UV, image_layout
from suites import simple_lines

DIRECTIVES = """
[containers.debian]
image = "{image}"
requirements = "packages.txt"

[containers.lonely]
parent = "debian"
added_layers = [{{ glob = "tests/**.py" }}, {{ paths = ["pyproject.toml"] }}]
added_environment = {{ ORDER = "$prev{{ORDER:-none}} lonely" }}

[[directives]]
added_environment = {{ ORDER = "all", FROM_HOST = "$env{{FROM_HOST}}" }}

[[directives]]
filter = "markers.contains(debian)"
parent = "debian"

[[directives]]
filter = "markers.contains(lonely)"
parent = "lonely"

[[directives]]
filter = "markers.contains(nobody)"
parent = "debian"
user = "nobody"

[[directives]]
filter = "markers.contains(loopback)"
network = "loopback"

[[directives]]
filter = "markers.contains(host_network)"
network = "local"

[[directives]]
filter = "markers.contains(user)"
user = 1234
group = 77

[[directives]]
filter = "markers.contains(elsewhere)"
working_directory = "/var/tmp"

[[directives]]
filter = "markers.contains(mounts)"
mounts = [
  {{ type = "tmp", mount_point = "/tmp" }},
  {{ type = "tmp", mount_point = "/root" }},
  {{ type = "proc", mount_point = "/proc" }},
  {{ type = "sys", mount_point = "/sys" }},
  {{ type = "mqueue", mount_point = "/dev/mqueue" }},
  {{ type = "devpts", mount_point = "/dev/pts" }},
  {{ type = "devices", devices = ["full", "null", "random", "urandom", "zero", "tty"] }},
  {{ type = "bind", mount_point = "/mnt/data", local_path = "data", read_only = true }},
]

[[directives]]
filter = "markers.contains(limits)"
memory = "64M"
disk = "4M"
include_shared_libraries = true
enable_writable_file_system = true

[[directives]]
filter = "name.equals(test_slow)"
timeout = 1

[[directives]]
filter = "markers.contains(ignored)"
ignore = true

[[directives]]
filter = "markers.contains(module)"
isolation = "module"
retries = 1
"""

TESTS = """
import os, pathlib, socket, subprocess, sys, time
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def without_privileges():
    for text in (open("/proc/self/status").read(), subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout):
        status = dict(line.split(":\\t", 1) for line in text.splitlines() if ":\\t" in line)
        assert {status[kind].strip("0") for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}, status
        assert status["NoNewPrivs"] == "1"


def mounts():
    return {line.split()[1]: line.split()[2] for line in open("/proc/mounts")}


def test_all():
    without_privileges()
    assert os.environ["ORDER"] == "all" and os.environ["FROM_HOST"] == "a host's"
    assert os.path.exists("packages.txt") and ROOT == pathlib.Path.cwd()
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


@pytest.mark.debian
def test_debian(pytestconfig):
    without_privileges()
    assert sys.prefix == "/casemate/env" and "ORDER" not in os.environ and "FROM_HOST" not in os.environ
    assert pytestconfig.rootpath == ROOT == pathlib.Path.cwd() and pytestconfig.getini("addopts") == ["--strict-markers"]
    assert os.listdir(ROOT.parent) == [ROOT.name]
    pathlib.Path("made").touch()


@pytest.mark.lonely
def test_lonely(pytestconfig):
    assert os.environ["ORDER"] == "none lonely"
    assert str(pytestconfig.rootpath) == os.getcwd() == "/" and pytestconfig.getini("addopts") == ["--strict-markers"]
    assert __file__ == "/tests/test_it.py" and not os.path.exists("/data")


@pytest.mark.nobody
def test_nobody():
    without_privileges()
    assert os.getuid() == 65534
    pathlib.Path("/tmp/made").touch()


@pytest.mark.loopback
def test_loopback():
    server = socket.create_server(("127.0.0.1", 0))
    socket.create_connection(server.getsockname()).close()


@pytest.mark.host_network
def test_host_network():
    assert os.readlink("/proc/self/ns/net") == os.environ["FROM_HOST_NET"]


@pytest.mark.user
def test_user():
    without_privileges()
    assert (os.getuid(), os.getgid(), os.getgroups()) == (1234, 77, [])
    for directory in (".", "/tmp", os.environ["HOME"]):
        pathlib.Path(directory, "made").write_text("x")


@pytest.mark.elsewhere
def test_elsewhere(pytestconfig):
    assert os.getcwd() == "/var/tmp" and pytestconfig.rootpath == ROOT


@pytest.mark.mounts
def test_mounts():
    kinds = mounts()
    found = [kinds[place] for place in ("/tmp", "/root", "/proc", "/sys", "/dev/mqueue", "/dev/pts")]
    assert found == ["tmpfs", "tmpfs", "proc", "sysfs", "mqueue", "devpts"]
    assert os.listdir("/mnt/data") == ["data.txt"]
    with pytest.raises(OSError):
        open("/mnt/data/more", "w")


@pytest.mark.limits
def test_memory():
    bytearray(200 << 20)


@pytest.mark.limits
def test_disk():
    pathlib.Path("big").write_bytes(bytes(10 << 20))


def test_slow():
    time.sleep(60)


@pytest.mark.ignored
def test_ignored():
    assert False


@pytest.mark.module
def test_module_first():
    pathlib.Path("shared").touch()


@pytest.mark.module
def test_module_second():
    assert os.path.exists("shared")
"""

MARKERS = "debian lonely nobody loopback host_network user elsewhere mounts limits ignored module".split()


@pytest.fixture
def project(suite):
    image = image_layout("python3.11")
    suite.environment |= {"CASEMATE_UV": UV or "none", "FROM_HOST": "a host's", "FROM_HOST_NET": os.readlink("/proc/self/ns/net")}
    suite.write("pyproject.toml", f"[tool.pytest.ini_options]\nmarkers = {MARKERS}\naddopts = '--strict-markers'\n")
    suite.write("maelstrom-pytest.toml", DIRECTIVES.format(image=image))
    suite.write("packages.txt", "pytest==8.1.1\n")
    suite.write("data/data.txt", "data")
    suite.write("tests/test_it.py", TESTS)
    return suite


def test_each_test_gets_what_its_directives_say(project):
    done = project.maelstrom("--ui", "simple")
    said = done.out + done.err
    if "packages.txt" in said and "pytest==8.1.1" in said:
        pytest.skip("no package index can be reached: " + said[-300:])
    lines = {name.rpartition("::")[2]: status for name, status in simple_lines(done.out).items()}
    bad = {"test_memory": "FAIL", "test_disk": "FAIL", "test_slow": "TIMEOUT", "test_ignored": "IGNORED"}
    expected = {line[4:].split("(")[0]: "OK" for line in TESTS.splitlines() if line.startswith("def test_")} | bad
    assert lines == expected, said
    assert done.status == 1
    assert not (project.directory / "made").exists() and not (project.directory / "shared").exists()


def test_a_command_line_is_laid_over_directives(project):
    by_name = {name.rpartition("::")[2]: test for name, test in project.tests("-k", "test_loopback or test_slow or test_ignored", "--timeout", "2", status=1).items()}
    assert {name: test["verdict"] for name, test in by_name.items()} == {"test_loopback": "passed", "test_slow": "failed", "test_ignored": "ignored"}
    assert "2.00 s" in by_name["test_slow"]["reason"]
    by_name = project.tests("-k", "test_lonely or test_host_network", "--network", "none", status=1)
    assert {name.rpartition("::")[2]: test["verdict"] for name, test in by_name.items()} == {"test_lonely": "passed", "test_host_network": "failed"}


def test_directives_of_pyproject(suite):
    suite.write(
        "pyproject.toml",
        "[tool.casemate]\nslots = 1\n[[tool.casemate.directives]]\nadded_environment = { A = '1' }\n"
        "[[tool.casemate.directives]]\nfilter = 'name.equals(test_b)'\nparent = 'other'\n[tool.casemate.containers.other]\nenvironment = { A = '2' }\n",
    )
    suite.write("sub/test_it.py", "import os\ndef test_a(): assert os.environ['A'] == '1'\ndef test_b(): assert os.environ['A'] == '2'\n")
    assert {test["verdict"] for test in suite.tests().values()} == {"passed"}
    # They are the project's, wherever in it one is.
    assert {test["verdict"] for test in suite.tests(cwd=suite.directory / "sub").values()} == {"passed"}
