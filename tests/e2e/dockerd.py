"""A dockerd with directories, socket, pid and mount namespaces of its own: for tests of jobs in containers, and bench/plan.py."""

import errno
import os
import pathlib
import shutil
import subprocess
import time


class NotHere(Exception):
    """There can be none on this host; says why."""


def remove_cgroup(path):
    """Of processes that were killed: as soon as the kernel has let go of the last of them, which is after its parent has."""
    for _ in range(300):
        try:
            path.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.1)
    raise AssertionError(f"{path} still holds processes: {(path / 'cgroup.procs').read_text().split()}")


def remove_cgroups(name):
    """Those that the daemon's containers had."""
    for top in pathlib.Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for path in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            remove_cgroup(path)
        remove_cgroup(top)


class Dockerd:
    """All its files are in the directory `top`. Without `host_network` it has no network but the bridge `bridge` (an option of dockerd's); `more` are arguments too."""

    def __init__(self, top, more=(), bridge="--bridge=none", host_network=False):
        for program in ("/usr/sbin/dockerd", "docker", "skopeo", "unshare"):
            if not shutil.which(program):
                raise NotHere(f"{program} is not installed: apt-get install docker.io skopeo")
        if os.geteuid() != 0:
            raise NotHere("needs root, to start a daemon of its own")
        self.top = top
        (top / "daemon.json").write_text('{"live-restore": false}')
        self.environment = {"DOCKER_HOST": f"unix://{top}/s"}
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc"] + ([] if host_network else ["--net"])
        words += ["/usr/sbin/dockerd", "--data-root", top / "data", "--exec-root", top / "exec", "--pidfile", top / "pid", "--host", f"unix://{top}/s"]
        words += [bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--config-file", top / "daemon.json", "--cgroup-parent", f"/{top.name}", *more]
        self.log = (top / "log").open("wb")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.wait()
        except BaseException:
            self.end()
            raise

    def wait(self):
        for _ in range(600):
            if self.process.poll() is not None:
                raise NotHere(f"dockerd does not start: {(self.top / 'log').read_text(errors='replace')[-300:]}")
            if (self.top / "s").exists() and subprocess.run(["docker", "version"], env=os.environ | self.environment, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise NotHere("dockerd does not answer")

    def docker(self, *words):
        return subprocess.run(["docker", *words], env=os.environ | self.environment, capture_output=True, text=True, timeout=600, check=True).stdout

    def load(self, layout, name):
        """The image of an OCI layout ("oci:DIRECTORY")."""
        archive = self.top / "image.tar"
        subprocess.run(["skopeo", "copy", "-q", layout, f"docker-archive:{archive}:{name}"], check=True, timeout=300)
        self.docker("load", "-q", "-i", archive)
        archive.unlink()

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        remove_cgroups(self.top.name)
