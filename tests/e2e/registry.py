"""A registry on loopback, Debian's docker-registry, and small real images to put into it."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

REGISTRY = "/usr/bin/docker-registry"
BUSYBOX = "/bin/busybox"
APPLETS = "sh cat echo env id ls pwd true false test mkdir touch rm ln readlink stat find grep sed sort head wc sleep mount date hostname".split()


def missing(*programs):
    """Why a test that needs these programs is skipped; "" if all are there."""
    gone = [program for program in programs if shutil.which(program) is None]
    return f"not installed: {', '.join(gone)}" if gone else ""


needs_images = pytest.mark.skipif(bool(missing("skopeo", "umoci", BUSYBOX)), reason=missing("skopeo", "umoci", BUSYBOX) or "installed")
needs_registry = pytest.mark.skipif(bool(missing(REGISTRY, "skopeo")), reason=missing(REGISTRY, "skopeo") or "installed")


def tool(*words, **options):
    """Runs skopeo or umoci to its end; its output."""
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def small_root(directory):
    """A root file system that can run shell scripts: busybox, users, an /app with a file in it."""
    directory = pathlib.Path(directory)
    for part in ("bin", "etc", "app", "home/worker", "tmp", "root"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, directory / "bin" / "busybox")
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1001::/home/worker:/bin/sh\n")
    (directory / "etc" / "group").write_text("root:x:0:\nworkers:x:1001:\ncrew:x:1002:\n")
    (directory / "etc" / "os-release").write_text("ID=small\n")
    (directory / "app" / "greeting").write_text("hello from the image\n")
    return directory


class Layout:
    """An OCI layout that umoci makes, with one image a tag."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        tool("umoci", "init", "--layout", self.directory)

    def add(self, tag, root, *config):
        """An image of the directory `root`; `config` are options of `umoci config` ("--config.env=A=b")."""
        image = f"{self.directory}:{tag}"
        tool("umoci", "new", "--image", image)
        tool("umoci", "insert", *(() if os.geteuid() == 0 else ("--rootless",)), "--image", image, root, "/")
        if config:
            tool("umoci", "config", "--image", image, *config)
        return f"oci:{image}"

    def layer(self, tag, source, target):
        """Another layer, with `source` at `target`."""
        tool("umoci", "insert", *(() if os.geteuid() == 0 else ("--rootless",)), "--image", f"{self.directory}:{tag}", source, target)

    def digest(self, tag):
        for entry in json.loads((self.directory / "index.json").read_text())["manifests"]:
            if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
                return entry["digest"]
        raise KeyError(tag)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """docker-registry in a directory of its own: plain http; with `tls`, a (certificate, key) of files, https; with `htpasswd`, a file,
    only for those whom it names."""

    def __init__(self, directory, tls=None, htpasswd=None):
        self.directory = pathlib.Path(directory)
        (self.directory / "data").mkdir(parents=True)
        self.tls = tls
        self.process = None
        for _ in range(5):  # another may take the port between our look and the registry's bind
            self.host = f"localhost:{free_port()}"
            self._start(htpasswd)
            if self._answers():
                return
            self.stop()
        raise RuntimeError((self.directory / "log").read_text())

    def _start(self, htpasswd):
        config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.directory / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host.replace("localhost", "127.0.0.1")},
        }
        if self.tls:
            config["http"]["tls"] = {"certificate": str(self.tls[0]), "key": str(self.tls[1])}
        if htpasswd:
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(htpasswd)}}
        path = self.directory / "config.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen([REGISTRY, "serve", str(path)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _answers(self):
        context = ssl._create_unverified_context() if self.tls else None  # noqa: S323
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                try:
                    urllib.request.urlopen(f"{'https' if self.tls else 'http'}://{self.host}/v2/", timeout=5, context=context).close()
                except urllib.error.HTTPError as error:
                    if error.code != 401:
                        raise
                return True
            time.sleep(0.05)
        return False

    def push(self, source, name, *options):
        """Copies an image here; its name as casemate takes it."""
        tool("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *options, source, f"docker://{self.host}/{name}")
        return f"docker://{self.host}/{name}"

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def registry(tmp_path):
    """A registry that speaks plain http."""
    started = Registry(tmp_path / "registry")
    yield started
    started.stop()


@pytest.fixture
def layout(tmp_path):
    """A layout with one image, "small": small_root() with a config."""
    made = Layout(tmp_path / "layout")
    made.add(
        "small",
        small_root(tmp_path / "root"),
        "--config.env=PATH=/bin",
        "--config.env=FROM=image",
        "--config.workingdir=/app",
        "--config.cmd=cat",
        "--config.cmd=greeting",
    )
    return made


__all__ = ["Layout", "Registry", "layout", "needs_images", "needs_registry", "registry", "small_root", "tool"]
