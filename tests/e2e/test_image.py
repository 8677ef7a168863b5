"""`casemate image`: what is fetched, shown, pinned, removed, brought in and out, against a real registry on loopback."""

import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios

import pytest
from py_test_runner import CASEMATE
from registry import Layout, layout, needs_images, needs_registry, registry, small_root, tool  # noqa: F401  (fixtures)

pytestmark = [needs_images, needs_registry]
PLAIN = "--tls-verify=false"


class Images:
    """Runs `casemate image` in a directory of the test's own."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment

    def __call__(self, *arguments, **options):
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "cwd": self.directory, "env": self.environment, "timeout": 120} | options
        return subprocess.run([CASEMATE, "image", *map(str, arguments)], check=False, **options)

    def out(self, *arguments):
        done = self(*arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def json(self, *arguments):
        return json.loads(self.out(*arguments, "--json"))

    def error(self, *arguments, code=125):
        """The one line of a failure."""
        done = self(*arguments)
        assert (done.returncode, done.stdout) == (code, b""), done
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert done.stderr.startswith(b"casemate image: ")
        return done.stderr.decode().strip()


@pytest.fixture
def images(tmp_path, casemate_directories):
    (tmp_path / "work").mkdir(exist_ok=True)
    return Images(tmp_path / "work", dict(os.environ) | casemate_directories | {"CASEMATE_CACHE_DIR": str(tmp_path / "cache")})


@pytest.fixture
def tagged(layout, registry):  # noqa: F811
    """docker://.../tool:1 of the registry."""
    return registry.push(f"oci:{layout.directory}:small", "tool:1")


def move(layout, registry, tmp_path):  # noqa: F811
    """Another image under the same tag; its digest."""
    (tmp_path / "more" / "last").mkdir(parents=True)  # umoci ends an archive without the padding of a last file
    (tmp_path / "more" / "file").write_text("more\n")
    layout.layer("small", tmp_path / "more", "/more")
    registry.push(f"oci:{layout.directory}:small", "tool:1")
    return layout.digest("small")


def run(images, *arguments):
    return subprocess.run(
        [CASEMATE, "run", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=images.directory,
        env=images.environment,
        timeout=60,
        check=False,
    )


def test_pull_says_name_and_digest(images, tagged):
    done = images("pull", PLAIN, tagged)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.decode().splitlines()
    name, digest = line.split()
    assert name == tagged
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)
    told = done.stderr.decode().splitlines()
    assert any("fetching 1 layer" in line for line in told)
    assert "fetched and unpacked in" in told[-1]
    again = images("pull", PLAIN, tagged)
    assert again.stdout == done.stdout
    assert "nothing to fetch" in again.stderr.decode()
    quiet = images("pull", "-q", PLAIN, tagged)
    assert (quiet.stdout, quiet.stderr) == (done.stdout, b"")


def test_pull_in_json(images, layout, tagged):  # noqa: F811
    done = images("pull", "--json", PLAIN, tagged, f"oci:{layout.directory}:small")
    assert done.returncode == 0
    first, second = json.loads(done.stdout)
    assert first["image"] == tagged
    assert first["layers"] == 1
    assert first["compressed_bytes"] > 0
    assert first["cached"] is False
    assert second["cached"] is True, "the same layer"
    assert "lock" not in first


def test_one_that_fails_does_not_keep_the_others(images, tagged):
    done = images("pull", "--json", PLAIN, tagged + "0", tagged)
    assert done.returncode == 1
    missing, there = json.loads(done.stdout)
    assert "error" in missing
    assert there["image"] == tagged


def test_a_terminal_gets_a_line_that_goes_again(images, tagged):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    done = images("pull", PLAIN, tagged, capture_output=False, stdout=subprocess.PIPE, stderr=theirs, env=images.environment | {"TERM": "xterm", "NO_COLOR": "1"})
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # EIO: that was all
        while piece := os.read(ours, 65536):
            text += piece
    os.close(ours)
    text = text.decode()
    assert done.returncode == 0
    assert "\x1b[3" not in text, "no colours"
    *live, told, end = text.split("\n")
    assert end == ""
    assert live == []
    steps = told.split("\r\x1b[K")
    assert any(step.startswith("fetching") for step in steps), steps
    assert all(len(step) < 60 for step in steps[:-1])
    assert "fetched and unpacked" in steps[-1]


def test_list_and_inspect(images, tagged):
    assert images.json("list") == []
    images.out("pull", "-q", PLAIN, tagged)
    heading, row = images.out("list").splitlines()
    assert heading.split()[:3] == ["IMAGE", "DIGEST", "PLATFORM"]
    assert row.startswith(tagged)
    assert images.out("list", "-q") == f"{tagged}\n"
    (listed,) = images.json("list")
    assert (listed["name"], listed["layers"], listed["layers_unpacked"], listed["in_use"]) == (tagged, 1, 1, False)
    assert listed["bytes"] > 1_000_000
    assert row.split()[1] == listed["digest"][7:19]
    (inspected,) = images.json("inspect", tagged)
    assert inspected["config"]["cmd"] == ["cat", "greeting"]
    assert inspected["config"]["working_directory"] == "/app"
    assert "FROM=image" in inspected["config"]["env"]
    assert [layer["digest"][:7] for layer in inspected["layers"]] == ["sha256:"]
    assert images.json("inspect", listed["digest"][7:17]) == [inspected], "by the first digits"
    text = images.out("inspect", tagged)
    assert "cmd         cat greeting\n" in text
    assert inspected["layers"][0]["digest"] in text


def test_what_is_not_there(images, tagged):
    for command in (["inspect"], ["remove"]):
        assert "is not in the store" in images.error(*command, tagged, code=1)
    assert "is not in the store" in images.error("export", tagged, "oci:out", code=1)
    images.error("pull", PLAIN, tagged + "0", code=1)
    assert "did you mean docker://python:3.11-slim?" in images.error("pull", "python:3.11-slim")
    assert "nothing to pull" in images.error("pull", "host")
    assert "nothing to pull" in images.error("pull", "dir:/")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("pull",),
        ("pull", "--policy", "newer", "docker://a"),
        ("pull", "--platform", "amd64", "docker://a"),
        ("list", "--color", "pink"),
        ("prune", "--unused-for", "long"),
        ("import", "docker://a"),
        ("import", "docker://a", "oci:b"),
        ("inspect", "ab"),
    ],
)
def test_wrong_usage_is_one_line(images, arguments):
    images.error(*arguments)


def test_help_has_examples(images):
    text = images.out("--help")
    assert "casemate image pull docker://python:3.11-slim" in text
    for action in ("pull", "list", "inspect", "remove", "prune", "import", "export"):
        assert f"\n  {action} " in text
        assert "Usage: casemate image" in images.out(action, "--help")


def test_a_lock_pins_and_update_moves(images, layout, registry, tagged, tmp_path):  # noqa: F811
    first = layout.digest("small")
    done = images("pull", PLAIN, "--lock", tagged)
    assert done.returncode == 0, done.stderr
    assert f"casemate.lock: {tagged} pinned to {first}" in done.stderr.decode()
    assert first in (images.directory / "casemate.lock").read_text()
    second = move(layout, registry, tmp_path)
    assert second != first
    done = images("pull", PLAIN, "--lock", tagged)
    assert done.returncode == 0
    assert first in done.stdout.decode()
    assert f"is now {second}" in done.stderr.decode() and "--update moves it" in done.stderr.decode()
    assert run(images, "-q", PLAIN, "--lock", "--image", tagged, "--", "ls", "/more/file").returncode != 0, "the pinned one"
    assert run(images, "-q", PLAIN, "--pull", "always", "--image", tagged, "--", "cat", "/more/file").stdout == b"more\n", "the tag itself"
    done = images("pull", PLAIN, "--update", tagged)
    assert done.returncode == 0
    assert f"moved from {first} to {second}" in done.stderr.decode()
    assert run(images, "-q", PLAIN, "--lock", "--image", tagged, "--", "cat", "/more/file").stdout == b"more\n"
    (told,) = images.json("pull", PLAIN, "--lock", tagged)
    assert told["lock"] == {"file": "casemate.lock", "changed": False, "before": second, "moved_to": None}


def test_run_with_a_lock_notes_a_tag_that_it_lacks(images, layout, tagged):  # noqa: F811
    done = run(images, PLAIN, "--lock=my.lock", "--image", tagged)
    assert done.stdout == b"hello from the image\n"
    assert b"pinned to" in done.stderr
    assert layout.digest("small") in (images.directory / "my.lock").read_text()
    assert run(images, PLAIN, "--lock=my.lock", "--image", tagged).stderr == b""


def test_remove_and_prune(images, layout, registry, tagged, tmp_path):  # noqa: F811
    other = registry.push(f"oci:{layout.directory}:small", "other:1")
    images.out("pull", "-q", PLAIN, tagged, other)
    removed = images.json("remove", other)
    assert (removed["images"], removed["layers"]) == (1, 0), "the other image has the same layer"
    move(layout, registry, tmp_path)
    images.out("pull", "-q", PLAIN, tagged)
    assert images.json("prune")["images"] == 0
    assert len(images.json("list")) == 1
    assert run(images, "-q", "--image", tagged, "--", "cat", "/more/file").returncode == 0, "prune took nothing that is needed"
    assert images.json("prune", "--unused-for", "1d")["images"] == 0
    told = images.out("prune", "--all")
    assert re.fullmatch(r"removed 1 image and 2 layers, freed [\d.]+ MiB\n", told), told
    assert images.json("list") == []
    assert images.json("prune", "-a") == {"status": "success", "images": 0, "layers": 0, "freed_bytes": 0}


def test_prune_removes_what_a_moved_tag_left(images, layout, registry, tmp_path):  # noqa: F811
    name = registry.push(layout.add("one", small_root(tmp_path / "one")), "tool:2")
    images.out("pull", "-q", PLAIN, name)
    root = small_root(tmp_path / "two")
    (root / "etc" / "os-release").write_text("ID=two\n")
    registry.push(layout.add("two", root), "tool:2")
    images.out("pull", "-q", PLAIN, name)
    pruned = images.json("prune")
    assert (pruned["images"], pruned["layers"]) == (0, 1)
    assert pruned["freed_bytes"] > 1_000_000
    assert run(images, "-q", "--image", name, "--", "/bin/cat", "/etc/os-release").stdout == b"ID=two\n"
    assert images.json("prune")["freed_bytes"] == 0


def test_an_image_in_use_stays(images, tagged):
    images.out("pull", "-q", PLAIN, tagged)
    job = subprocess.Popen(
        [CASEMATE, "run", "-q", "--image", tagged, "--", "sh", "-c", "echo up; sleep 60"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=images.environment
    )
    try:
        assert job.stdout.readline() == b"up\n"
        assert images.json("list")[0]["in_use"] is True
        assert images.json("prune", "--all")["images"] == 0
        removed = images("remove", tagged)
        assert removed.stdout.startswith(b"removed 1 image and 0 layers")
        assert f"note: {tagged} is in use: its layers stay while a job runs on them" in removed.stderr.decode()
    finally:
        job.terminate()
        job.wait(30)
        job.stdout.close()
    assert images.json("prune")["layers"] == 1


def test_export_and_import_bring_the_same_image(images, layout, registry, tagged):  # noqa: F811
    images.out("pull", "-q", PLAIN, tagged)
    registry.stop()
    for target in ("oci:out:1", "oci-archive:out.tar:1", "docker-archive:out.docker"):
        assert images.out("export", tagged, target) == f"{tagged} written to {target}\n"
        images.error("export", tagged, target)
        name = f"docker://example.org/{target.split(':')[0]}:1"
        assert images.json("import", target, name)["name"] == name
        assert run(images, "-q", "--image", name).stdout == b"hello from the image\n"
    assert len(images.json("list")) >= 4
    pruned = images.json("prune", "--all")
    assert (pruned["images"], len(pruned["notes"])) == (1, 3), "the one that was pulled; imported ones can't be had again"
    assert all("was imported and stays" in note for note in pruned["notes"])
    assert len(images.json("list")) == 3
    shutil.rmtree(images.directory / "out")
    assert run(images, "-q", "--image", "docker://example.org/oci:1").returncode == 0, "it is the store's now"
    assert images.json("remove", "docker://example.org/oci:1")["images"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("remove", "docker://none/none"), 1, "is not in the store"),
        (("export", "docker://none/none", "oci:out"), 1, "is not in the store"),
        (("import", "oci:nowhere", "docker://a"), 1, "nowhere"),
        (("prune", "--unused-for", "ages"), 125, "is no age"),
        (("pull", "--policy", "newer", "docker://a"), 125, "choose missing, always or never"),
        (("list", "--color", "red"), 125, "choose auto, always or never"),
        (("list", "--jsn"), 125, "did you mean '--json'?"),
    ],
)
def test_a_failure_in_json_is_an_object_and_nothing_else(images, arguments, code, said):
    done = images(*arguments, "--json")
    assert (done.returncode, done.stderr) == (code, b"")
    told = json.loads(done.stdout)
    assert (told["status"], told["exit_status"]) == ("error", code)
    assert said in told["message"]


def test_failures_among_several_names_are_in_the_list(images, tagged):
    images.out("pull", "-q", PLAIN, tagged)
    done = images("inspect", "--json", "docker://none", tagged)
    assert (done.returncode, done.stderr) == (1, b"")
    failed, found = json.loads(done.stdout)
    assert (failed["name"], failed["status"]) == ("docker://none", "error")
    assert "is not in the store" in failed["message"]
    assert found["config"]["working_directory"] == "/app"
    done = images("remove", "--json", "docker://none", tagged)
    assert (done.returncode, done.stderr) == (1, b"")
    told = json.loads(done.stdout)
    assert (told["status"], told["exit_status"], told["images"], told["layers"]) == ("error", 1, 1, 1)
    assert told["errors"][0]["name"] == "docker://none"


def test_import_in_json_says_nothing_else(images, layout):  # noqa: F811
    done = images("import", "--json", f"oci:{layout.directory}:small", "docker://example.org/a:1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["status"] == "success"


def test_what_the_list_shows_is_a_name(images, layout, tagged):  # noqa: F811
    name = f"{tagged[:-2]}@{layout.digest('small')}"
    images.out("pull", "-q", PLAIN, name, tagged)
    shown = next(row.split()[0] for row in images.out("list").splitlines() if "@" in row)
    assert shown == f"{tagged[:-2]}@{layout.digest('small')[7:19]}"
    assert images.json("inspect", shown)[0]["name"] == name
    assert images.json("remove", shown)["images"] == 1
    assert images.out("list", "-q") == f"{tagged}\n"


def test_bare_names_of_targets_are_asked_back(images, tagged):
    images.out("pull", "-q", PLAIN, tagged)
    assert images.error("export", tagged, "foo.tar").endswith("'foo.tar': did you mean docker-archive:foo.tar or oci-archive:foo.tar?")
    images.out("export", tagged, "oci:lay")
    assert images.error("pull", "lay").endswith("did you mean oci:lay?")


def complete(images, *words):
    """What bash offers; `words` as it breaks a line: at blanks and colons."""
    from test_manual import TREE

    script = 'source "$1"; PATH=$(dirname "$2"):$PATH; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _casemate; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(TREE / "completions" / "casemate.bash"), str(CASEMATE), *words],
        capture_output=True, text=True, timeout=30, env=images.environment, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_names_of_images_complete_in_bash(images, tagged):
    images.out("pull", "-q", PLAIN, tagged)
    rest = tagged.removeprefix("docker:")
    assert rest in complete(images, "casemate", "run", "--image", "docker", ":", "//")
    assert rest in complete(images, "casemate", "run", "--image", "=", "docker", ":", "//")
    assert complete(images, "casemate", "image", "remove", "docker", ":", "//local") == [rest]
    port = rest.split(":")[1]
    assert complete(images, "casemate", "image", "inspect", "docker", ":", "//localhost", ":", port[:2]) == [port + ":1"]
    assert complete(images, "casemate", "image", "export", "") == [tagged]
    assert "oci:" in complete(images, "casemate", "image", "export", "docker", ":", rest, "")


def test_options_complete_from_the_list_of_options_alone(images):
    assert set(complete(images, "casemate", "image", "prune", "--")) == {"--all", "--unused-for", "--json", "--color", "--help"}
    assert "none" in complete(images, "casemate", "run", "--image-config", "")
