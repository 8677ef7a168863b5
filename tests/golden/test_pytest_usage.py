"""What `casemate pytest` and maelstrom-pytest say before anything runs: settings, first files, mistakes."""

import os
import pathlib
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
CASEMATE = os.environ.get("CASEMATE", str(TREE / "build" / "bin" / "casemate"))
GOLDEN = pathlib.Path(__file__).parent / "pytest"
# The same program under two names.
NAMES = {"casemate": ["casemate", "pytest"], "maelstrom": ["maelstrom-pytest"]}


@pytest.fixture
def say(tmp_path):
    """Runs the program of a name in an empty project, with nothing of ours in its environment."""

    def run(name, *arguments, **variables):
        environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "etc"), **variables}
        return subprocess.run(
            [*NAMES[name], *arguments],
            executable=CASEMATE,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def golden(name):
    return (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_and_their_defaults(say, name):
    done = say(name, "--print-config")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == golden("print-config.txt")


@pytest.mark.parametrize("name", NAMES)
def test_the_first_file(say, tmp_path, name):
    done = say(name, "--init")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == golden(f"{name}-init.txt").replace("DIRECTORY", str(tmp_path))
    written = (tmp_path / "maelstrom-pytest.toml").read_text(encoding="utf-8")
    assert written == golden(f"{name}-first.toml")
    again = say(name, "--init")
    if name == "maelstrom":
        assert (again.returncode, again.stdout, again.stderr) == (2, f"Config already exists at {tmp_path}/maelstrom-pytest.toml. Doing nothing.\n", "")
    else:
        assert (again.returncode, again.stdout) == (2, "")
        assert again.stderr.endswith("/maelstrom-pytest.toml is there already; it stays as it is\n")
    assert (tmp_path / "maelstrom-pytest.toml").read_text(encoding="utf-8") == written


@pytest.mark.parametrize("name", NAMES)
def test_help_is_on_stdout_and_fits_its_columns(say, name):
    done = say(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 140
    assert done.stdout == golden(f"{name}-help.txt")


MISTAKES = [
    (("--incude", "all"), "there is no option '--incude', did you mean '--include'? (see '{} --help')"),
    (("--slots", "many"), "--slots: 'many' is not a number from 1 to 1000"),
    (("--include", "file.equal_s(a)"), "--include 'file.equal_s(a)': column 6: there is no operator 'equal_s', did you mean 'equals'?"),
    (("--config-file", "missing.toml"), "can't open missing.toml: No such file or directory"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("arguments", "line"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_status_2(say, name, arguments, line):
    done = say(name, *arguments)
    program = " ".join(NAMES[name])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{program}: {line.format(program)}\n"


FILES_OF_PYTEST = {"pytest.ini": "[pytest]\naddopts = -q\n", "setup.cfg": "[tool:pytest]\n", "pytest.toml": "[pytest]\n", "pyproject.toml": "[tool.pytest.ini_options]\n"}


@pytest.mark.parametrize("file", FILES_OF_PYTEST)
def test_a_file_of_pytests_is_not_taken_for_settings_of_casemate(say, tmp_path, file):
    (tmp_path / file).write_text(FILES_OF_PYTEST[file], encoding="utf-8")
    done = say("casemate", "-c", file)
    line = f"casemate pytest: {file} is pytest's: name it with --pytest-config; -c is for casemate's own settings\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_wrong_variable_is_named(say):
    done = say("maelstrom", MAELSTROM_REPEAT="0")
    assert (done.returncode, done.stderr) == (2, "maelstrom-pytest: MAELSTROM_REPEAT: '0' is not a number from 1 to 1000000\n")
