"""The wheel as its users have it: installed, in every Python that is here (wheels.py), each case of cases/ in each."""

import json
import re
import subprocess
import sys
import zipfile

import pytest
from wheels import HERE, TREE, VERSIONS, WHEELS, names_of_cases, wheel_for

MODULES = ["data", "engine", "runtime"]


@pytest.mark.parametrize("case", [f"{module}:{name}" for module in MODULES for name in names_of_cases(module)])
@pytest.mark.parametrize("version", VERSIONS)
def test_case(installed, version, case):
    module, name = case.split(":")
    said, ending = installed(version).cases(module)
    assert name in said, ending
    if "skipped" in said[name]:
        pytest.skip(said[name]["skipped"])
    assert "failed" not in said[name], said[name]["failed"]


def test_users_are_type_checked(installed):
    for sample in sorted((HERE / "typed").glob("*.py")):
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir=/dev/null", "--python-executable", installed("3.11").python, sample],
            capture_output=True,
            text=True,
        )
        wanted = [f"{number}: error: {found[1]}" for number, line in enumerate(sample.read_text().splitlines(), 1) if (found := re.search(r"# mypy: (.*)", line))]
        told = [line.split(":", 1)[1] for line in done.stdout.splitlines() if ": error:" in line]
        assert [re.sub(r"  \[.*", "", line) for line in told] == wanted, done.stdout + done.stderr


def test_the_package_itself_is_type_checked(installed):
    package = installed("3.11").run("-c", "import casemate; print(casemate.__path__[0])").stdout.strip()
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null", "--python-version", "3.10", package], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_needs_nothing_but_libc_and_shows_nothing(tmp_path):
    if not WHEELS.exists():
        pytest.skip("no wheels in build/wheels: ./dev test python makes them")
    with zipfile.ZipFile(wheel_for("3.11")) as wheel:
        names = wheel.namelist()
        assert "casemate/py.typed" in names and "casemate/_casemate.pyi" in names
        assert not [name for name in names if not name.startswith(("casemate/", "casemate-"))], names
        (module,) = [name for name in names if name.endswith(".so")]
        file = wheel.extract(module, tmp_path)

    def tool(*words):
        return subprocess.run([*words, file], check=True, capture_output=True, text=True).stdout

    needed = set(re.findall(r"NEEDED.*\[(.*)\]", tool("readelf", "-dW")))
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}, needed
    assert [line.split()[-1] for line in tool("nm", "-D", "--defined-only").splitlines()] == ["PyInit__casemate"]


def test_the_program_runs_jobs_where_it_was_installed(installed, tmp_path):
    """Nothing lies beside it but the interpreter of its environment, which nobody activated."""
    environment = installed("3.11")
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CASEMATE_CACHE_DIR": str(tmp_path / "cache"), "CASEMATE_STATE_DIR": str(tmp_path / "state")}

    def casemate(*words):
        return environment.command("casemate", *words, env=bare, cwd=tmp_path)

    done = casemate("run", "--", "sh", "-c", "echo in a cell; exit 3")
    assert (done.returncode, done.stdout) == (3, "in a cell\n"), done.stderr
    version = environment.run("-c", "import casemate; print(casemate.__version__)").stdout
    assert casemate("--version").stdout.split()[1] == version.strip()
    (tmp_path / "idle.py").write_text("import sys\ndef main(input_paths, output_paths, environ_vars, job_args):\n    print(sys.prefix)\n")
    done = casemate("runtime", "test-script", "idle", "--scripts-dir", str(tmp_path), "--output-format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["standard_output"] == f"{environment.python.parent.parent}\n"
    done = casemate("agent", "--once")
    assert done.returncode != 0 and "casemate-agent, which comes with casemate and belongs beside it" in done.stderr, done.stderr


def test_the_module_is_the_program(installed, tmp_path):
    environment = installed("3.11")
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CASEMATE_CACHE_DIR": str(tmp_path / "cache"), "CASEMATE_STATE_DIR": str(tmp_path / "state")}
    done = environment.run("-m", "casemate", "run", "--", "sh", "-c", "echo in a cell; exit 3", env=bare, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "in a cell\n"), done.stderr
    program = environment.python.parent / "casemate"
    hidden = program.rename(program.with_name("hidden"))
    try:
        done = environment.run("-m", "casemate", "--version", env=bare, cwd=tmp_path)
    finally:
        hidden.rename(program)
    told = f"python -m casemate: can't start {program}, which comes with the wheel: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (125, "", told)


def test_the_guide_names_what_builds_the_wheel():
    (tools,) = re.findall(r"^requires = \[(.*)\]", (TREE / "pyproject.toml").read_text(), re.M)
    words = " ".join(re.findall('"(.*?)"', tools))
    assert f"`pip install {words}`" in (TREE / "docs" / "guide" / "python.md").read_text()


NESTED = """\
import sys, casemate
program = "import casemate; casemate.Engine().run(casemate.job(['true']))"
with casemate.Engine() as engine:
    print(engine.run(casemate.job([sys.executable, "-c", program])).stderr.splitlines()[-1])
"""


def test_cells_do_not_nest(installed):
    """In the words of docs/guide/python.md and pytest.md."""
    words = "can't make a process: Function not implemented"
    done = installed("3.11").run("-c", NESTED)
    assert done.stdout == f"casemate.SystemFailure: {words}\n", done.stdout + done.stderr
    for guide in ("python.md", "pytest.md"):
        assert words in (TREE / "docs" / "guide" / guide).read_text()


def test_the_program_in_the_wheel_needs_nothing_at_all(tmp_path):
    if not WHEELS.exists():
        pytest.skip("no wheels in build/wheels: ./dev test python makes them")
    with zipfile.ZipFile(wheel_for("3.11")) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".data/scripts/casemate")]
        program = wheel.extract(name, tmp_path)
    assert "NEEDED" not in subprocess.run(["readelf", "-dW", program], check=True, capture_output=True, text=True).stdout
    sections = subprocess.run(["readelf", "-SW", program], check=True, capture_output=True, text=True).stdout
    assert ".symtab" not in sections and ".debug_info" not in sections, "stripped"


def test_the_guides_programs_run(installed):
    """Each ```python block of docs/guide/python.md, in order, in one process."""
    text = (TREE / "docs" / "guide" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) >= 5
    done = installed("3.11").run("-c", "\n".join(blocks))
    assert done.returncode == 0, done.stderr


def test_the_example_runs(installed):
    done = installed("3.11").run(str(TREE / "examples" / "runner.py"), "2")
    assert done.returncode == 1, done.stderr
    assert "3 of 5 ended well" in done.stdout, done.stdout
