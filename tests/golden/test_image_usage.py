"""What `casemate image` and `casemate run --image` say to a wrong command line, word for word: one line each, exit status 125."""

import os
import subprocess

import pytest
from py_test_runner import CASEMATE

POLICY = "choose missing, always or never"

WRONG = [
    (("image",), "casemate image: a command is missing: pull, list, inspect, remove, prune, import or export (see 'casemate image --help')"),
    (("image", "push"), "casemate image: there is no command 'push': pull, list, inspect, remove, prune, import or export"),
    (("image", "prnue"), "casemate image: there is no command 'prnue', did you mean 'prune'?"),
    (("image", "prune", "--unused", "1d"), "casemate image: there is no option '--unused', did you mean '--unused-for'? (see 'casemate image --help')"),
    (("image", "list", "--color", "sometimes"), "casemate image: --color: 'sometimes': choose auto, always or never (see 'casemate image --help')"),
    (("image", "pull", "--lock", "other.lock", "docker://a"), "casemate image: --lock other.lock: the file follows after '=': --lock=other.lock"),
    (("image", "inspect", "04727"), "casemate image: '04727': of a digest give 6 digits at least"),
    (("cache", "lsit"), "casemate cache: there is no command 'lsit', did you mean 'list'? (see 'casemate cache --help')"),
    (("cache", "info", "--color", "red"), "casemate cache: --color: 'red': choose auto, always or never (see 'casemate cache --help')"),
    (("history", "--limt", "3"), "casemate history: there is no option '--limt', did you mean '--limit'? (see 'casemate history --help')"),
    (("history", "--color", "red"), "casemate history: --color: 'red': choose auto, always or never (see 'casemate history --help')"),
    (("doctor", "--jsn"), "casemate doctor: there is no option '--jsn', did you mean '--json'? (see 'casemate doctor --help')"),
    (("doctor", "--color", "red"), "casemate doctor: --color: 'red': choose auto, always or never (see 'casemate doctor --help')"),
    (("imgae", "list"), "casemate: there is no command 'imgae', did you mean 'image'? see 'casemate --help'"),
    (("frobnicate",), "casemate: there is no command 'frobnicate'; see 'casemate --help'"),
    (("run", "--memroy", "1g", "true"), "casemate run: there is no option '--memroy', did you mean '--memory'? --help lists them, and -- goes before the command"),
    (("run", "--lock", "my.lock", "--image", "docker://a"), "casemate run: --lock my.lock: the file follows after '=': --lock=my.lock"),
    (
        ("run", "--mount", "type=volume,source=x,target=/y", "true"),
        "casemate run: --mount type 'volume': choose bind, overlay, tmpfs, proc, sysfs, mqueue, devpts or device; what outlives the cell is a directory of the host (bind)",
    ),
    (("image", "pull"), "casemate image: image is required (see 'casemate image --help')"),
    (("image", "pull", "python:3.11-slim"), "casemate image: image 'python:3.11-slim': did you mean docker://python:3.11-slim?"),
    (("image", "pull", "/usr"), "casemate image: image '/usr': did you mean dir:/usr?"),
    (("image", "pull", "host"), "casemate image: image 'host' is used where it is: there is nothing to pull"),
    (("image", "pull", "--policy", "newer", "docker://a"), f"casemate image: --policy 'newer': {POLICY}"),
    (
        ("image", "pull", "--platform", "arm64", "docker://a"),
        "casemate image: platform 'arm64': write OS/ARCHITECTURE[/VARIANT], for example linux/arm64/v8",
    ),
    (("image", "prune", "--unused-for", "ages"), "casemate image: --unused-for: 'ages' is no age: write 30d, 2w, 12h or 90m"),
    (("image", "import", "docker://a", "oci:b"), "casemate image: 'oci:b': an image is imported under a name with a tag: docker://NAME[:TAG]"),
    (("run", "--image", "python:3.11-slim"), "casemate run: image 'python:3.11-slim': did you mean docker://python:3.11-slim?"),
    (("run", "--image", "host"), "casemate run: no command; write: casemate run [flags] -- COMMAND [ARGUMENT...]"),
    (("run", "--image", "docker://a", "--pull", "newer"), f"casemate run: --pull 'newer': {POLICY}"),
    (
        ("run", "--image", "docker://a", "--image-config", "cmd"),
        "casemate run: --image-config 'cmd': write all, none, or some of env,workdir,entrypoint,user",
    ),
    (("run", "--mount", "type=proc,source=x", "--", "true"), "casemate run: --mount 'type=proc,source=x': a proc has no source"),
]


@pytest.mark.parametrize("arguments, line", WRONG, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_wrong_usage_is_one_line(casemate_directories, arguments, line):
    done = subprocess.run(
        [CASEMATE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=dict(os.environ) | casemate_directories,
        timeout=30,
        check=False,
    )
    assert done.stderr == line + "\n"
    assert (done.returncode, done.stdout) == (125, "")


COMMANDS = ["run", "explain", "image", "cache", "history", "show", "doctor", "script", "pytest", "image pull", "cache prune"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_what_its_own_help_is(casemate_directories, command):
    def said(*words):
        done = subprocess.run([CASEMATE, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout, done.stderr

    asked = said("help", *command.split())
    assert asked == said(*command.split(), "--help")
    assert (asked[0], asked[2]) == (0, "")
    assert "Usage" in asked[1] or "usage" in asked[1]


def test_help_of_what_is_no_command_is_one_line(casemate_directories):
    done = subprocess.run([CASEMATE, "help", "pytst"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (125, "", "casemate: there is no command 'pytst', did you mean 'pytest'? see 'casemate --help'\n")
