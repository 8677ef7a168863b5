"""The Debian images of tests/images/make, and a registry on loopback that stands in for docker.io."""

import os
import pathlib
import shutil

import pytest
from py_test_runner import CASEMATE, TREE
from registry import Registry, missing

IMAGES = pathlib.Path(os.environ.get("CASEMATE_IMAGES", TREE / "build" / "images"))
UV = next((path for path in (os.environ.get("CASEMATE_UV", ""), shutil.which("uv") or "", str(CASEMATE.parent / "uv")) if path != "none" and os.access(path, os.X_OK)), "")


def image_layout(name):
    """"oci:..." of an image that tests/images/make made; skips where it has not."""
    if not os.access(IMAGES / name / "index.json", os.R_OK):
        pytest.skip(f"no image {IMAGES / name}: tests/images/make makes it")
    return f"oci:{IMAGES / name}"


class DockerHub:
    """What the environment of a command needs so that docker.io is our registry, which has python:3.11-slim and python:3.13-slim."""

    def __init__(self, directory):
        self.registry = Registry(directory / "registry")
        self.has = []
        for version in ("3.11", "3.13"):
            if os.access(IMAGES / f"python{version}" / "index.json", os.R_OK):
                self.registry.push(f"oci:{IMAGES / f'python{version}'}:latest", f"library/python:{version}-slim")
                self.has.append(version)
        path = directory / "home" / ".config" / "containers" / "registries.conf"
        path.parent.mkdir(parents=True)
        path.write_text(f'[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "{self.registry.host}"\ninsecure = true\n')
        self.environment = {"HOME": str(directory / "home"), "CONTAINERS_REGISTRIES_CONF": str(path)}  # Debian 12's skopeo only looks into HOME


@pytest.fixture(scope="session")
def docker_hub(tmp_path_factory):
    image_layout("python3.11")
    if missing("/usr/bin/docker-registry", "skopeo"):
        pytest.skip(missing("/usr/bin/docker-registry", "skopeo"))
    hub = DockerHub(tmp_path_factory.mktemp("docker_hub"))
    yield hub
    hub.registry.stop()


__all__ = ["UV", "DockerHub", "docker_hub", "image_layout"]
