"""Forks into namespaces made by hand: the order of things, what is dropped on the way, what is said when a step fails."""
import errno
import os
import signal
import subprocess
import time

import pytest

INSIDE = """
    import ctypes, os, socket, subprocess
    libc = ctypes.CDLL(None, use_errno=True)
    def test_inside(record_property):
        record_property("pid", os.getpid())
        record_property("host", socket.gethostname())
        record_property("cwd", os.getcwd())
        record_property("tmp", os.listdir("/tmp"))
        record_property("links", sorted(os.listdir("/proc/self/fd")) and sorted(i for _, i in socket.if_nameindex()))
        status = dict(line.split(":", 1) for line in open("/proc/thread-self/status"))
        record_property("caps", " ".join(status[name].strip() for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")))
        record_property("seccomp", status["Seccomp"].strip())
        fd = os.open("/proc/thread-self/ns/uts", os.O_RDONLY)
        record_property("setns", (libc.setns(fd, 0), ctypes.get_errno())[1])
        # Root's programs would have all capabilities again, but for no_new_privs.
        record_property("child", subprocess.run(["grep", "CapEff", "/proc/self/status"], stdout=subprocess.PIPE).stdout.split()[1].decode())
        if os.fork() == 0: os._exit(0)
        os.wait()
    def test_outside(): pass
"""


class Cell:
    """An init in namespaces of its own, with a tmpfs on /tmp/casemate-warm-cell's place and a hostname."""

    def __init__(self, directory):
        script = "hostname cell && mount -t tmpfs none /tmp && mkdir /tmp/of-the-cell && mkdir -p '%s' && mount -t proc none /proc && echo ready && exec sleep 1000"
        self.unshare = subprocess.Popen(
            ["unshare", "--mount", "--ipc", "--uts", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script % directory],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        if self.unshare.stdout.readline() != b"ready\n":
            reason = self.unshare.stderr.read().decode().strip()
            self.unshare.wait()
            pytest.skip("no namespaces here: " + reason)
        with open(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children") as file:
            self.init = int(file.read().split()[0])
        names = {"mount": "mnt", "pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net"}
        self.fds = {name + "_namespace": os.open(f"/proc/{self.init}/ns/{file}", os.O_RDONLY) for name, file in names.items()}

    def close(self):
        for fd in self.fds.values():
            os.close(fd)
        os.kill(self.init, signal.SIGKILL)
        self.unshare.wait()
        self.unshare.stdout.close()
        self.unshare.stderr.close()


@pytest.fixture
def cell(project):
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by hand here, which takes root")
    made = Cell(project.directory)
    yield made
    made.close()


def test_a_fork_is_in_its_cell_without_any_capability(project, cell):
    project.write("test_it.py", INSIDE)
    parent = project.module()
    for _ in range(2):
        result = parent.run("test_it.py::test_inside", cell.fds)
        assert result.failed is None
        assert result.outcomes() == {"setup": "passed", "call": "passed", "teardown": "passed"}, result.text()
        seen = dict(result.reports[-1]["properties"])
        assert seen["host"] == "cell" and "of-the-cell" in str(seen["tmp"])
        assert 1 < int(seen["pid"]) < 30
        assert seen["cwd"] == str(project.directory)
        assert set(seen["caps"].split()) == {"0000000000000000"}
        assert seen["seccomp"] == "2"
        assert int(seen["setns"]) == errno.EPERM
        assert seen["child"] == "0000000000000000"
        assert seen["links"] == "['lo']"
    # The parent has its own pid namespace back.
    assert parent.run("test_it.py::test_outside").outcomes()["call"] == "passed"


def test_a_step_that_fails_is_named(project, cell):
    project.write("test_it.py", INSIDE)
    parent = project.module()
    null = os.open("/dev/null", os.O_RDONLY)
    steps = {"cgroup_1": (1, errno.EBADF), "mount_namespace": (2, errno.EINVAL), "ipc_namespace": (3, errno.EINVAL), "uts_namespace": (4, errno.EINVAL),
             "network_namespace": (5, errno.EINVAL), "cgroup_namespace": (6, errno.EINVAL), "pid_namespace": (11, errno.EINVAL)}
    for name, (step, problem) in steps.items():
        result = parent.run("test_it.py::test_inside", {name: null})
        _, given_problem, _, given_step, _ = result.failed
        assert (given_step, given_problem) == (step, problem), name
        assert result.lines == []
        assert result.status == (-1 if name == "pid_namespace" else 1 << 8)
    missing = {name: fd for name, fd in cell.fds.items() if name == "mount_namespace"}
    os.rmdir(f"/proc/{cell.init}/root{project.directory}")
    assert parent.run("test_it.py::test_outside", missing).failed[1:4:2] == (errno.ENOENT, 12)
    assert parent.run("test_it.py::test_outside").outcomes()["call"] == "passed"
    os.close(null)


def test_the_init_of_a_cell_ends_its_fork(project, cell):
    project.write("test_it.py", "import time\ndef test_sleeps(): time.sleep(1000)\ndef test_x(): pass\n")
    parent = project.module()
    started = parent.start("test_it.py::test_sleeps", cell.fds)
    time.sleep(0.3)
    os.kill(cell.init, signal.SIGKILL)
    assert parent.finish(started).status == signal.SIGKILL
    assert parent.run("test_it.py::test_x").outcomes()["call"] == "passed"
    cell.init = cell.unshare.pid


def test_a_fork_moves_itself_into_cgroups(project):
    root = next((path for path in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.access(path + "/cgroup.procs", os.W_OK)), None)
    if root is None:
        pytest.skip("no cgroup that may be written to")
    group = f"{root}/casemate-warm-{os.getpid()}"
    try:
        os.mkdir(group)
    except OSError as problem:
        pytest.skip(f"no cgroup can be made: {problem}")
    try:
        project.write("test_it.py", "def test_where(): print(open('/proc/self/cgroup').read())\n")
        fd = os.open(group + "/cgroup.procs", os.O_WRONLY)
        result = project.module().run("test_it.py::test_where", {"cgroup_1": fd})
        os.close(fd)
        assert os.path.basename(group) in result.section("Captured stdout call")
    finally:
        os.rmdir(group)
