"""The manual says what --help says: every option of a command is in its page, and every option in its page exists."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
MANUAL = TREE / "docs" / "man"
CASEMATE = os.environ.get("CASEMATE", str(TREE / "build" / "bin" / "casemate"))
COMMANDS = sorted(path.stem.removeprefix("casemate-") for path in MANUAL.glob("casemate-*.1"))
ACTIONS = {
    "cache": ("info", "list", "prune", "verify"),
    "history": ("show", "prune", "tests", "runs"),
    "runtime": ("test-script", "test-compatibility", "test-pipeline"),
    "plan": ("run", "record", "verify", "show", "list", "export", "init"),
    "image": ("pull", "list", "inspect", "remove", "prune", "import", "export"),
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def help_of(*command):
    done = subprocess.run([CASEMATE, *command, "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def page(command):
    """The text of a page without roff's escapes; only the entries that begin a list item count as describing an option."""
    lines = (MANUAL / f"casemate-{command}.1").read_text(encoding="utf-8").splitlines()
    if command == "explain":  # whose page says that it takes the options of run too
        lines += (MANUAL / "casemate-run.1").read_text(encoding="utf-8").splitlines()
    heads = [lines[i + 1] for i, line in enumerate(lines[:-1]) if line == ".TP"]
    return "\n".join(heads).replace("\\-", "-")


def options_of_help(command):
    """Options at the beginning of a line; subcommands' too where a command has them."""
    text = help_of(command)
    for action in ACTIONS.get(command, ()):
        text += help_of(command, action)
    found = set()
    for line in text.splitlines():
        head = re.match(r"\s+(-\w,? ?)?(--[a-z][a-z-]*(\s*[,/|]\s*--[a-z][a-z-]*)*)", line)
        if head:
            found.update(OPTION.findall(head.group(0)))
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_and_the_help_name_the_same_options(command):
    in_help = options_of_help(command)
    in_page = set(OPTION.findall(page(command)))
    assert in_help - {"--help", "--help-all"} - in_page == set(), "in --help, not in the page"
    assert in_page - in_help == set(), "in the page, not in --help"


def test_every_command_has_a_page_and_is_in_the_overview():
    text = help_of()
    assert sorted(re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)) == COMMANDS
    overview = (MANUAL / "casemate.1").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"casemate\\-{command} (1)" in overview


def test_version_is_that_of_the_manual():
    done = subprocess.run([CASEMATE, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    version = re.search(r"\d+\.\d+\.\d+", done.stdout).group(0)
    for path in MANUAL.glob("*.1"):
        assert f"casemate {version}" in path.read_text(encoding="utf-8").splitlines()[0], path.name


def test_bash_completion_offers_commands_and_options():
    script = r"""
      source "$1"; PATH=$(dirname "$2"):$PATH
      COMP_WORDS=(casemate s); COMP_CWORD=1; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate script --reqs /dev/null --sc); COMP_CWORD=4; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate run --network o); COMP_CWORD=3; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate run -- tru); COMP_CWORD=3; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate pytest --isolation c); COMP_CWORD=3; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate pytest -k x --exc); COMP_CWORD=4; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate runtime test-); COMP_CWORD=2; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate runtime test-script x --wo); COMP_CWORD=4; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate plan re); COMP_CWORD=2; _casemate; echo "${COMPREPLY[@]}"
      COMP_WORDS=(casemate plan verify x --ag); COMP_CWORD=4; _casemate; echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(TREE / "completions" / "casemate.bash"), CASEMATE], capture_output=True, text=True, timeout=30
    )
    commands, options, modes, programs, isolations, excludes, tests, workspaces, actions, against = done.stdout.splitlines()
    assert commands.split() == ["script", "show"]
    assert options.split() == ["--script", "--script-args"]
    assert modes == "outbound"
    assert "true" in programs.split()
    assert isolations.split() == ["class", "cold"]
    assert excludes == "--exclude"
    assert tests.split() == ["test-script", "test-compatibility", "test-pipeline"]
    assert workspaces == "--workspace-dir"
    assert actions == "record"
    assert against == "--against"


BASH = r"""
  source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _casemate; printf '%s\n' "${COMPREPLY[@]}"
"""
ZSH = r"""
  compadd() { while [[ $1 == -* ]]; do if [[ $1 == -- ]]; then shift; break; fi; shift; done; print -l -- $@ }
  _files() { print FILES }
  complete_it() { local -a words; local file=$1; shift; words=("$@"); local CURRENT=$#; source $file }
  complete_it "$@"
"""
FISH = r"""
  source $argv[1]; set -l typed $argv[2..]; complete -C (string join ' ' -- $typed)
"""


@pytest.mark.parametrize("program", ["casemate", "cursus"])
@pytest.mark.parametrize(("shell", "file"), [("bash", "casemate.bash"), ("zsh", "_casemate"), ("fish", "casemate.fish")])
def test_completions_offer_the_scripts_of_a_pipeline(tmp_path, program, shell, file):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    for path in ("scripts/prepare.py", "scripts/pretend.txt", "scripts/__init__.py", "more/predict.py", "pre_here.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")

    def offered(*words):
        options = {"bash": ["-c", BASH, "bash"], "zsh": ["-f", "-c", ZSH, "zsh"], "fish": ["--no-config", "-c", FISH]}[shell]
        done = subprocess.run(
            [shell, *options, TREE / "completions" / file, program, "runtime", *words],
            cwd=tmp_path,
            env={"PATH": f"{pathlib.Path(CASEMATE).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return sorted({line.split("\t")[0] for line in done.stdout.splitlines() if line.split("\t")[0].startswith(words[-1])})

    assert offered("test-script", "pre") == ["prepare"]
    assert offered("test-script", "--scripts-dir", "more", "pre") == ["predict", "prepare"]
    assert offered("test-script", "--scripts-dir", "gone", "pre") == ["prepare"]
    assert offered("test-compatibility", "x", "prep") == ["prepare"]
    assert "prepare" not in offered("test-pipeline", "pre") and "prepare" not in offered("test-script", "--sample", "pre")


@pytest.mark.parametrize(("shell", "file"), [("bash", "casemate.bash"), ("zsh", "_casemate"), ("fish", "casemate.fish")])
def test_completions_can_be_read_by_their_shell(shell, file):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(TREE / "completions" / file)], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
