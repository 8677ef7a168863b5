"""casemate plan, as people and CI type it. The names of the first tests are the lines of the checklist that the executor of plans was asked for
with; what needs a daemon is in test_plan_docker.py."""

import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import time
import xml.etree.ElementTree

import jsonschema
import pytest
import yaml
from images import image_layout
from py_test_runner import CASEMATE, TREE, gone, wait_for_process
from terminal import Terminal

EXAMPLE = TREE / "examples" / "plan" / "sort.yaml"


class Plans:
    """Writes plans into a directory of the test's own and types `casemate plan` there."""

    def __init__(self, directory, environment):
        self.directory = directory
        self.environment = environment

    def write(self, name="plan.yaml", **plan):
        plan = {"tool_name": "sh", "description": "a test", "install": {"strategy": "none", "verify": "true"}} | plan
        path = self.directory / name
        path.write_text(json.dumps(plan, indent=2) if name.endswith(".json") else yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
        return name

    def cases(self, *commands, name="plan.yaml", **plan):
        """A plan of a case for each command, or object of a case."""
        made = []
        for index, command in enumerate(commands, 1):
            case = command if isinstance(command, dict) else {"command_line": command}
            made.append({"id": f"c{index}", "name": f"case {index}", "description": "x"} | case)
        return self.write(name, test_cases=made, **plan)

    def __call__(self, *words, timeout=300, **options):
        options = {"cwd": self.directory, "env": self.environment, "stdin": subprocess.DEVNULL, "capture_output": True} | options
        done = subprocess.run([CASEMATE, "plan", *map(str, words)], check=False, timeout=timeout, **options)
        done.out, done.err = (done.stdout or b"").decode(), (done.stderr or b"").decode()
        return done

    def start(self, *words, **options):
        options = {"cwd": self.directory, "env": self.environment, "stdin": subprocess.DEVNULL} | options
        return subprocess.Popen([CASEMATE, "plan", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def results(self, *words, status=0, **options):
        """What --json prints of a run with this exit status."""
        done = self("run", *words, "--json", **options)
        assert done.returncode == status, done.out + done.err
        return json.loads(done.out)

    def read(self, name="plan.yaml"):
        return yaml.safe_load((self.directory / name).read_text(encoding="utf-8"))


@pytest.fixture
def plans(tmp_path, casemate_directories):
    work = tmp_path / "work"
    work.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    return Plans(work, environment | casemate_directories | {"CASEMATE_STATE_DIR": str(tmp_path / "state")})


def by_id(results):
    return {case["id"]: case for case in results["cases"]}


# ---- the checklist


def test_the_example_passes(plans):
    shutil.copy(EXAMPLE, plans.directory / "sort.yaml")
    done = plans("run", "sort.yaml")
    assert done.returncode == 0, done.out + done.err
    assert "6 passed" in done.out
    assert "sort.yaml::into-a-file" in done.out


def test_container_lifecycle_leaves_nothing(plans):
    plan = plans.cases("sleep 4711 & sleep 0.3", global_teardown=[{"id": "t", "type": "teardown", "description": "x", "command": "echo end"}])
    results = plans.results(plan)
    schema = json.loads((TREE / "docs" / "schema" / "plan-results.schema.json").read_text())
    jsonschema.validate(results, schema)
    assert results["teardown"][0]["stdout"] == "end\n"
    assert by_id(results)["c1"]["services"][0]["name"] == "sleep"
    assert gone("4711")


def test_images_are_kept(plans):
    layout = image_layout("python3.11")
    plan = plans.cases("python3 --version", "cat /etc/debian_version && touch /made")
    first = plans.results(plan, "--image", layout)
    assert first["image"].startswith("oci:")
    assert first["image_digest"].startswith("sha256:")
    case = by_id(first)["c2"]
    assert [change["path"] for change in case["changed_files"]] == ["made"]
    again = plans("run", plan, "--image", layout, "--pull", "never")
    assert again.returncode == 0, again.err


@pytest.mark.parametrize(
    ("flags", "command", "reason"),
    [
        (["--memory", "64m"], "head -c 200m /dev/zero | tail", "memory"),
        (["--timeout", "1s"], "sleep 60", "timed out"),
        (["--disk", "8m"], "head -c 32m /dev/zero > big", "disk"),
    ],
)
def test_limits_are_enforced(plans, flags, command, reason):
    plan = plans.cases(command, "echo next")
    results = plans.results(plan, *flags, status=1)
    cases = by_id(results)
    assert cases["c1"]["status"] in ("error", "failed")
    assert reason in (cases["c1"]["error_message"] + cases["c1"]["outcome"])
    assert cases["c2"]["status"] == "passed"


def release(directory):
    """A tar with a program in it, and its digest."""
    program = directory / "greet"
    program.write_text("#!/bin/sh\n[ \"$1\" = --version ] && { echo greet 1.2.3; exit; }\necho hello \"$@\"\n")
    program.chmod(0o755)
    path = directory / "greet-1.2.3.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(program, "greet-1.2.3/bin/greet")
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_installation_by_archive_and_script(plans):
    layout = image_layout("python3.11")
    path, digest = release(plans.directory)
    case = {"test_cases": [{"id": "c1", "name": "x", "description": "x", "command_line": "greet you", "expected_output_contains": ["hello you"]}]}
    plan = plans.write("archive.yaml", tool_name="greet", install={"strategy": "archive", "source": str(path), "digest": digest}, **case)
    results = plans.results(plan, "--image", layout)
    assert by_id(results)["c1"]["stdout"] == "hello you\n"
    script = plans.directory / "install.sh"
    script.write_text("printf '#!/bin/sh\\necho hello $*\\n' > /usr/local/bin/greet; chmod +x /usr/local/bin/greet; date +%s%N > /when\n")
    plan = plans.write("script.yaml", tool_name="greet", install={}, test_cases=[{"id": "c1", "name": "x", "description": "x", "command_line": "greet; cat /when"}])
    words = ("--image", layout, "--install", f"script:{script}")
    first, second = plans.results(plan, *words), plans.results(plan, *words)
    assert by_id(first)["c1"]["stdout"] == by_id(second)["c1"]["stdout"]  # installed once
    again = plans.results(plan, *words, "--install-again")
    assert by_id(again)["c1"]["stdout"] != by_id(first)["c1"]["stdout"]


def test_what_a_plan_says_of_its_installation(plans):
    case = [{"id": "c1", "name": "x", "description": "x", "command_line": "echo b | sort"}]
    there = plans.write("there.yaml", tool_name="sort", install={}, install_command="pip install pyyaml; true", test_cases=case)
    done = plans("run", there)
    assert done.returncode == 0, done.err
    assert "sort is there already: the plan's install_command is not run" in done.out
    directory = plans.directory / "beside"
    directory.mkdir()
    path, digest = release(directory)
    case = [{"id": "c1", "name": "x", "description": "x", "command_line": "greet you", "expected_output_contains": ["hello you"]}]
    for index, install in enumerate(({"strategy": "archive", "file": path.name, "digest": digest}, f"archive:{path.name}#sha256={digest}")):
        plan = plans.write(f"beside/{index}.yaml", tool_name="greet", install=install, test_cases=case)
        results = plans.results(plan, "--image", image_layout("python3.11"))
        assert by_id(results)["c1"]["stdout"] == "hello you\n"


def test_a_failed_installation_is_told_shortly(plans):
    case = [{"id": "c1", "name": "x", "description": "x", "command_line": "true"}]
    plan = plans.write(tool_name="greet", install="for i in $(seq 2000); do echo line $i; done; echo 'E: no such thing'; exit 1", test_cases=case)
    words = ("run", plan, "--image", image_layout("python3.11"))
    done = plans(*words)
    assert done.returncode == 125
    assert "the last 20 of 2001 lines of the installer; all: 'casemate plan export" in done.err
    assert "line 1982\n" in done.err and "line 1981\n" not in done.err + done.out
    assert "installing greet by script: line" not in done.out
    quiet = plans(*words, "-q")
    assert (quiet.err.count("\n"), quiet.err.count("no such thing")) == (1, 1), quiet.err
    both = plans(*words, "-q", capture_output=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert both.out.count("no such thing") == 1, both.out


def test_installation_is_verified(plans):
    layout = image_layout("python3.11")
    path, digest = release(plans.directory)
    case = [{"id": "c1", "name": "x", "description": "x", "command_line": "greet"}]
    good = {"strategy": "archive", "source": str(path), "digest": digest}
    plan = plans.write(tool_name="greet", install=good | {"verify_pattern": "greet 9"}, test_cases=case)
    done = plans("run", plan, "--image", layout, "--output", "out")
    assert done.returncode == 125, done.out + done.err
    assert "greet 9" in done.err
    results = json.loads((plans.directory / "out" / "results.json").read_text())
    assert (results["cases"][0]["status"], results["totals"]["not_run"]) == ("not_run", 1)
    assert "greet 9" in results["problem"]
    plan = plans.write(tool_name="greet", install=good | {"digest": "0" * 64}, test_cases=case)
    lying = plans("run", plan, "--image", layout)
    assert lying.returncode in (2, 125)
    assert "digest" in lying.err or "sha256" in lying.err


def test_single_commands_and_sequences(plans):
    steps = [
        {"id": "third", "type": "command", "description": "x", "command": "echo three >> log", "depends_on": ["second"]},
        {"id": "first", "type": "setup", "description": "x", "command": "echo one > log"},
        {"id": "second", "type": "command", "description": "x", "command": "echo two >> log"},
        {"id": "look", "type": "verification", "description": "x", "command": "cat log", "expected_output": "one\ntwo\nthree"},
    ]
    plan = plans.cases("printf 'b\\na\\n' | sort | head -1", {"steps": steps, "command_line": None}, {"command_line": "exit 3", "expected_exit_code": 3})
    results = plans.results(plan)
    assert results["totals"]["passed"] == 3
    assert by_id(results)["c1"]["stdout"] == "a\n"


def test_context_is_kept_between_commands(plans):
    plan = plans.cases(
        "mkdir -p deep && cd deep && export WORD=kept && touch file",
        {"command_line": "pwd; echo $WORD; ls", "expected_output_contains": ["/app/deep", "kept", "file"], "depends_on": ["c1"]},
        {"command_line": "echo id=42", "extractions": [{"variable_name": "ID", "extraction_pattern": "id=([0-9]+)"}]},
        {"command_line": "echo $ID {{ID}}", "expected_output_contains": ["42 42"], "depends_on": ["c3"]},
    )
    assert plans.results(plan)["totals"]["passed"] == 4
    assert plans.results(plan, "--isolate", "case")["totals"]["passed"] == 4


def test_timeouts_end_what_runs_away(plans):
    plan = plans.cases({"command_line": "sleep 4712 & sleep 4712", "timeout": 1}, {"command_line": "read line; echo got:$line"}, "echo fine")
    began = time.monotonic()
    cases = by_id(plans.results(plan, status=1))
    assert time.monotonic() - began < 50
    assert (cases["c1"]["status"], cases["c3"]["status"]) == ("error", "passed")
    assert cases["c2"]["stdout"] == "got:\n"
    assert gone("4712")


def test_all_outputs_are_captured(plans):
    plan = plans.cases("printf 'a\\000\\377b'; echo oops >&2; exit 7", "echo content > made.txt; rm -f gone; ln -s made.txt link")
    done = plans("run", plan, "--output", "out")
    assert done.returncode == 1
    case = json.loads((plans.directory / "out" / "results.json").read_text())["cases"]
    assert (case[0]["return_code"], case[0]["stderr"], case[0]["stdout_base64"]) == (7, "oops\n", "YQD/Yg==")
    artifacts = plans.directory / "out" / "artifacts"
    assert next(artifacts.glob("001-c1/*/stdout")).read_bytes() == b"a\0\xffb"
    assert (artifacts / "002-c2" / "files" / "app" / "made.txt").read_text() == "content\n"
    paths = {change["path"]: change["type"] for change in case[1]["changed_files"]}
    assert paths == {"app/made.txt": "file", "app/link": "symlink"}


def test_outputs_are_normalised_and_compared(plans):
    plan = plans.cases("date -Ins; echo same; mktemp -u", "echo '{\"b\":1,\"a\":[1,2]}'")
    assert plans("record", plan).returncode == 0
    same = plans("verify", plan)
    assert same.returncode == 0, same.out + same.err
    assert f"compared with run {json.loads(plans('list', '--json').out)[1]['run']}" in same.out
    recorded = plans.read()
    recorded["test_cases"][0]["command_line"] = "date -Ins; echo other; mktemp -u"
    recorded["test_cases"][1]["command_line"] = "echo '{\"a\": [1,2], \"b\": 1}'"
    plans.write(**recorded)
    other = plans("verify", plan)
    assert other.returncode == 1
    assert "-same\n" in other.out and "+other\n" in other.out
    assert "stdout is not as recorded" in other.out
    assert "-same\n" in plans("show", "latest").out
    assert plans("export", "latest", "exported").returncode == 0
    assert "-same" in (plans.directory / "exported" / "junit.xml").read_text()
    as_json = plans("verify", plan, "--compare", "json", "--json")
    cases = by_id(json.loads(as_json.out))
    assert "-same\n" in cases["c1"]["difference"] and "difference" not in cases["c2"]
    assert (cases["c1"]["status"], cases["c2"]["status"]) == ("failed", "passed")
    forgiven = plans("verify", plan, "--compare", "json", "--rule", "word=same|other=<word>")
    assert forgiven.returncode == 0, forgiven.out
    strict = plans("verify", plan, "--without", "timestamp", "--compare", "json")
    assert strict.returncode == 1


def test_artifacts_are_stored_and_given_out(plans):
    plan = plans.cases("seq 10000", "echo x > file.txt", "echo 'control: \\033[31m'")
    assert plans("run", plan, "--output", "out").returncode == 0
    for name in ("results.json", "plan.yaml", "junit.xml", "report.html"):
        assert (plans.directory / "out" / name).is_file(), name
    suite = xml.etree.ElementTree.parse(plans.directory / "out" / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    assert plans("export", "latest", "again").returncode == 0
    for path in ("artifacts/002-c2/files/app/file.txt",):
        assert (plans.directory / "again" / path).read_bytes() == (plans.directory / "out" / path).read_bytes()
    old, new = (json.loads((plans.directory / name / "results.json").read_text()) for name in ("out", "again"))
    assert [case["stdout"] for case in old["cases"]] == [case["stdout"] for case in new["cases"]]
    assert plans("run", plan, "--output", "out").returncode == 0  # our own artifacts are replaced
    (plans.directory / "theirs" / "artifacts" / "x").mkdir(parents=True)
    refused = plans("run", plan, "--output", "theirs")
    assert (refused.returncode, (plans.directory / "theirs" / "artifacts" / "x").is_dir()) == (2, True)
    shown = plans("show", "latest", "c3")
    assert "\\x1b[31m" in shown.out and "\x1b" not in shown.out
    listed = json.loads(plans("list", "--json").out)
    assert [row["state"] for row in listed] == ["finished", "finished"]
    assert plans("list", plan).out.count("plan.yaml") == 2


def test_results_of_two_runs_do_not_mix(plans):
    many = plans.cases("echo a", "echo b", "echo c > f")
    one = plans.cases("echo other", name="one.json")
    out = plans.directory / "out"
    assert plans("run", many, "--output", "out").returncode == 0
    (out / "notes.txt").write_text("mine")
    for again in (("run", one, "--output", "out"), ("run", many, "--output", "out"), ("export", "latest", "out")):
        if again[0] == "export":
            assert plans("run", one).returncode == 0
        assert plans(*again).returncode == 0
        names = sorted(path.name for path in out.iterdir())
        plan = "plan.yaml" if many in again else "plan.json"
        assert names == ["artifacts", "install.log", "junit.xml", "notes.txt", plan, "report.html", "results.json"]
        cases = sorted(path.name for path in (out / "artifacts").iterdir())
        assert cases == (["001-c1", "002-c2", "003-c3"] if many in again else ["001-c1"]) + ["casemate-plan.artifacts"]


def test_a_file_that_is_written_keeps_what_it_is(plans):
    plan = plans.cases("echo hi", name="plan.json")
    path = plans.directory / plan
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4))
    path.chmod(0o600)
    assert plans("run", plan, "--write").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith('{\n    "tool_name"')
    path.chmod(0o444)
    text = path.read_text()
    for words in (("run", plan, "--write"), ("record", plan, "--write"), ("record", plan, "-o", plan)):
        done = plans(*words)
        assert (done.returncode, done.out, "it is read-only" in done.err) == (2, "", True), done.err
    assert path.read_text() == text
    for words in (("record", plan, "-o", "none/x.yaml"), ("init", "sort", "-o", "none/x.yaml")):
        done = plans(*words)
        assert (done.returncode, done.err.count("\n"), "there is no directory none" in done.err) == (2, 1, True), done.err
    assert not (plans.directory / "none").exists()


MALFORMED = {
    "empty.yaml": "",
    "list.json": "[]",
    "torn.json": '{"tool_name": "x", "test_cases": [',
    "tabs.yaml": "tool_name:\n\t- x",
    "nothing.yaml": "tool_name: x\n",
    "no-tool.yaml": "test_cases: [{id: a, name: a, description: a, command_line: 'true'}]",
    "circle.yaml": "tool_name: x\ntest_cases: [{id: a, name: a, description: a, command_line: 'true', depends_on: [b]}, {id: b, name: b, description: b, command_line: 'true', depends_on: [a]}]",
    "twice.yaml": "tool_name: x\ntest_cases: [{id: a, name: a, description: a, command_line: 'true'}, {id: a, name: a, description: a, command_line: 'true'}]",
    "timeout.yaml": "tool_name: x\ntest_cases: [{id: a, name: a, description: a, command_line: 'true', timeout: soon}]",
    "bytes.yaml": b"tool_name: \xff\xfe",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_plans_are_one_clear_line(plans, name):
    content = MALFORMED[name]
    (plans.directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = plans("run", name)
    assert (done.returncode, done.out) == (2, "")
    assert done.err.startswith(f"casemate plan: {name}"), done.err
    answer = plans("run", name, "--json")
    assert (answer.returncode, list(json.loads(answer.out))) == (2, ["error"])


def test_a_thousand_cases(plans):
    plan = plans.cases(*[f"test {index} -ge 0 && echo {index}" for index in range(1000)], name="many.json")
    results = plans.results(plan, "--parallel", "4", timeout=600)
    assert results["totals"]["passed"] == 1000
    assert [case["stdout"] for case in results["cases"]] == [f"{index}\n" for index in range(1000)]


@pytest.mark.once
def test_the_schema_of_plans():
    text = (TREE / "docs" / "schema" / "plan.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    guide = (TREE / "docs" / "guide" / "plan-format.md").read_text(encoding="utf-8")
    examples = [path.read_text(encoding="utf-8") for path in sorted((TREE / "examples" / "plan").glob("*.yaml"))]
    for example in [*examples, *re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)]:
        jsonschema.validate(yaml.safe_load(example), schema)
    for wrong in ({"tool_name": "x"}, {"tool_name": "x", "test_cases": [{"timeout": []}]}, {"test_cases": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    source = "".join((TREE / "src" / "testplan" / f"{name}_reading.cc").read_text() for name in ("plan", "case", "install"))
    reads = r"(?:\.(?:find|text|texts|whole|truth|seconds|environment)\(|(?:number|read_global|expected_texts)\(table, |Names k\w+ = )\{([^{}]*)\}"
    read = {name for names in re.findall(reads, source) for name in re.findall(r'"(\w+)"', names)}
    assert len(read) > 100
    assert [name for name in sorted(read) if f'"{name}":' not in text] == []


def guide_commands():
    text = (TREE / "docs" / "guide" / "plan.md").read_text(encoding="utf-8")
    return [line[2:] for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines() if line.startswith("$ ")]


def test_the_commands_of_the_guide(plans):
    shutil.copytree(TREE / "examples" / "plan", plans.directory / "examples" / "plan")
    (plans.directory / "broken.yaml").write_text(MALFORMED["timeout.yaml"])
    bin = plans.directory.parent / "bin"
    bin.mkdir()
    (bin / "casemate").symlink_to(CASEMATE)
    environment = plans.environment | {"PATH": f"{bin}:{plans.environment['PATH']}"}
    for command in guide_commands():
        done = subprocess.run(shlex.split(command), cwd=plans.directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == (2 if "broken" in command else 0), (command, done.stdout, done.stderr)


# ---- what else people do


def test_exit_statuses(plans):
    plan = plans.cases("true", "false")
    assert plans("run", plan).returncode == 1
    assert plans("run", plan, "--case", "c1").returncode == 0
    assert plans("run", plan, "--case", "c9").returncode == 2
    assert plans("run", "missing.yaml").returncode == 2
    assert plans("run", plan, "--no-such-option").returncode == 2
    assert plans("run", plan, "--executor", "cloud").returncode == 2
    assert plans("run", plan, "--executor", "docker").returncode == 2  # no image
    assert plans("show", "0000").returncode == 2
    assert plans("verify", plan).returncode == 2  # never recorded


def test_limits_that_make_no_sense_name_their_option(plans):
    plan = plans.cases("true")
    for option in ("--memory", "--cpus", "--disk"):
        assert plans("run", plan, option, "much").err.startswith(f"casemate plan: {option}: ")


def test_an_id_comes_before_another_cases_name(plans):
    plan = plans.cases({"name": "c2", "command_line": "echo first > f"}, {"name": "c1", "command_line": "echo second > f"})
    assert plans("run", plan, "--output", "out").returncode == 0
    assert plans("show", "latest", "c1").out.startswith("c1  passed")
    assert plans("export", "latest", "exported").returncode == 0
    artifacts = plans.directory / "exported" / "artifacts"
    assert [(artifacts / case / "files/app/f").read_text() for case in ("001-c1", "002-c2")] == ["first\n", "second\n"]


def test_filters(plans):
    plan = plans.cases({"command_line": "true", "tags": ["smoke"]}, {"command_line": "true", "tags": ["slow"]}, {"command_line": "echo needle"})

    def ran(*words):
        return [case["id"] for case in plans.results(plan, *words)["cases"] if case["status"] == "passed"]

    assert ran("--tag", "smoke") == ["c1"]
    assert ran("--not-tag", "slow") == ["c1", "c3"]
    assert ran("--match", "needle") == ["c3"]
    assert ran("--case", "case 2") == ["c2"]
    done = plans("run", plans.cases("false", "true", name="two.yaml"), "--fail-fast", "--json")
    assert [case["status"] for case in json.loads(done.out)["cases"]] == ["failed", "not_run"]


def test_what_is_said_where_comes_in_order(plans):
    plan = plans.cases("echo $WHO; echo $ONLY", execution={"environment": {"WHO": "plan", "ONLY": "plan"}})
    (plans.directory / "config.toml").write_text("[execution]\nenvironment = { WHO = 'config' }\ntimeout = 5\n")
    (plans.directory / "config.yaml").write_text("execution: {environment: {WHO: config}}\n")
    assert by_id(plans.results(plan))["c1"]["stdout"] == "plan\nplan\n"
    for config in ("config.toml", "config.yaml"):
        assert by_id(plans.results(plan, "--config", config))["c1"]["stdout"] == "config\nplan\n"
    assert by_id(plans.results(plan, "--config", "config.toml", "-e", "WHO=flag"))["c1"]["stdout"] == "flag\nplan\n"
    (plans.directory / "wrong.yaml").write_text("execution: {timeout: soon}\n")
    assert plans("run", plan, "--config", "wrong.yaml").returncode == 2


def test_a_killed_run_goes_on(plans):
    plan = plans.cases("echo one >> /mark/log; echo made > made", "echo two >> /mark/log", "echo three >> /mark/log; [ -e /mark/go ] || sleep 4713", "echo four >> /mark/log")
    mark = plans.directory / "mark"
    mark.mkdir()
    words = ("-v", f"{mark}:/mark")
    process = plans.start("run", plan, *words, "--output", "before")
    wait_for_process("4713")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert gone("4713")
    (row,) = json.loads(plans("list", "--json").out)
    assert (row["state"], row["total"], row["passed"], row["not_run"]) == ("killed", 4, 2, 2)
    assert row["duration_ms"] > 0
    assert "2 of 4 passed, 2 not run" in plans("show", "latest").out
    (mark / "go").touch()
    results = plans.results(plan, *words, "--resume", "--output", "after")
    assert (plans.directory / "after" / "artifacts" / "001-c1" / "files" / "app" / "made").read_text() == "made\n"
    assert [case["status"] for case in results["cases"]] == ["passed"] * 4
    assert (mark / "log").read_text().split() == ["one", "two", "three", "three", "four"]
    assert [row["state"] for row in json.loads(plans("list", "--json").out)] == ["finished", "killed"]


def test_a_plan_that_has_changed_is_run_anew(plans):
    process = plans.start("run", plans.cases("true", "sleep 4716"))
    wait_for_process("4716")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert gone("4716")
    killed = json.loads(plans("list", "--json").out)[0]["run"]
    done = plans("run", plans.cases("true", "true"), "--resume")
    assert done.returncode == 0, done.err
    assert f"nothing to resume: the plan has changed since run {killed} was killed; all is run" in done.out


def test_only_a_run_goes_on_as_a_run(plans):
    plan = plans.cases("false", "sleep 4715")
    process = plans.start("record", plan)
    wait_for_process("4715")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert gone("4715")
    done = plans("run", plan, "--resume", "--case", "c1")
    assert done.returncode == 1  # what was recorded of c1 had no expectations
    assert "nothing to resume: run" in done.out and "is a 'record'" in done.out


def test_an_interrupted_run_tears_down(plans):
    plan = plans.cases("sleep 4714", "echo next", global_teardown=[{"id": "t", "type": "teardown", "description": "x", "command": "echo down > /mark/down"}])
    mark = plans.directory / "mark"
    mark.mkdir()
    process = plans.start("run", plan, "-v", f"{mark}:/mark")
    wait_for_process("4714")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert (mark / "down").read_text() == "down\n"
    assert gone("4714")


def test_write_keeps_what_it_does_not_know(plans):
    plan = plans.cases({"command_line": "echo hi", "owner": {"team": "a"}}, "false", colour="blue", metadata={"model": [1, 2.5, None]})
    assert plans("run", plan, "--write").returncode == 1
    written = plans.read()
    assert (written["colour"], written["metadata"]["model"], written["test_cases"][0]["owner"]) == ("blue", [1, 2.5, None], {"team": "a"})
    assert [case["status"] for case in written["test_cases"]] == ["passed", "failed"]
    assert written["test_cases"][0]["result"]["actual_output"] == "hi\n"
    assert plans("run", plan).returncode == 1  # and can be read again
    assert plans("run", plan, "--resume").returncode == 1


def test_a_plan_that_changes_meanwhile_is_left_alone(plans):
    plan = plans.cases("echo >> /mark/changed")
    text = (plans.directory / plan).read_text()
    (plans.directory / "mark").mkdir()
    (plans.directory / "mark" / "changed").write_text(text)
    os.link(plans.directory / "mark" / "changed", plans.directory / "linked.yaml")
    done = plans("run", "linked.yaml", "-v", f"{plans.directory}/mark:/mark", "--write")
    assert done.returncode == 125
    assert "has changed" in done.err
    assert (plans.directory / "linked.yaml").read_text() == text + "\n"


def test_record_writes_what_is_expected(plans):
    plan = plans.cases("echo lasting; date -Ins; echo too; echo two; echo too; echo warn >&2; exit 4")
    done = plans("record", plan, "-o", "recorded.yaml")
    assert done.returncode == 0, done.err
    case = plans.read("recorded.yaml")["test_cases"][0]
    assert (case["expected_exit_code"], case["expected_output_contains"], case["expected_error_contains"]) == (4, ["lasting", "too", "two"], ["warn"])
    assert plans("run", "recorded.yaml").returncode == 0
    plans("run", "recorded.yaml", "--output", "out")
    against = plans("verify", plan, "--against", "out/results.json")
    assert against.returncode == 0, against.out
    assert plans("verify", plan, "--against", "out/junit.xml").returncode == 2


def test_secrets_are_in_no_report(plans):
    plan = plans.cases('test -n "$TOKEN" && test -n "$OTHER" && echo used')
    plans.environment["OTHER"] = "hunter-two"
    done = plans("run", plan, "-e", "TOKEN=hunter-one", "--env=THIRD=hunter-three", "-e", "OTHER", "--output", "out")
    assert done.returncode == 0, done.out
    texts = [done.out, done.err, plans("show", "latest").out, plans("show", "latest", "--json").out]
    everywhere = [path for top in (plans.directory / "out", pathlib.Path(plans.environment["CASEMATE_STATE_DIR"])) for path in top.rglob("*") if path.is_file()]
    assert len(everywhere) > 5
    for text in [*texts, *(path.read_bytes().decode(errors="replace") for path in everywhere)]:
        assert "hunter" not in text


def test_hostile_output_can_not_drive_a_terminal(plans):
    plan = plans.cases("printf '\\033]0;owned\\007\\033[2J'; exit 1")
    done = plans("run", plan)
    assert b"\x1b" not in done.stdout + done.stderr
    assert "\\x1b]0;owned" in done.out


def test_a_terminal_gets_live_lines(plans):
    plan = plans.cases("sleep 2", "true")
    terminal = Terminal([CASEMATE, "plan", "run", plan], cwd=plans.directory, env=plans.environment | {"TERM": "xterm"})
    terminal.wait_for("c1")
    terminal.end()
    assert any("2 passed" in line for line in terminal.lines())


def test_init_writes_a_plan_that_passes(plans):
    done = plans("init", "sort", "-o", "made.yaml")
    assert done.returncode == 0, done.err
    made = plans.read("made.yaml")
    assert (made["tool_name"], len(made["test_cases"]) >= 2) == ("sort", True)
    run = plans("run", "made.yaml")
    assert run.returncode == 0, run.out + run.err
    (plans.directory / "made.yaml").write_text("completed by hand")
    again = plans("init", "sort", "-o", "made.yaml")
    assert (again.returncode, "made.yaml is there already" in again.err) == (2, True), again.err
    assert (plans.directory / "made.yaml").read_text() == "completed by hand"
    assert plans("init", "no-such-tool-anywhere").returncode == 125


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env", "=x"], "NAME=VALUE"),
        (["--memory", "lots"], "lots"),
        (["--cpus", "none"], "none"),
        (["--disk", "x"], "x"),
        (["--pids-limit", "many"], "many"),
        (["--timeout", "soon"], "soon"),
        (["--timeout", "0"], "no time"),
        (["--rule", "name"], "NAME=PATTERN=BY"),
        (["--rule", "name=[=x"], "name"),
        (["--without", "no-such-rule"], "no-such-rule"),
        (["--mount", "type=magic"], "magic"),
        (["--volume", "x"], "x"),
        (["--network", "wifi"], "wifi"),
        (["--shell", "sh"], "absolute"),
        (["--workdir", "here"], "absolute"),
        (["--image", "no such image"], "no such image"),
        (["--pull", "sometimes"], "sometimes"),
        (["--install", "rpm:x"], "rpm"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--match", "["], "["),
        (["--tag", "no-such-tag"], "no-such-tag"),
        (["--case", "nobody"], "no case has the id or name 'nobody'; known are c1\n"),
        (["-v", "/nonexistent:/x"], "there is no /nonexistent to be mounted at /x"),
        (["--user", "nobody"], "give numbers"),
        (["--parallel", "0"], "parallel"),
        (["--isolate", "none"], "isolate"),
        (["--outptu", "x"], "did you mean '--output'"),
    ],
)
def test_wrong_usage_is_one_line(plans, words, said):
    plan = plans.cases("true")
    done = plans("run", plan, *words)
    assert (done.returncode, done.out) == (2, ""), done.err
    assert said in done.err and done.err.count("\n") == 1


def test_configurations_that_are_none(plans):
    plan = plans.cases("true")
    for name, text in (("a.toml", "execution = ["), ("b.toml", "execution = 3"), ("c.json", "[]"), ("d.yaml", "execution: []")):
        (plans.directory / name).write_text(text)
        done = plans("run", plan, "--config", name)
        assert (done.returncode, name in done.err) == (2, True), done.err
    (plans.directory / "other.toml").write_text("[elsewhere]\nx = 1\n")
    assert plans("run", plan, "--config", "other.toml").returncode == 0


def test_verify_compares_which_files_are_changed(plans):
    case = {"command_line": "mkdir -p sub; echo x > sub/$FILE; mktemp >/dev/null; echo $RANDOM$(date +%N) > log"}
    plan = plans.cases(case)
    assert plans("record", plan, "--env", "FILE=one", "--output", "out").returncode == 0
    same = plans("verify", plan, "--env", "FILE=one")
    assert same.returncode == 0, same.out + same.err
    for words in ([], ["--compare", "contains"], ["--compare", "json"], ["--against", "out/results.json"]):
        other = plans("verify", plan, "--env", "FILE=two", *words)
        assert other.returncode == 1
        assert "changed files are not as recorded" in other.out, other.out
        assert "-created file /app/sub/one" in other.out


def test_a_plan_alone_gets_nothing_of_this_machine(plans):
    for execution, flag in (({"network": "host"}, ["--network", "none"]), ({"docker_image": "dir:/"}, ["--image", "host"])):
        plan = plans.cases("true", execution=execution)
        done = plans("run", plan)
        assert (done.returncode, "a plan alone does not get" in done.err) == (2, True), done.err
        assert plans("run", plan, *flag).returncode == 0
    (plans.directory / "own.toml").write_text('[execution]\nnetwork = "host"\n')
    assert plans("run", plans.cases("true", execution={"network": "host"}), "--config", "own.toml").returncode == 0


def test_showing(plans):
    plan = plans.cases({"command_line": "date -Ins; touch new", "name": "a date"}, {"command_line": "echo bad; exit 1"})
    quiet = plans("run", plan, "--quiet")
    assert quiet.returncode == 1
    assert "c2" in quiet.out and "PASS" not in quiet.out and quiet.err == ""
    run = json.loads(plans("list", "--json").out)[0]["run"]
    whole = plans("show", run[:6])
    assert "1 of 2 passed, 1 failed" in whole.out and "echo bad" in whole.out
    one = plans("show", run, "a date", "--normalised")
    assert "<timestamp>" in one.out and "created  /app/new" in one.out
    assert "<timestamp>" not in plans("show", run, "c1", "--normalised", "--without", "timestamp").out
    assert json.loads(plans("show", run, "c2", "--json").out)["return_code"] == 1
    assert [case["id"] for case in json.loads(plans("show", "latest", "--json").out)["cases"]] == ["c1", "c2"]
    missing = plans("show", run, "c7")
    assert (missing.returncode, "c7" in missing.err) == (2, True)
    assert plans("list", "-n", "0").returncode == 2
    assert plans("export", "ffff", "x").returncode == 2


def test_what_commands_are_and_may_write(plans):
    plan = plans.cases("id -u; id -g; touch mine", "touch /elsewhere 2>/dev/null || touch /tmp/fine")
    cases = by_id(plans.results(plan, "--user", "1000:1001", "--read-only"))
    assert cases["c1"]["stdout"] == "1000\n1001\n"
    named = by_id(plans.results(plans.cases("id -un; touch /x || echo no"), "--image", image_layout("python3.11"), "--user", "nobody", "--read-only"))
    assert named["c1"]["stdout"] == "nobody\nno\n"


def test_what_is_asked_for_and_not_there_is_one_line(plans):
    plan = plans.cases("true", "true")
    done = plans("run", plan, "--shell", "/bin/nope", "-q")
    assert (done.returncode, done.err.count("\n"), "there is no program /bin/nope" in done.err) == (125, 1, True), done.err
    assert "2 not run" in plans("show", "latest").out
    assert plans("run", plan, "--shell", "/bin/bash").returncode == 0
    done = plans("run", plan, "-e", "NOT_SET_ANYWHERE")
    assert (done.returncode, "--env NOT_SET_ANYWHERE: the caller has no such variable" in done.out) == (0, True)
    assert plans("run", plan, "--not-tag", "nothing-has-it").returncode == 0
    missing = plans("list", "nofile.yaml")
    assert (missing.returncode, missing.out, "there is no file nofile.yaml" in missing.err) == (2, "", True)
    export = plans("export", "latest", "out")
    assert "is in out: results.json" in export.err


def test_what_a_run_says(plans):
    plan = plans.cases(
        {"command_line": "sleep 4717 & sleep 0.3; echo $!", "name": "serves"},
        {"command_line": "echo said; echo oops >&2; exit 3"},
        {"command_line": "true", "depends_on": ["c2"]},
        {"command_line": "sleep 9", "timeout": 1},
    )
    done = plans("run", plan, "--output", "out")
    assert done.returncode == 1
    assert done.out.startswith("4 cases\n"), done.out
    assert "    serves\n" in done.out
    assert done.out.count("$ echo said; echo oops") == 1
    for word in ("property:", "collected", "LEAK", "leak:", "its process", "setup of", "FAILURES", "short test summary"):
        assert word not in done.out
    quiet = plans("run", plan, "-q")
    assert [line.split()[:2] for line in quiet.out.splitlines()[1:-1]] == [["FAIL", f"{plan}::c2"], ["SKIP", f"{plan}::c3"], ["TIMEOUT", f"{plan}::c4"]]
    suites = xml.etree.ElementTree.parse(plans.directory / "out" / "junit.xml").getroot()
    assert (suites.get("name"), suites[0].get("name")) == ("casemate plan", "sh")
    case = suites[0].find("testcase[@name='c2']")
    assert (case.findtext("system-out"), case.findtext("system-err")) == ("said\n", "oops\n")
    assert suites[0].find("testcase[@name='c4']/error").get("message").startswith("timed out")
    assert plans("export", json.loads(plans("list", "--json").out)[1]["run"], "exported").returncode == 0
    exported = xml.etree.ElementTree.parse(plans.directory / "exported" / "junit.xml").getroot()
    assert {case.get("classname") for case in exported.iter("testcase")} == {case.get("classname") for case in suites.iter("testcase")} == {plan}


def test_the_database_of_somebody_else(plans):
    plan = plans.cases("true", "seq 5000")
    assert plans("run", plan).returncode == 0
    state = pathlib.Path(plans.environment["CASEMATE_STATE_DIR"])
    with sqlite3.connect(state / "plans.db") as database:
        database.execute("UPDATE cases SET result = '{\"steps\": [{\"stdout\": 3, \"changes\": [4], \"outcome\": {\"kind\": \"x\"}}, 5]}' WHERE id = 'c1'")
    database.close()
    torn = plans("show", "latest")
    assert (torn.returncode, torn.err.count("\n")) == (125, 1)
    with sqlite3.connect(state / "plans.db") as database:
        database.execute("UPDATE cases SET result = '{', reason = ? WHERE id = 'c1'", ("\x1b[2J",))
    database.close()
    assert plans("show", "latest").returncode == 125
    assert "\x1b" not in plans("list").out
    (state / "plans.db").write_bytes(b"no database" * 1000)
    again = plans("run", plan)
    assert again.returncode == 0, again.err
    assert "was damaged" in again.out


def test_nothing_to_compare_with_where_there_is_no_database(plans):
    plan = plans.cases("echo hi")
    assert plans("run", plan, "--output", "out").returncode == 0
    plans.environment["CASEMATE_STATE_DIR"] = str(plans.directory / plan)  # a file
    for words in ((), ("--against", "latest")):
        done = plans("verify", plan, *words)
        assert done.returncode == 2, done.err
        assert "CASEMATE_STATE_DIR" in done.err
    assert plans("verify", plan, "--against", "out/results.json").returncode == 0


def test_a_results_file_that_is_none(plans):
    plan = plans.cases("echo hi", "printf '\\377'")
    for name, text in (("none.json", "{}"), ("torn.json", "{"), ("list.json", '{"cases": 3}')):
        (plans.directory / name).write_text(text)
        assert plans("verify", plan, "--against", name).returncode == 2
    (plans.directory / "odd.json").write_text('{"cases": [1, {"id": "c1", "outcome": "exited 0", "return_code": 0, "stdout": 3, "stdout_base64": "====", "steps": [7]}]}')
    odd = plans("verify", plan, "--against", "odd.json")
    assert odd.returncode == 1
    assert "has no such case" in odd.out
    assert plans("run", plan, "--output", "out").returncode == 0
    assert plans("verify", plan, "--against", "out/results.json").returncode == 0


def test_verify_tells_steps_and_cases_that_came_or_went(plans):
    def write(*commands, **more):
        steps = [{"id": f"s{command}", "type": "command", "description": "x", "command": f"echo {command}"} for command in commands]
        return plans.cases({"command_line": "echo own", "steps": steps}, *more.get("others", ()))

    plan = write("one", "two", others=["echo gone"])
    assert plans("record", plan).returncode == 0
    write("one", "three")
    done = plans("verify", plan, "--json")
    assert done.returncode == 1
    results = json.loads(done.out)
    case = by_id(results)["c1"]
    assert (case["status"], case["steps"][1]["status"]) == ("failed", "failed")
    assert "the step 'sthree' is not in run" in case["error_message"]
    assert any("'c2', which run" in note and "is not in the plan any more" in note for note in results["notes"]), results["notes"]
    write("one")
    done = plans("verify", plan)
    assert done.returncode == 1
    assert "the step 'stwo', which run" in done.out and "is not there any more" in done.out


def test_a_recording_of_one_case_leaves_the_others(plans):
    plan = plans.cases("echo one", "echo two")
    assert plans("record", plan).returncode == 0
    assert plans("record", plan, "--case", "c1").returncode == 0
    done = plans("verify", plan)
    assert done.returncode == 0, done.out + done.err
    plans.cases("echo one", "echo other")
    assert plans("verify", plan).returncode == 1


def test_cases_that_were_not_chosen_are_not_run(plans):
    plan = plans.cases("true", "true", "true")
    results = plans.results(plan, "--case", "c2")
    assert [case["status"] for case in results["cases"]] == ["not_run", "passed", "not_run"]
    assert (results["totals"]["passed"], results["totals"]["skipped"], results["totals"]["not_run"]) == (1, 0, 2)


def test_isolated_cases_have_what_they_need(plans):
    shutil.copy(EXAMPLE, plans.directory / "sort.yaml")
    done = plans("run", "sort.yaml", "--isolate", "case")
    assert done.returncode == 0, done.out + done.err


def test_recording_of_steps_and_texts(plans):
    steps = ["echo as-text", {"id": "own", "type": "command", "description": "x", "command": "echo own; exit 2", "expected_output": "else", "should_fail": False}]
    plan = plans.cases({"command_line": None, "steps": steps}, {"command_line": "sleep 9", "timeout": 1})
    done = plans("record", plan, "--write")
    assert done.returncode == 1  # a time-out is nothing to record
    case = plans.read()["test_cases"][0]
    assert case["steps"][0] == "echo as-text"
    assert (case["steps"][1]["expected_exit_code"], case["steps"][1]["expected_output_contains"]) == (2, ["own"])
    assert "expected_output" not in case["steps"][1]
    assert plans("run", plan, "--case", "c1").returncode == 0
    assert plans("record", plan, "--write", "-o", "x.yaml").returncode == 2


def test_a_results_directory_that_is_somebodys(plans):
    plan = plans.cases("true")
    mine = plans.directory / "mine"
    mine.mkdir()
    (mine / "plan.yaml").write_text("written by hand")
    done = plans("run", plan, "--output", "mine")
    assert (done.returncode, "no run put it there" in done.err) == (2, True), done.err
    assert [path.name for path in mine.iterdir()] == ["plan.yaml"]
    (mine / "plan.yaml").unlink()
    (plans.directory / "victim").write_text("stays")
    for name in ("results.json", "junit.xml", "artifacts"):
        (mine / name).symlink_to(plans.directory / "victim")
        done = plans("run", plan, "--output", "mine")
        assert (done.returncode, "is a symlink" in done.err) == (2, True), done.err
        (mine / name).unlink()
    assert (plans.directory / "victim").read_text() == "stays"
    for _ in range(2):
        assert plans("run", plan, "--output", "mine").returncode == 0


def test_a_disk_for_the_state_that_is_full(plans, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounts a file system that is small")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], check=True)
    try:
        environment = plans.environment | {"CASEMATE_STATE_DIR": str(small / "state")}
        full = Plans(plans.directory, environment)
        done = full("run", full.cases("head -c 1000000 /dev/urandom", "true"), "--quiet")
        assert done.returncode == 125, done.out + done.err
        assert "could be kept: no space left" in done.err, done.err
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_disk_that_is_full(plans):
    plan = plans.cases("echo hi")
    done = plans("run", plan, "--output", "/dev/full/x")
    assert (done.returncode, done.out.count("PASS")) == (125, 0)
    assert "/dev/full" in done.err
