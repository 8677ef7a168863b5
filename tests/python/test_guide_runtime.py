"""docs/guide/runtime.md: all its Python in one session as a reader would type it, all its commands, all signatures against the classes."""

import ast
import functools
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from wheels import HERE, TREE

GUIDE = TREE / "docs" / "guide" / "runtime.md"
CASEMATE = os.environ.get("CASEMATE", str(TREE / "build" / "bin" / "casemate"))
VERSIONS = ["3.9", "3.11", "3.12", "3.13"]
PLACES = """\
import errno, os, shutil

def main(input_paths, output_paths, environ_vars, job_args):
    assert os.listdir(input_paths["data_input"]) == ["data.csv"] and list(output_paths) == ["data_output"]
    assert job_args.job_type == "testing" and environ_vars == {"LABEL_FIELD": "label"}
    out = output_paths["data_output"]
    open("lost", "w").close()
    open(os.path.join(out, "early"), "w").close()
    for action, wanted in ((shutil.rmtree, errno.EBUSY), (os.makedirs, errno.EEXIST)):
        try:
            action(out)
        except OSError as problem:
            assert problem.errno == wanted, problem
        else:
            raise AssertionError(action)
    assert os.listdir(out) == []
    open(os.path.join(out, "late"), "w").close()
"""
GREEDY = """\
import os

def main(input_paths, output_paths, environ_vars, job_args):
    for path in (output_paths["data_output"] + "/big", "/tmp/big"):
        with open(path, "wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, (1 << 30) + 1)
            except OSError as problem:
                print(problem.strerror)
"""


def kind_of(code):
    """What a block of Python is: "signature" of a method, "class" as it is documented, or "session"."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return "signature"
    return "class" if [type(node) for node in tree.body] == [ast.ClassDef] else "session"


@functools.lru_cache(maxsize=None)
def blocks(kind):
    found = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if kind == "bash":
        return [code for language, code in found if language == "bash"]
    return [code for language, code in found if language == "python" and kind_of(code) == kind]


def name_of(code):
    return re.sub(r"\W+", "-", code.strip().splitlines()[0])[:60].strip("-")


def prepare(directory):
    """The copy of examples/runtime in which the examples are typed, made as the guide says."""
    (block,) = re.findall(r"^```console\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").replace("~/pipeline", shlex.quote(str(directory))) for line in block.splitlines()]
    subprocess.run(["bash", "-c", "set -e\n" + "\n".join(lines)], cwd=TREE, check=True, stdin=subprocess.DEVNULL, timeout=60)
    return directory


def test_the_script_of_the_guide_works(installed, tmp_path):
    """The main() that it begins with, without a spec; and what it says of places and outputs."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "first.py").write_text(blocks("session")[0])
    (tmp_path / "scripts" / "places.py").write_text(PLACES)
    (tmp_path / "scripts" / "greedy.py").write_text(GREEDY)
    environment = installed("3.11")

    def tried(script, *words):
        command = ["runtime", "test-script", script, "--output-format", "json", *words]
        done = environment.command("casemate", *command, cwd=tmp_path, env=os.environ | {"PATH": f"{environment.python.parent}:{os.environ['PATH']}"})
        return json.loads(done.stdout)

    result = tried("first", "--preserve-outputs")
    assert result["success"], result
    (output,) = result["outputs"]
    assert (tmp_path / output).name == "labelled.csv" and (tmp_path / output).read_text().startswith("feature1,feature2,label\n1,0.1,0\n")
    result = tried("places")
    assert result["success"], result["traceback"]
    assert not (tmp_path / "lost").exists() and not any((tmp_path / path).exists() for path in result["outputs"]) and len(result["outputs"]) == 1
    assert tried("greedy")["standard_output"] == "No space left on device\n"


@pytest.fixture(scope="session")
def session(installed, tmp_path_factory):
    """What each block came to, in the Python of a version."""

    @functools.lru_cache(maxsize=None)
    def run(version):
        environment = installed(version)
        directory = prepare(tmp_path_factory.mktemp("guide") / "work")
        known = {key: value for key, value in os.environ.items() if key != "LABEL_FIELD"}
        done = subprocess.run(
            [environment.python, HERE / "guide_session.py"],
            input=json.dumps(blocks("session")),
            capture_output=True,
            text=True,
            cwd=directory,
            env=known | {"PYTHONDONTWRITEBYTECODE": "1"},
            timeout=900,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(said) == len(blocks("session")), f"the session ended with status {done.returncode}\n{done.stderr[-4000:]}"
        return said, directory

    return run


@pytest.mark.parametrize("number", range(len(blocks("session"))), ids=[name_of(code) for code in blocks("session")])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_block_runs_unchanged(session, version, number):
    said, _ = session(version)
    code = blocks("session")[number]
    assert said[number]["ended"] == ("exit 0" if "sys.exit(exit_code)" in code else ""), said[number]["ended"]


def test_what_the_session_prints(session):
    """All of it, beside guide_runtime.txt: times as N, days as DAY, the directory as DIR."""
    said, directory = session("3.11")
    shown = []
    for code, one in zip(blocks("session"), said):
        printed = one["printed"].replace(str(directory), "DIR")
        printed = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "DAY", re.sub(r"(?<=ime: )\d[\d.e-]*|\d\.\d{3}(?=s\b)", "N", printed))
        shown.append(f"##### {code.splitlines()[0]}\n{printed}")
    assert "".join(shown) == (HERE / "guide_runtime.txt").read_text(encoding="utf-8")


def test_an_example_leaves_its_outputs_and_no_more(session):
    _, directory = session("3.11")
    assert sorted(os.listdir(directory / "test_output")) == ["model", "processed"]
    assert sorted(os.listdir(directory / "test_workspace" / ".specs")) == [
        "ml_training_pipeline_pipeline_test_spec.json",
        "tabular_preprocessing_runtime_test_spec.json",
    ]
    left = [str(path.relative_to(directory)) for path in directory.glob("*_workspace/*") if path.name != ".specs"]
    assert left == []
    results = json.loads((directory / "ci_runtime_validation_results.json").read_text())
    assert (results["overall_status"], results["successful_scripts"]) == ("PASSED", 3)


INSPECT = """\
import dataclasses, inspect, json, sys, typing
from cursus.validation.runtime import runtime_models, runtime_spec_builder, runtime_testing
told = {}
for cls in (runtime_testing.RuntimeTester, runtime_testing.ScriptTestResult, runtime_testing.DataCompatibilityResult, runtime_models.RuntimeTestingConfiguration):
    one = told[cls.__name__] = {"methods": {}, "fields": {}}
    for name, method in inspect.getmembers(cls, callable):
        if not name.startswith("__") or name == "__str__":
            parameters = list(inspect.signature(method).parameters.values())
            one["methods"][name] = [[p.name, p.default is p.empty] for p in parameters]
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            one["fields"][field.name] = [str(field.type), "MISSING" if default is dataclasses.MISSING else repr(default) if field.name != "pipeline_spec" else "None"]
print(json.dumps(told))
"""


@pytest.fixture(scope="session")
def classes(installed):
    done = installed("3.11").run("-c", INSPECT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parameters_of(function):
    return [argument.arg for argument in function.args.args]


@pytest.mark.parametrize("code", blocks("signature"), ids=name_of)
def test_a_signature_is_the_methods(classes, code):
    (function,) = ast.parse(code.rstrip() + ": ...").body
    real = classes["RuntimeTester"]["methods"][function.name]
    wanted = [name for name in parameters_of(function) if name != "self"]
    real = [(name, required) for name, required in real if name != "self"]
    assert [name for name, _ in real][: len(wanted)] == wanted
    assert not [name for name, required in real[len(wanted) :] if required]


@pytest.mark.parametrize("code", blocks("class"), ids=name_of)
def test_a_class_has_what_is_documented(classes, code):
    (cls,) = ast.parse(code).body
    real = classes[cls.name]
    fields = [node for node in cls.body if isinstance(node, ast.AnnAssign)]
    assert list(real["fields"])[: len(fields)] == [node.target.id for node in fields]
    for node in fields:
        kind, default = real["fields"][node.target.id]
        assert kind == ast.unparse(node.annotation) or (ast.unparse(node.annotation), kind) == ("int", "float")
        if node.value is not None or cls.name != "RuntimeTestingConfiguration":  # ours has a default for each
            assert default == ("MISSING" if node.value is None else ast.unparse(node.value))
    for node in cls.body:
        if isinstance(node, ast.FunctionDef):
            assert node.name in real["methods"]


def parts_of(block):
    """(commands, the output that the first one is shown with, files by name) of a block of bash."""
    commands, output, files, place = [], [], {}, None
    for line in block.splitlines():
        if line.startswith("# Example "):
            name = line.removeprefix("# Example ")
            place = output if name == "output" else files.setdefault(name, [])
        elif place is not None:
            place.append(line)
        elif line and not line.startswith("#"):
            commands.append(line)
    return commands, "\n".join(output).strip() + "\n", {name: "\n".join(lines) for name, lines in files.items()}


def timeless(text):
    return re.sub(r"\d+\.\d{3}s", "N.NNNs", text)


@pytest.mark.parametrize("block", blocks("bash"), ids=name_of)
def test_commands(installed, tmp_path, block):
    environment = installed("3.11")
    directory = prepare(tmp_path / "work")
    commands, output, files = parts_of(block)
    for name, content in files.items():
        (directory / name).write_text(content)
    assert len(commands) >= 2
    for number, command in enumerate(commands):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env=os.environ | {"PATH": f"{environment.python.parent}:{os.environ['PATH']}", "CASEMATE": CASEMATE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if "--output-format json" in command:
            json.loads(done.stdout)
        elif number == 0:
            assert timeless(done.stdout) == timeless(output)


def test_all_blocks_are_seen():
    """So many did the guide have when this was written; one that no pattern finds would never be run."""
    assert (len(blocks("session")), len(blocks("signature")), len(blocks("class")), len(blocks("bash"))) == (28, 10, 3, 3)


# --- the distribution casemate-cursus ----------------------------------------------------------------------------------------------------------


def test_the_command_finds_its_program(installed, tmp_path):
    environment = installed("3.11")
    bare = {"PATH": str(environment.python.parent), "HOME": str(tmp_path)}
    beside = environment.command("cursus", "runtime", "--help", env=bare)
    assert beside.returncode == 0 and "cursus runtime test-script" in beside.stdout, beside.stderr
    alone = "import sys, sysconfig\nsysconfig.get_path = lambda name: '/nowhere'\nfrom casemate_cursus.command import main\nsys.exit(main(sys.argv[1:]))"
    bare["PATH"] = "/nowhere"
    missing = environment.run("-c", alone, "runtime", "--help", env=bare)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "cursus: the program casemate is not here: put it on PATH, or name it in CASEMATE (the Python package casemate works without it)\n"
    (tmp_path / "casemate").symlink_to(CASEMATE)
    for found in ({"CASEMATE": CASEMATE}, {"PATH": f"{tmp_path}:/usr/bin"}):
        done = environment.run("-c", alone, "runtime", "--help", env=bare | found)
        assert done.returncode == 0 and "cursus runtime test-script" in done.stdout, done.stderr
    wrong = environment.command("cursus", "runtime", env=bare | {"CASEMATE": "/nowhere/casemate"})
    assert (wrong.returncode, wrong.stderr) == (2, "cursus: can't start /nowhere/casemate: No such file or directory\n")
    other = environment.command("cursus", "compile", env=bare)
    assert (other.returncode, other.stderr) == (2, "cursus: casemate stands in for 'cursus runtime' alone: see 'cursus runtime --help'\n")
    for word in ("--help", "-h", "help"):
        told = environment.command("cursus", word, env=bare | {"CASEMATE": CASEMATE})
        assert (told.returncode, told.stderr) == (0, "") and "Usage: cursus runtime TEST" in told.stdout


def test_beside_the_real_one(installed, tmp_path):
    """A package `cursus` of somebody else's: it is the one that is imported, and gets the other subcommands; its files stay its own."""
    environment = installed("3.11")
    root = tmp_path / "site"
    for part in ("cursus", "cursus/validation", "cursus/validation/runtime"):
        (root / part).mkdir(parents=True)
        (root / part / "__init__.py").write_text("REAL = True\n")
    (root / "cursus" / "cli.py").write_text("import sys\n\ndef main():\n    print('real', sys.argv[1:])\n    return 5\n")
    (root / "cursus-9.dist-info").mkdir()
    (root / "cursus-9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: cursus\nVersion: 9\n")
    (root / "cursus-9.dist-info" / "entry_points.txt").write_text("[console_scripts]\ncursus = cursus.cli:main\n")
    known = {"PATH": "/usr/bin", "PYTHONPATH": str(root), "CASEMATE": CASEMATE, "PYTHONDONTWRITEBYTECODE": "1"}
    done = environment.run("-c", "import cursus.validation.runtime as r, casemate.runtime; print(r.REAL)", env=known)
    assert done.stdout == "True\n", done.stderr
    done = environment.command("cursus", "compile", "x", env=known)
    assert (done.returncode, done.stdout) == (5, "real ['compile', 'x']\n")
    assert "cursus runtime test-script" in environment.command("cursus", "runtime", "--help", env=known).stdout


def test_users_of_the_other_name_are_type_checked(installed):
    program = (
        "from cursus.validation.runtime.runtime_models import ScriptExecutionSpec\n"
        "from cursus.validation.runtime.runtime_testing import RuntimeTester\n"
        "spec: ScriptExecutionSpec = ScriptExecutionSpec('x', environ_vars={'A': 'b'})\n"
        "reveal_type(RuntimeTester('w').test_script('x').success)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null", "--python-executable", installed("3.11").python, "-c", program],
        capture_output=True,
        text=True,
    )
    assert re.search(r'Revealed type is "(builtins\.)?bool"', done.stdout) and done.returncode == 0, done.stdout + done.stderr
