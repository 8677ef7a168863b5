"""casemate runtime, as people and CI type it: whole texts, JSON, exit codes, reports, pipelines that can't be."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree
import zipfile

import pytest
from images import image_layout
from py_test_runner import CASEMATE, TREE, gone, wait_for_process
from terminal import Terminal

EXAMPLE = TREE / "examples" / "runtime"
SIGNATURE = "def main(input_paths, output_paths, environ_vars, job_args):\n"


class Pipeline:
    """A copy of examples/runtime, in which `casemate runtime` (or, as `cursus`, the same) is typed."""

    def __init__(self, directory, environment):
        shutil.copytree(EXAMPLE, directory)
        self.directory = directory
        self.environment = environment
        bin = directory.parent / "bin"
        bin.mkdir()
        self.programs = {"casemate": bin / "casemate", "cursus": bin / "cursus"}
        for program in self.programs.values():
            program.symlink_to(CASEMATE)

    def script(self, name, body, signature=SIGNATURE):
        """A script of these lines in main()."""
        text = signature + "".join(f"    {line}\n" for line in body.splitlines()) if signature else body
        (self.directory / "scripts" / f"{name}.py").write_text(text, encoding="utf-8")
        return name

    def file(self, name, content):
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else json.dumps(content).encode())
        return name

    def command(self, *words, program="casemate"):
        return [str(self.programs[program]), "runtime", *words]

    def __call__(self, *words, program="casemate", **options):
        options = {"cwd": self.directory, "env": self.environment, "stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 300} | options
        done = subprocess.run(self.command(*words, program=program), check=False, **options)
        done.out, done.err = (done.stdout or b"").decode(), (done.stderr or b"").decode()
        return done

    def left(self):
        """What lies in the workspace."""
        workspace = self.directory / "test_workspace"
        return sorted(str(path.relative_to(workspace)) for path in workspace.rglob("*"))


@pytest.fixture
def pipeline(tmp_path, casemate_directories):
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR", "LABEL_FIELD")}
    return Pipeline(tmp_path / "work", environment | casemate_directories)


def timeless(text):
    return re.sub(r"\d+\.\d{3}s", "N.NNNs", text)


# --- texts ---------------------------------------------------------------------------------------------------------------------------------


def test_a_script_that_passes(pipeline):
    done = pipeline("test-script", "tabular_preprocessing", "--workspace-dir", "./test_workspace", program="cursus")
    assert done.err == ""
    assert timeless(done.out) == (
        "Script Test Results:\n==================\nScript: tabular_preprocessing\nStatus: ✅ PASS\nExecution Time: N.NNNs\nHas Main Function: Yes\n"
    )
    assert done.returncode == 0
    assert pipeline.left() == []


def test_a_script_that_fails(pipeline):
    pipeline.script("broken", "print('so far')\nraise ValueError('no such column: \\x1b[31mage')")
    done = pipeline("test-script", "broken")
    assert timeless(done.out) == (
        "Script Test Results:\n==================\nScript: broken\nStatus: ❌ FAIL\nExecution Time: N.NNNs\nHas Main Function: Yes\n"
        "Error: ValueError: no such column: \\x1b[31mage\n\n"
        "Traceback (most recent call last):\n"
        f'  File "{pipeline.directory}/scripts/broken.py", line 3, in main\n'
        "    raise ValueError('no such column: \\x1b[31mage')\n"
        "ValueError: no such column: \\x1b[31mage\n\n"
        "--- stdout ---\nso far\n"
    )
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("source", "error", "main"),
    [
        ("x = 1\n", "Script missing main() function", "No"),
        ("def main(a, b):\n    pass\n", "Main function signature doesn't match script development guide", "Yes"),
        (SIGNATURE + "    import sys; sys.exit(3)\n", "the script called sys.exit(3)", "Yes"),
        (SIGNATURE + "    import os; os.kill(os.getpid(), 9)\n", "signaled 9 (SIGKILL)", "Yes"),
        (SIGNATURE + "    import os; os._exit(7)\n", "the script ended its process with status 7", "Yes"),
        (
            SIGNATURE + "    print('ran')\n    yield 1\n",
            "main() returned a generator, of which nothing has run: take `yield` out of it, or go through what it yields within it",
            "Yes",
        ),
        (
            "if True:\n    async " + SIGNATURE + "        print('ran')\n",
            "main() returned a coroutine, of which nothing has run: define it with `def`, and call asyncio.run() in it",
            "Yes",
        ),
        (
            "if True:\n    async " + SIGNATURE + "        yield 1\n",
            "main() returned an asynchronous generator, of which nothing has run: define it with `def`, and call asyncio.run() in it",
            "Yes",
        ),
        (SIGNATURE + "    pass\ndel main\n", "Script missing main() function", "No"),
        (SIGNATURE + "    pass\nmain = 3\n", "Script missing main() function", "No"),
        (
            "class Odd(Exception):\n    def __str__(self):\n        raise SystemExit(0)\n    __repr__ = __str__\n" + SIGNATURE + "    raise Odd\n",
            "Odd: <without a text: SystemExit>",
            "Yes",
        ),
    ],
    ids=["no-main", "signature", "exit", "killed", "os-exit", "generator", "coroutine", "asynchronous", "deleted", "rebound", "odd"],
)
def test_scripts_that_are_wrong(pipeline, source, error, main):
    pipeline.script("wrong", source, signature=None)
    done = pipeline("test-script", "wrong")
    assert f"\nHas Main Function: {main}\nError: {error}\n" in done.out
    assert done.returncode == 1


def test_job_args_of_any_name_reach_main(pipeline):
    pipeline.script("named", "assert vars(job_args) == {'self': 3, 'a b': 4}, job_args")
    spec = pipeline.file("spec.json", {"script_name": "named", "job_args": {"self": 3, "a b": 4}})
    done = pipeline("test-script", "named", "--spec", spec)
    assert (done.returncode, done.err) == (0, ""), done.out


def test_links_of_a_script_lead_no_later_process_out_of_its_outputs(pipeline):
    victim = pipeline.directory.parent / "victim"
    victim.mkdir()
    secret = pipeline.directory.parent / "secret.csv"
    secret.write_text("a\nsecret\n")
    links = {"sub": victim, "data.csv": secret, "up": "../../victim", "inner/up": "../../victim", "round": "inner/../../../victim"}
    pipeline.script(
        "makes_links",
        f"import os\no = output_paths['result']\nos.mkdir(o + '/inner')\nfor name, to in {({k: str(v) for k, v in links.items()})!r}.items():\n"
        "    os.symlink(to, o + '/' + name)\n"
        "open(o + '/inner/real.csv', 'w').write('fine')\nos.symlink(os.path.abspath(o) + '/inner/real.csv', o + '/latest')\nos.symlink('../inner', o + '/inner/same')",
    )
    spec = pipeline.file("links.json", {"script_name": "makes_links", "output_paths": {"result": "lk"}})
    done = pipeline("test-script", "makes_links", "--spec", spec, "--output-format", "json")
    result = json.loads(done.out)
    assert result["success"], result
    assert sorted(note.split("'")[1] for note in result["notes"] if note.endswith("is a symlink that leads out of its output: it was left out")) == sorted(links)
    assert sorted(os.listdir(pipeline.directory / "lk")) == ["inner", "latest"]
    assert os.readlink(pipeline.directory / "lk" / "latest") == "inner/real.csv"
    assert os.readlink(pipeline.directory / "lk" / "inner" / "same") == "../inner"
    pipeline.script("writes", "open(output_paths['result'] + '/x', 'w').write('x')")
    spec = pipeline.file("writes.json", {"script_name": "writes", "output_paths": {"result": "lk/sub"}})
    pipeline("test-script", "writes", "--spec", spec)
    assert list(victim.iterdir()) == []
    pipeline.script("reads", "print(open(input_paths['data']).read())")
    spec = pipeline.file("reads.json", {"script_name": "reads", "input_paths": {"data": "lk/data.csv"}})
    done = pipeline("test-script", "reads", "--spec", spec)
    assert done.returncode != 0 and "secret\n" not in done.out


def test_a_report_to_a_fifo_needs_a_reader(pipeline):
    os.mkfifo(pipeline.directory / "fifo")
    done = pipeline("test-script", "tabular_preprocessing", "--junit-xml", "fifo", timeout=60)
    assert done.err.count("\n") == 1 and "can't write fifo: nobody reads from it" in done.err
    assert done.returncode != 0
    with open(os.open(pipeline.directory / "fifo", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        done = pipeline("test-script", "tabular_preprocessing", "--junit-xml", "fifo", timeout=60)
        assert (done.err, done.returncode) == ("", 0)
        assert reader.read().startswith(b"<?xml")


def test_a_script_that_does_not_end(pipeline):
    pipeline.script("slow", "import time\ntime.sleep(86395)")
    done = pipeline("test-script", "slow", "--timeout", "0.5")
    assert "\nError: timeout: the script was still running after 500ms\n" in done.out or "timeout" in done.out, done.out
    assert float(re.search(r"Execution Time: (.*)s", done.out).group(1)) >= 0.5
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("signature", "found"),
    [
        ("def main(inputs, outputs=None, *more, quiet=True, **rest):\n", "main(inputs, outputs=..., *more, quiet=..., **rest)"),
        ("def main(a, /, b, *, c):\n", "main(a, /, b, *, c)"),
        ("async " + SIGNATURE, "async main(input_paths, output_paths, environ_vars, job_args)"),
        ("main = lambda data, n=1: 0\nif 0:\n", "main(data, n=1)"),
    ],
    ids=["other", "kinds", "async", "bound"],
)
def test_a_signature_that_is_wrong_is_shown(pipeline, signature, found):
    pipeline.script("wrong", "pass", signature)
    done = pipeline("test-script", "wrong")
    assert done.returncode == 1
    assert done.out.endswith(
        "\nError: Main function signature doesn't match script development guide\n"
        f"Note: found {found}, wanted main(input_paths, output_paths, environ_vars, job_args)\n"
    ), done.out


def test_notes_are_printed(pipeline):
    leaving = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), name='\\x1b[2Jsleeper').start()"
    pipeline.script("xgboost_training", leaving)
    note = "Note: still running when main() had ended: \\x1b[2Jsleeper\n"
    done = pipeline("test-script", "xgboost_training")
    assert (done.returncode, done.out.endswith("\nHas Main Function: Yes\n" + note)) == (0, True), done.out
    done = pipeline("test-compatibility", "tabular_preprocessing", "xgboost_training")
    assert (done.returncode, done.out.endswith("\nIssues: None\n\n=== xgboost_training ===\n" + note)) == (0, True), done.out
    done = pipeline("test-pipeline", "pipeline_config.json")
    assert "\n=== training ===\n" + note in done.out, done.out


def test_what_passed_is_shown_if_asked(pipeline):
    pipeline.script("xgboost_training", "print('went well')")
    for words, name in [(("test-compatibility", "tabular_preprocessing", "xgboost_training"), "xgboost_training"), (("test-pipeline", "pipeline_config.json"), "training")]:
        assert f"\n=== {name} ===\n" in pipeline(*words, "-v").out and "--- stdout ---\nwent well\n" in pipeline(*words, "-v").out
        assert "went well" not in pipeline(*words).out


def test_two_scripts_that_fit(pipeline):
    done = pipeline("test-compatibility", "tabular_preprocessing", "xgboost_training", program="cursus")
    assert (done.out, done.err, done.returncode) == (
        "Data Compatibility Test Results:\nScript A: tabular_preprocessing\nScript B: xgboost_training\nStatus: ✅ COMPATIBLE\n"
        "Data Format A: CSV\nData Format B: CSV\nIssues: None\n",
        "",
        0,
    )


def test_both_schemas_are_shown(pipeline):
    done = pipeline("test-compatibility", "tabular_preprocessing", "xgboost_training", "--explain")
    assert done.returncode == 0
    head, table = done.out.split("\n\n", 1)
    assert head.endswith("Issues: None")
    lines = [line.split() for line in table.splitlines()]
    assert lines[:3] == [["tabular_preprocessing", "->", "xgboost_training"], [], ["given:", "data_output,", "wanted:", "data_input"]]
    assert ["format", "CSV", "CSV"] in lines and ["rows", "5", "5"] in lines, table
    assert ["label", "int", "(int64)", "int", "(int64)"] in lines or ["label", "int", "int"] in lines, table


def test_two_scripts_that_do_not_fit(pipeline):
    pipeline.script("maker", "import os\nwith open(os.path.join(output_paths['data_output'], 'x.csv'), 'w') as f:\n    f.write('feature1,feature2\\n1,0.5\\n')")
    pipeline.script("taker", "import csv, os\npath = input_paths['data_input']\nfor name in os.listdir(path):\n    next(csv.DictReader(open(os.path.join(path, name))))['label']")
    done = pipeline("test-compatibility", "maker", "taker", "--explain")
    assert done.returncode == 1
    lines = done.out.splitlines()
    assert lines[:5] == [
        "Data Compatibility Test Results:",
        "Script A: maker",
        "Script B: taker",
        "Status: ❌ INCOMPATIBLE",
        "Data Format A: CSV",
    ]
    assert "  - Script B failed with script A output: KeyError: 'label'" in lines
    assert "  - column `label` is missing" in lines, done.out
    assert "=== taker ===\nTraceback (most recent call last):\n" in done.out and done.out.endswith("KeyError: 'label'\n")
    assert "=== maker ===" not in done.out
    assert "\nmaker -> taker\n" in done.out


def test_nothing_is_written(pipeline):
    pipeline.script("silent", "pass")
    done = pipeline("test-compatibility", "silent", "xgboost_training")
    assert "\nIssues:\n  - Script A did not produce output data\n\n=== xgboost_training ===\nTraceback " in done.out, done.out
    assert done.returncode == 1


def test_a_pipeline_that_passes(pipeline):
    done = pipeline("test-pipeline", "pipeline_config.json", "--log-level", "ERROR", program="cursus")
    assert (done.out, done.err, done.returncode) == (
        "Pipeline Flow Test Results:\nPipeline Status: ✅ PASS\nTotal Scripts: 3\nSuccessful Scripts: 3/3\nTotal Data Flows: 2\nSuccessful Data Flows: 2/2\nErrors: None\n",
        "",
        0,
    )
    assert pipeline.left() == []


def test_a_pipeline_that_fails(pipeline):
    pipeline.script("xgboost_training", "print('so far')\nraise RuntimeError('does not converge')")
    done = pipeline("test-pipeline", "pipeline_config.json")
    assert done.out == (
        "Pipeline Flow Test Results:\nPipeline Status: ❌ FAIL\nTotal Scripts: 3\nSuccessful Scripts: 1/3\nTotal Data Flows: 2\nSuccessful Data Flows: 0/2\nErrors:\n"
        "  - Step training failed: RuntimeError: does not converge\n  - Step evaluation was skipped: step 'training' failed\n\n"
        "=== training ===\nTraceback (most recent call last):\n"
        f'  File "{pipeline.directory}/scripts/xgboost_training.py", line 3, in main\n'
        "    raise RuntimeError('does not converge')\nRuntimeError: does not converge\n\n--- stdout ---\nso far\n"
    )
    assert done.returncode == 1
    assert "preprocessing: passed in " in done.err


# --- JSON and reports ----------------------------------------------------------------------------------------------------------------------


def test_json_is_all_that_is_printed(pipeline):
    pipeline.script("noisy", "import os, sys\nprint('{\"not\": \"ours\"}')\nos.write(1, b'\\xff\\n')\nos.system('echo from a shell')\nprint('warned', file=sys.stderr)")
    done = pipeline("test-script", "noisy", "--output-format", "json")
    told = json.loads(done.out)
    assert (told["script_name"], told["success"], told["has_main_function"], told["error_message"]) == ("noisy", True, True, None)
    assert '{"not": "ours"}' in told["standard_output"] and "from a shell" in told["standard_output"]
    assert told["standard_error"] == "warned\n"
    assert done.returncode == 0 and done.err == ""

    done = pipeline("test-compatibility", "tabular_preprocessing", "xgboost_training", "--output-format", "json")
    told = json.loads(done.out)
    assert told["compatible"] is True and told["result_b"]["success"] is True and told["compatibility_issues"] == []
    assert [column["name"] for data in told["data_a"] for one in data.get("members") or [data] for column in one["columns"]] == ["feature1", "feature2", "label"]

    done = pipeline("test-pipeline", "pipeline_config.json", "--output-format", "json")
    told = json.loads(done.out)
    assert list(told) == ["pipeline_success", "script_results", "data_flow_results", "errors"]
    assert list(told["script_results"]) == ["preprocessing", "training", "evaluation"]
    assert list(told["data_flow_results"]) == ["preprocessing->training", "training->evaluation"]


@pytest.mark.parametrize("words", [("test-script", "x", "--timeout", "0"), ("test-script",), ("test-script", "x", "--nonsense")])
def test_json_of_a_command_line_that_makes_no_sense(pipeline, words):
    done = pipeline(*words, "--output-format", "json")
    assert done.returncode == 2
    assert done.err == f"casemate runtime: {json.loads(done.out)['error']}\n"


def test_json_of_what_could_not_be_run(pipeline):
    done = pipeline("test-script", "nowhere", "--output-format", "json")
    assert json.loads(done.out) == {"error": "Script not found: nowhere (looked in src/cursus/steps/scripts, scripts, dockers/xgboost_atoz/scripts)"}
    assert done.returncode == 2


def test_reports(pipeline):
    pipeline.script("xgboost_training", "print('tried')\nraise RuntimeError('does <not> converge')")
    done = pipeline("test-pipeline", "pipeline_config.json", "--junit-xml", "results.xml", "--html", "page.html")
    assert done.returncode == 1
    cases = {case.get("name"): case for case in xml.etree.ElementTree.parse(pipeline.directory / "results.xml").iter("testcase")}
    assert sorted(cases) == ["evaluation", "preprocessing", "preprocessing->training", "training", "training->evaluation"]
    assert "does <not> converge" in cases["training"].find("failure").get("message")
    assert cases["evaluation"].find("skipped") is not None
    assert len(cases["preprocessing"]) == 0 or cases["preprocessing"].find("failure") is None
    page = (pipeline.directory / "page.html").read_text()
    assert "does <not> converge" not in page and "preprocessing" in page


def test_a_report_that_cannot_be_written(pipeline):
    done = pipeline("test-script", "tabular_preprocessing", "--junit-xml", "/dev/null/all.xml")
    assert done.returncode == 2
    assert done.err.count("\n") == 1 and "/dev/null/all.xml" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--junit-xml", "made"], "--junit-xml: made is a directory: name a file"),
        (["--html", "new/"], "--html: new/ is a directory: name a file"),
        (["--html", ""], "--html: must be the path of a file, is empty"),
        (["--html", "made/x", "--junit-xml", "./made/../made/x"], "--junit-xml and --html are the same file: made/x"),
        (["--html", "/dev/null/x"], "--html: "),
    ],
    ids=["directory", "slash", "empty", "same", "unwritable"],
)
def test_reports_are_looked_at_before_anything_runs(pipeline, words, said):
    (pipeline.directory / "made").mkdir()
    pipeline.script("runs", "print('ran')")
    done = pipeline("test-script", "runs", "-v", *words)
    assert (done.returncode, done.out) == (2, "")
    assert done.err.startswith("casemate runtime: " + said) and done.err.count("\n") == 1, done.err
    assert os.listdir(pipeline.directory / "made") == [] and not (pipeline.directory / "test_workspace").exists()


def test_output_that_nobody_can_read(pipeline):
    with open("/dev/full", "wb") as full:
        done = pipeline("test-script", "tabular_preprocessing", stdout=full, capture_output=False, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.err == "casemate runtime: can't write to stdout: No space left on device\n"


# --- data ----------------------------------------------------------------------------------------------------------------------------------


def test_sample_data(pipeline):
    pipeline.script("shown", "import os\nprint(open(os.path.join(input_paths['data_input'], 'data.csv')).read())")
    table = pipeline.file("table.json", {"name": ["a", "b"], "size": [1, 2]})
    assert pipeline("test-script", "shown", "--sample", table, "--verbose").out.endswith("--- stdout ---\nname,size\na,1\nb,2\n\n")
    schema = pipeline.file("schema.json", {"columns": {"age": {"type": "int", "min": 30, "max": 39}, "city": "str"}})
    rows = pipeline("test-script", "shown", "--sample", schema, "-v").out.split("--- stdout ---\n")[1].split()
    assert rows[0] == "age,city" and len(rows) == 6 and all(re.match(r"3\d,", row) for row in rows[1:])
    for content, said in [({"a": [1], "b": [1, 2]}, "b"), ("nothing", "no JSON"), ({"columns": {"x": "complex"}}, "x")]:
        done = pipeline("test-script", "shown", "--sample", pipeline.file("sample.json", content))
        assert done.returncode == 2 and done.out == "" and said in done.err and done.err.count("\n") == 1, done.err
        assert done.err.startswith("casemate runtime: sample.json:"), done.err


def test_a_spec(pipeline):
    spec = {
        "script_name": "tabular_preprocessing",
        "input_paths": {"data_input": "data/raw/readings.csv"},
        "output_paths": {"data_output": "made/processed"},
        "environ_vars": {"LABEL_FIELD": "target"},
        "job_args": {"job_type": "preprocessing"},
    }
    done = pipeline("test-script", "tabular_preprocessing", "--spec", pipeline.file("spec.json", spec), "--verbose")
    assert done.returncode == 0 and "job_type preprocessing kept 4 rows" in done.out, done.out
    assert (pipeline.directory / "made/processed/processed.csv").read_text().splitlines()[0] == "feature1,feature2,target"
    other = {**spec, "script_name": "xgboost_training", "input_paths": {"data_input": "elsewhere"}, "output_paths": {"model_output": "made/model"}, "environ_vars": {"MODEL_TYPE": "xgboost"}}
    (pipeline.directory / "specs").mkdir()
    for one in (spec, other):
        pipeline.file(f"specs/{one['script_name']}_runtime_test_spec.json", one)
    done = pipeline("test-compatibility", "tabular_preprocessing", "xgboost_training", "--specs-dir", "specs")
    assert done.returncode == 0, done.out
    assert sorted(os.listdir(pipeline.directory / "made/model")) == ["model.json", "predictions.csv"]
    missing = {**spec, "input_paths": {"data_input": "data/nothing.csv"}}
    done = pipeline("test-script", "tabular_preprocessing", "--spec", pipeline.file("spec.json", missing))
    assert done.returncode == 1
    assert "\nError: input path 'data_input' does not exist: data/nothing.csv\n" in done.out


def test_the_spec_is_of_another_script(pipeline):
    done = pipeline("test-script", "xgboost_training", "--spec", pipeline.file("spec.json", {"script_name": "tabular_preprocessing"}))
    assert done.returncode == 2
    assert done.err == "casemate runtime: spec.json is a spec of 'tabular_preprocessing', not of 'xgboost_training'\n"


def test_keys_that_are_misspelled(pipeline):
    pipeline.script("shown", "print(sorted(environ_vars))")
    config = pipeline.file("config.json", {"steps": {"a": {"script": "shown", "environ_var": {"A": "1"}}}, "owner": "me"})
    done = pipeline("test-pipeline", config)
    assert done.returncode == 0
    assert "WARNING steps.a: unknown key 'environ_var', did you mean 'environ_vars'?\n" in done.err, done.err
    assert "unknown" not in pipeline("test-pipeline", config, "--log-level", "ERROR").err
    spec = pipeline.file("specs/shown_runtime_test_spec.json", {"script_name": "shown", "output_path": {}})
    said = f"WARNING {spec}: unknown key 'output_path', did you mean 'output_paths'?\n"
    assert pipeline("test-script", "shown", "--spec", spec).err == said
    assert said in pipeline("test-compatibility", "shown", "shown", "--specs-dir", "specs").err
    config = pipeline.file("config.json", {"script_specs": [{"script_name": "shown", "environ_vras": {}}]})
    assert "WARNING config.json: script_specs[0]: unknown key 'environ_vras', did you mean 'environ_vars'?\n" in pipeline("test-pipeline", config).err


def test_what_is_wrong_in_a_file_names_the_file(pipeline):
    for document, words in [({"script_name": 7}, ["test-script", "tabular_preprocessing", "--spec"]), ({"script_specs": [7]}, ["test-pipeline"])]:
        done = pipeline(*words, pipeline.file("own.json", document))
        assert (done.returncode, done.out) == (2, "")
        assert re.fullmatch(r"casemate runtime: own\.json: script_(name|specs\[0\]): .* is a number\n", done.err), done.err


def test_colours(pipeline):
    words = ["test-script", "tabular_preprocessing"]
    assert "Status: ✅ \x1b[32mPASS\x1b[0m\n" in pipeline(*words, "--color", "always").out
    assert "\x1b" not in pipeline(*words, "--color", "never").out + pipeline(*words).out + pipeline(*words, "--output-format", "json", "--color", "always").out
    on_a_terminal = {}
    for name, more in [("coloured", {}), ("plain", {"NO_COLOR": "1"})]:
        terminal = Terminal(pipeline.command(*words), cwd=pipeline.directory, env=pipeline.environment | {"TERM": "xterm"} | more)
        assert terminal.end() == 0
        on_a_terminal[name] = terminal.bytes
        terminal.close()
    assert b"\x1b[32mPASS\x1b[0m" in on_a_terminal["coloured"] and b"\x1b" not in on_a_terminal["plain"]


def test_the_workspace(pipeline):
    assert pipeline("test-script", "tabular_preprocessing", "--workspace-dir", "kept", "--preserve-outputs").returncode == 0
    kept = pipeline.directory / "kept/test_tabular_preprocessing"
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*")) == ["output", "output/processed.csv"]
    assert pipeline("test-script", "tabular_preprocessing", "--workspace-dir", "kept", "--no-cleanup").returncode == 0
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*.csv")) == ["input/data.csv", "output/processed.csv"]


def test_two_of_one_name_at_a_time(pipeline):
    """The second waits until the first has ended."""
    marker = f"1.5{os.getpid() % 10}{int(time.time()) % 1000:03}"
    copy = "import shutil\nshutil.copy(input_paths['data_input'] + '/data.csv', output_paths['data_output'])"
    pipeline.script("slow", f"import subprocess\nsubprocess.run(['sleep', '{marker}'])\n{copy}")
    pipeline.script("other", copy)
    config = pipeline.file("config.json", {"steps": {"slow": {}, "other": {}}})
    all_words = [["test-script", "slow"], ["test-script", "slow"], ["test-pipeline", config], ["test-compatibility", "other", "slow"]]
    running = [
        subprocess.Popen(pipeline.command(*words), cwd=pipeline.directory, env=pipeline.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for words in all_words
    ]
    ended = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], ended
    assert any(b"another test of that name is running in this workspace" in err for _, err in ended), ended
    assert pipeline.left() == []


PICKLES = {
    "segfault": "import ctypes\n    return ctypes.string_at, (0,)",
    "memory": "return eval, (\"[bytearray(b'x') * (16 << 20) for _ in iter(int, 1)]\",)",
    "end": "import os\n    return os._exit, (0,)",
    "time": "import time\n    return time.sleep, (86394,)",
}
PICKLER = "import os, pickle\ndef how(self):\n    {how}\nwith open(os.path.join(output_paths['data_output'], 'a.pkl'), 'wb') as file:\n    pickle.dump(type('A', (), dict(__reduce__=how))(), file)"
SAID = {
    "segfault": r"signaled 11 \(SIGSEGV\)",
    "memory": r"out of memory.*|signaled 9 \(SIGKILL\)",
    "end": "exited 0",
    "time": r"it still went on after 5\.00 s",
}


@pytest.mark.parametrize("kind", PICKLES)
def test_data_that_cannot_be_looked_at(pipeline, kind):
    pipeline.script("maker", PICKLER.format(how=PICKLES[kind]))
    pipeline.script("taker", "pass")
    words = ["--memory", "512M"] if kind == "memory" else ["--timeout", "5"] if kind == "time" else []
    done = pipeline("test-compatibility", "maker", "taker", *words)
    issue = rf"Script A output 'data_output' can't be read: the look at it was ended: (?:{SAID[kind]})"
    assert re.search(rf"Status: ❌ INCOMPATIBLE\n(.*\n)*Issues:\n  - {issue}\n", done.out), done.out + done.err
    assert done.returncode == 1
    config = pipeline.file("config.json", {"steps": {name: {"script": name} for name in ("maker", "taker", "tabular_preprocessing")}})
    done = pipeline("test-pipeline", config, "--junit-xml", "results.xml", *words)
    assert (done.returncode, "Successful Scripts: 2/3\n" in done.out or "Successful Scripts: 3/3\n" in done.out) == (1, True), done.out + done.err
    assert re.search(rf"  - Data flow maker->taker: {issue}\n", done.out), done.out
    cases = {case.get("name"): case for case in xml.etree.ElementTree.parse(pipeline.directory / "results.xml").iter("testcase")}
    assert cases["maker"].find("failure") is None and re.search(issue, cases["maker->taker"].find("failure").get("message"))


def test_a_known_input_that_cannot_be_looked_at(pipeline):
    pipeline.script("taker", "raise ValueError('no')")
    specs = [
        {"script_name": "tabular_preprocessing", "input_paths": {"data_input": "data/raw/readings.csv"}, "output_paths": {"data_output": "made/a"}, "environ_vars": {"LABEL_FIELD": "target"}},
        {"script_name": "taker", "input_paths": {"data_output": "/proc"}, "output_paths": {"data_output": "made/b"}},
    ]
    (pipeline.directory / "specs").mkdir()
    for one in specs:
        pipeline.file(f"specs/{one['script_name']}_runtime_test_spec.json", one)
    done = pipeline("test-compatibility", "tabular_preprocessing", "taker", "--specs-dir", "specs")
    assert "Issues:\n  - Script B failed with script A output: ValueError: no\n\n" in done.out, done.out + done.err
    assert done.returncode == 1


@pytest.mark.parametrize("path", ["/dev/null", "/dev/null/x", "made/" + "n" * 300, "/proc/self/x"], ids=["device", "below-a-device", "name", "proc"])
def test_a_place_that_none_can_write_to_is_one_steps_own(pipeline, path):
    pipeline.script("other", "pass")
    config = {
        "script_specs": [
            {"script_name": "other", "step_name": "first"},
            {"script_name": "other", "step_name": "wrong", "output_paths": {"data_output": path}},
        ],
        "edges": [],
    }
    done = pipeline("test-pipeline", pipeline.file("config.json", config), "--output-format", "json")
    told = json.loads(done.out)
    assert done.returncode == 1, done.out + done.err
    assert {name: result["success"] for name, result in told["script_results"].items()} == {"first": True, "wrong": False}
    assert told["script_results"]["wrong"]["error_message"], told


# --- surroundings --------------------------------------------------------------------------------------------------------------------------


def test_what_a_script_sees(pipeline):
    looks = """\
import os, socket
print(sorted(os.listdir('.')), os.environ['LABEL_FIELD'], os.environ['MINE'])
for path in ('scripts', input_paths['data_input'], output_paths['data_output'], '/tmp', '.'):
    try:
        open(os.path.join(path, 'mark'), 'w').close()
        print('written')
    except OSError as problem:
        print(problem.strerror)
try:
    socket.create_connection(('127.0.0.1', 9), 2)
except OSError as problem:
    print(problem.strerror)
print(len(os.listdir('/sys/class/net')) if os.path.isdir('/sys/class/net') else 1)"""
    pipeline.script("looks", looks)
    done = pipeline("test-script", "looks", "-v", env=pipeline.environment | {"MINE": "of the caller"})
    assert done.out.split("--- stdout ---\n")[1].splitlines()[:7] == [
        "['scripts', 'test_workspace'] label of the caller",
        "Read-only file system",
        "Read-only file system",
        "written",
        "written",
        "written",
        "Connection refused",
    ]
    assert not list(pipeline.directory.rglob("mark"))


def test_an_image(pipeline):
    pipeline.script("shows", "import sys\nprint(sys.version_info[:2])")
    done = pipeline("test-script", "shows", "-v", "--image", image_layout("python3.13"))
    assert done.out.endswith("--- stdout ---\n(3, 13)\n"), done.out + done.err
    assert pipeline("test-pipeline", "pipeline_config.json", "--image", image_layout("python3.11")).returncode == 0


def own_six(pipeline):
    """A requirements file of a package that no index has."""
    wheel = pipeline.directory / "six-1.99-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("six.py", "__version__ = 'ours'\n")
        archive.writestr("six-1.99.dist-info/METADATA", "Metadata-Version: 2.1\nName: six\nVersion: 1.99\n")
        archive.writestr("six-1.99.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("six-1.99.dist-info/RECORD", "six.py,,\nsix-1.99.dist-info/METADATA,,\nsix-1.99.dist-info/WHEEL,,\nsix-1.99.dist-info/RECORD,,\n")
    return pipeline.file("requirements.txt", f"--no-index\n--find-links {pipeline.directory}\nsix==1.99\n")


def test_requirements(pipeline):
    pipeline.script("shows", "import six\nprint(six.__version__)")
    requirements = own_six(pipeline)
    done = pipeline("test-script", "shows", "-v", "--requirements", requirements)
    assert done.out.endswith("--- stdout ---\nours\n"), done.out + done.err
    missing = pipeline("test-script", "shows", "--requirements", pipeline.file("none.txt", "--no-index\nno-such-thing==1\n"))
    assert missing.returncode == 2 and missing.out == "" and "no-such-thing" in missing.err


def test_requirements_in_an_image(pipeline):
    pipeline.script("shows", "import sys, six\nprint(sys.version_info[:2], six.__version__)")
    done = pipeline("test-script", "shows", "-v", "--image", image_layout("python3.13"), "--requirements", own_six(pipeline))
    assert done.out.endswith("--- stdout ---\n(3, 13) ours\n"), done.out + done.err


def test_a_python_that_never_answers(pipeline):
    python = pipeline.directory / "python3"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o755)
    done = pipeline("test-script", "tabular_preprocessing", "--python", str(python))
    assert (done.returncode, done.out) == (2, "")
    assert str(python) in done.err, done.err


# --- command lines ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["test-script"], ["test-compatibility"], ["test-pipeline"]], ids=lambda words: " ".join(words) or "all")
def test_help(pipeline, words):
    done = pipeline(*words, "--help", program="cursus")
    assert (done.returncode, done.err) == (0, "")
    assert "cursus runtime test-script tabular_preprocessing" in done.out
    assert ("--timeout SECONDS" in done.out) == bool(words)
    assert max(map(len, done.out.splitlines())) <= 140


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_of_the_other_name(pipeline, word):
    done = subprocess.run([pipeline.programs["cursus"], word], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: cursus runtime TEST" in done.stdout and "test-compatibility" in done.stdout


def test_the_example_leaves_nothing_that_git_would_take(pipeline):
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")

    def git(*words):
        return subprocess.run(["git", *words], cwd=pipeline.directory, check=True, capture_output=True, text=True, timeout=60).stdout

    git("init", "--quiet")
    git("add", "--all")
    commands = [line.split()[3:] for line in text.splitlines() if line.startswith("$ casemate runtime ")]
    assert len(commands) == 3
    for words in commands:
        done = pipeline(*words, "--no-cleanup")
        assert done.returncode == 0, done.out + done.err
    assert pipeline.left() and not [line for line in git("status", "--porcelain").splitlines() if not line.startswith("A ")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "test-compatibility"),
        (["test-scripts", "x"], "test-script"),
        (["test-script"], "script"),
        (["test-compatibility", "a"], "script_b"),
        (["test-script", "x", "--output-format", "xml"], "xml"),
        (["test-script", "x", "--timeout", "0"], "--timeout"),
        (["test-script", "x", "--timeout", "nan"], "--timeout"),
        (["test-script", "x", "--spec", "s.json", "--sample", "d.json"], "--sample: the data is what the input_paths of --spec name: leave one of the two out"),
        (["test-compatibility", "x", "y", "--specs-dir", "specs", "--sample", "d.json"], "--sample: the data is what the input_paths of --specs-dir name"),
        (["test-script", "x", "--scripts-dir", "skripts"], "--scripts-dir: skripts does not exist"),
        (["test-script", "x", "--scripts-dir", "pipeline_config.json"], "--scripts-dir: pipeline_config.json is no directory"),
        (["test-script", "tabular_preprocesing"], "Script not found: tabular_preprocesing, did you mean 'tabular_preprocessing'? (looked in "),
        (["test-script", "x", "--timeout", "soon"], "soon"),
        (["test-script", "x", "--memory", "much"], "--memory: "),
        (["test-script", "x", "--memory", "1k"], "--memory: must be at least 1 MiB, is 1024 bytes"),
        (["test-script", "x", "--slots", "5000"], "--slots: must be a whole number from 0 to 1000, is 5000"),
        (["test-script", "x", "--workspace-dir", ""], "--workspace-dir"),
        (["test-script", "x", "--image", ""], "--image"),
        (["test-script", "x", "--tiemout", "3"], "did you mean '--timeout'?"),
        (["test-script", "x", "--log-level", "LOUD"], "--log-level: "),
        (["test-script", "x", "y"], "y"),
        (["test-script", ""], ""),
        (["test-script", "../../etc/passwd"], "passwd"),
        (["test-script", "x", "--workspace-dir", "/dev/null/x"], "/dev/null/x"),
        (["test-script", "tabular_preprocessing", "--python", "/nowhere/python"], "/nowhere/python"),
        (["test-script", "tabular_preprocessing", "--image", "dir:/nowhere"], "/nowhere"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_one_line(pipeline, words, said):
    done = pipeline(*words)
    assert done.returncode == 2, done.out
    assert done.out == ""
    assert done.err.startswith("casemate runtime: ") and done.err.count("\n") == 1 and said in done.err, done.err


# --- pipelines -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "config.json"),
        (b"", "config.json: is empty"),
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "config.json"),
        (b'{"steps": {"a": {"script": "x.py"},}}', "config.json"),
        (b'{"steps": ' * 100000, "config.json"),
    ],
    ids=["missing", "empty", "binary", "comma", "deep"],
)
def test_a_file_that_is_no_json(pipeline, content, said):
    if content is not None:
        pipeline.file("config.json", content)
    done = pipeline("test-pipeline", "config.json")
    assert done.returncode == 2, done.out
    assert done.out == "" and said in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize(
    ("configuration", "error"),
    [
        ({}, "No steps found in pipeline configuration"),
        ({"steps": {}}, "No steps found in pipeline configuration"),
        ([1, 2], None),
        ({"steps": 3}, None),
        ({"steps": {"a": {"script": 5}}}, None),
        ({"steps": {"a": {"depends_on": ["b"]}, "b": {"depends_on": ["a"]}}}, None),
        ({"nodes": ["a"], "edges": [["a", "z"]]}, None),
        ({"script_specs": "x"}, None),
    ],
    ids=["nothing", "no-steps", "list", "number", "script", "cycle", "missing-step", "specs"],
)
def test_what_is_no_pipeline(pipeline, configuration, error):
    done = pipeline("test-pipeline", pipeline.file("config.json", configuration), "--output-format", "json")
    told = json.loads(done.out)
    if done.returncode == 1:
        assert told["pipeline_success"] is False and told["script_results"] == {} and len(told["errors"]) == 1
        assert error is None or told["errors"] == [error]
    else:
        assert done.returncode == 2 and error is None and list(told) == ["error"]


def test_cycles_and_missing_steps_are_named(pipeline):
    cycle = {"steps": {"first": {}, "a": {"depends_on": ["b", "first"]}, "b": {"depends_on": ["a"]}}}
    assert re.search(r"steps depend on each other: (a -> b|b -> a)", pipeline("test-pipeline", pipeline.file("config.json", cycle)).out)
    missing = {"nodes": ["loading"], "edges": [["loading", "trainning"]]}
    assert "'trainning'" in pipeline("test-pipeline", pipeline.file("config.json", missing)).out


def test_a_step_whose_script_is_not_there(pipeline):
    config = pipeline.file("config.json", {"steps": {"pre": {"script": "tabular_preprocessing.py"}, "next": {"script": "nowhere.py"}, "last": {"script": "model_evaluation"}}})
    done = pipeline("test-pipeline", config)
    assert done.returncode == 1
    assert "\nSuccessful Scripts: 1/3\n" in done.out
    assert "  - Step next failed: Script not found: nowhere (looked in " in done.out
    assert "\n  - Step last was skipped: step 'next' failed\n" in done.out


def test_independent_steps(pipeline):
    """A failure stops what needs it, and nothing else."""
    pipeline.script("bad", "raise ValueError('no')")
    config = {
        "steps": {
            "source": {"script": "tabular_preprocessing"},
            "bad": {"script": "bad", "depends_on": ["source"]},
            "good": {"script": "xgboost_training", "depends_on": ["source"]},
            "after_bad": {"script": "model_evaluation", "depends_on": ["bad"]},
            "after_good": {"script": "model_evaluation", "depends_on": ["good"]},
        }
    }
    done = pipeline("test-pipeline", pipeline.file("config.json", config), "--output-format", "json")
    told = json.loads(done.out)
    assert {step: one["success"] for step, one in told["script_results"].items()} == {
        "source": True,
        "bad": False,
        "good": True,
        "after_bad": False,
        "after_good": True,
    }
    assert told["script_results"]["after_bad"]["skipped"] == "step 'bad' failed"
    assert done.returncode == 1


def test_a_thousand_steps(pipeline):
    pipeline.script("link", "import os, shutil\nfor path in input_paths.values():\n    for name in os.listdir(path):\n        shutil.copy(os.path.join(path, name), output_paths['data_output'])")
    config = pipeline.file("config.json", {"steps": {f"step{number}": {"script": "link.py"} for number in range(1000)}})
    done = pipeline("test-pipeline", config, "--log-level", "ERROR", timeout=900)
    assert done.out == (
        "Pipeline Flow Test Results:\nPipeline Status: ✅ PASS\nTotal Scripts: 1000\nSuccessful Scripts: 1000/1000\n"
        "Total Data Flows: 999\nSuccessful Data Flows: 999/999\nErrors: None\n"
    )
    assert done.returncode == 0 and pipeline.left() == []


# --- interruption ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing(pipeline, number):
    marker = f"8639{os.getpid() % 10}{int(time.time()) % 1000:03}"
    pipeline.script("slow", f"import subprocess\nprint('begins', flush=True)\nsubprocess.run(['sleep', '{marker}'])")
    config = pipeline.file("config.json", {"steps": {"a": {"script": "slow"}, "b": {"script": "slow"}}})
    process = subprocess.Popen(
        pipeline.command("test-pipeline", config, "--output-format", "json"),
        cwd=pipeline.directory,
        env=pipeline.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for_process(marker)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert json.loads(out) == {"error": "interrupted"}
    assert err.decode().splitlines()[-1] == "casemate runtime: interrupted"
    assert gone(marker)
    assert pipeline.left() == []
