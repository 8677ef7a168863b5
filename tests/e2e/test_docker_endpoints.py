"""Daemons of other kinds than a dockerd on its socket: behind TLS, podman's service; and what is left where casemate is killed."""

import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import pytest
from cells import Cells, run  # noqa: F401
from dockerd import Dockerd, remove_cgroups
from images import image_layout
from py_test_runner import CASEMATE
from test_plan import Plans, by_id, plans  # noqa: F401
from test_plan_docker import IMAGE, daemon  # noqa: F401

SMALL = "casemate-test/small:latest"


def busybox_tar():
    """The files of SMALL: a shell and its friends."""
    if not pathlib.Path("/bin/busybox").exists():
        pytest.skip("/bin/busybox is not installed")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name in ("sh", "sleep", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return made.getvalue()


def make_authority(directory):
    """ca.pem, and a key with a certificate for a client (cert.pem) and one for the server 127.0.0.1 (server.pem)."""
    directory.mkdir()

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True, timeout=60)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "request.pem")
    for use, out in (("client", "cert.pem"), ("server", "server.pem")):
        (directory / "ext").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={use}Auth\n")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", out)


def test_tls(run, daemon):  # noqa: F811
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    with tempfile.TemporaryDirectory(prefix="casemate-tls-", dir="/var/tmp") as directory:
        top = pathlib.Path(directory)
        for name in ("good", "other"):
            make_authority(top / name)
        (top / "anonymous").mkdir()
        shutil.copy(top / "good/ca.pem", top / "anonymous/ca.pem")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (top / "d").mkdir()
        flags = ["--tlsverify", "--tlscacert", top / "good/ca.pem", "--tlscert", top / "good/server.pem", "--tlskey", top / "good/key.pem"]
        behind = Dockerd(top / "d", [*flags, "--host", f"tcp://127.0.0.1:{port}"], host_network=True)
        try:
            (top / "small.tar").write_bytes(busybox_tar())
            behind.docker("import", top / "small.tar", SMALL)

            def ask(tls, certificates):
                environment = run.environment | {"DOCKER_HOST": f"tcp://127.0.0.1:{port}", "DOCKER_CERT_PATH": str(top / certificates)}
                if tls:
                    environment["DOCKER_TLS_VERIFY"] = "1"
                return run("--executor", "docker", "--image", f"docker-daemon:{SMALL}", "--", "/bin/echo", "hello", env=environment)

            done = ask(True, "good")
            assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")
            for tls, certificates, said in (
                (True, "other", "does not vouch for"),
                (True, "anonymous", "wants a certificate of yours: put cert.pem and key.pem beside ca.pem"),
                (True, "nowhere", "set DOCKER_CERT_PATH"),
                (False, "good", "speaks TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"),
            ):
                done = ask(tls, certificates)
                assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (125, b"", 1), done.stderr
                assert said in done.stderr.decode(), done.stderr
        finally:
            behind.end()


def test_outbound_is_a_bridge_of_the_daemons(run, daemon):  # noqa: F811
    """What a container reaches is the daemon's own network namespace, where the test has a server."""
    with tempfile.TemporaryDirectory(prefix="casemate-bridge-", dir="/var/tmp") as directory:
        bridged = Dockerd(pathlib.Path(directory), bridge="--bip=172.30.0.1/24")
        server = None
        try:
            (bridged.top / "small.tar").write_bytes(busybox_tar())
            bridged.docker("import", bridged.top / "small.tar", SMALL)
            (bridged.top / "www").mkdir()
            (bridged.top / "www/hello").write_text("from the bridge\n")
            server = subprocess.Popen(
                ["nsenter", "-t", str(bridged.process.pid), "-n", sys.executable, "-m", "http.server", "8080", "--bind", "172.30.0.1", "--directory", bridged.top / "www"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            run.environment |= bridged.environment

            def fetch(network):
                tries = 50 if network == "outbound" else 1
                ask = "printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w 2 172.30.0.1 8080"
                line = f"i=0; while [ $i -lt {tries} ]; do {ask} && exit 0; i=$((i+1)); sleep 0.2; done; exit 9"
                return run("--executor", "docker", "--image", f"docker-daemon:{SMALL}", "--network", network, "--json", "--", "/bin/sh", "-c", line)

            told = json.loads(fetch("outbound").stdout)
            assert (told["exit_status"], told["stdout"].endswith("\nfrom the bridge\n")) == (0, True), told
            assert any("network outbound is docker's bridge" in note for note in told["notes"])
            assert json.loads(fetch("none").stdout)["exit_status"] == 9
        finally:
            if server:
                server.kill()
                server.wait()
            bridged.end()


def ours(daemon, what="ps"):  # noqa: F811
    if what == "images":
        return daemon.docker("images", "-q", "--no-trunc", "--filter", "label=casemate.kept").split()
    return daemon.docker("ps", "-aq", "--no-trunc", "--filter", "label=casemate.engine").split()


def kill_in_the_middle(process, daemon):  # noqa: F811
    """SIGKILL once a container of ours runs."""
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        if daemon.docker("ps", "-q", "--filter", "label=casemate.engine"):
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert ours(daemon)
            return
        time.sleep(0.1)
    raise AssertionError("no container of ours ever ran")


@pytest.mark.parametrize("front_end", ["run", "script", "packages"])
def test_what_a_killed_casemate_left_goes_at_the_next_start(run, daemon, front_end):  # noqa: F811
    foreign = daemon.docker("create", "--label", "casemate.engine=another", "--network", "none", IMAGE, "true").strip()
    run.environment |= daemon.environment
    script = run.directory / "script.py"
    script.write_text("import time\ntime.sleep(4720)\n")
    requirements = run.directory / "requirements.txt"
    requirements.write_text("--no-index\n--find-links .\nslow\n" if front_end == "packages" else "")
    with tarfile.open(run.directory / "slow-1.tar.gz", "w:gz") as archive:
        text = b"import time\ntime.sleep(4721)\n"
        about = tarfile.TarInfo("slow-1/setup.py")
        about.size = len(text)
        archive.addfile(about, io.BytesIO(text))
    container = ["--executor", "docker", "--image", f"docker-daemon:{IMAGE}"]
    if front_end == "run":
        process = run.start(*container, "--", "sleep", "4722")
    else:
        process = subprocess.Popen(
            [CASEMATE, "script", *container, "--script", script, "--reqs", requirements], cwd=run.directory, env=run.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    kill_in_the_middle(process, daemon)
    done = run(*container, "--", "true", timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (ours(daemon), ours(daemon, "images")) == ([foreign], [])
    daemon.docker("rm", "-f", foreign)


class Podman(Dockerd):
    """Its service, which speaks the same protocol."""

    def __init__(self, top):
        self.top = top
        self.log = open(top / "log", "wb")
        (top / "temp").mkdir()
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--net", "podman", "--root", top / "data", "--runroot", top / "exec", "--tmpdir", top / "tmp"]
            + ["--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "file", "system", "service", "--time=0", f"unix://{top}/s"],
            env=os.environ | {"TMPDIR": str(top / "temp")},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        self.environment = {"DOCKER_HOST": f"unix://{top}/s"}

    def end(self):
        super().end()
        remove_cgroups("libpod_parent")


def test_a_plan_with_podman(plans):  # noqa: F811
    if not shutil.which("podman") or os.geteuid() != 0:
        pytest.skip("needs podman, and root")
    layout = image_layout("python3.11")
    with tempfile.TemporaryDirectory(prefix="casemate-podman-", dir="/var/tmp") as directory:
        podman = Podman(pathlib.Path(directory))
        try:
            podman.wait()
            archive = podman.top / "image.tar"
            subprocess.run(["skopeo", "copy", "-q", layout, f"docker-archive:{archive}:{IMAGE}"], check=True, timeout=300)
            podman.docker("load", "-q", "-i", archive)
            made = Plans(plans.directory, plans.environment | podman.environment)
            plan = made.cases(
                "cd /tmp && export A=kept && echo x > file",
                {"command_line": "pwd; echo $A; cat file; echo oops >&2; exit 3", "expected_exit_code": 3, "depends_on": ["c1"]},
                "sleep 60",
                execution={"timeout": 5},
            )
            results = made.results(plan, "--executor", "docker", "--image", IMAGE, status=1)
            cases = by_id(results)
            assert results["executor"] == "docker"
            assert cases["c2"]["stdout"] == "/tmp\nkept\nx\n" and cases["c2"]["stderr"] == "oops\n"
            assert [case["status"] for case in results["cases"]] == ["passed", "passed", "error"], json.dumps(results)
            assert cases["c3"]["outcome"].startswith("timed out")
            assert ours(podman) == []
        finally:
            podman.end()
