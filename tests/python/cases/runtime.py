"""casemate.runtime: models, specs, what scripts do, threads, interruptions."""

import argparse
import dataclasses
import json
import logging
import os
import pickle
import signal
import threading

import casemate
from casemate.runtime import (
    DataCompatibilityResult,
    PipelineTestingSpec,
    PipelineTestingSpecBuilder,
    RuntimeTester,
    RuntimeTestingConfiguration,
    ScriptExecutionSpec,
    ScriptTestResult,
)
from cases import cells, processes, program, raises, until

SIGNATURE = "def main(input_paths, output_paths, environ_vars, job_args):\n"
COPY = "import os, shutil\nfor path in input_paths.values():\n    for name in os.listdir(path):\n        shutil.copy(os.path.join(path, name), list(output_paths.values())[0])"


def script(directory, name, body):
    (directory / f"{name}.py").write_text(SIGNATURE + "".join(f"    {line}\n" for line in body.splitlines()))
    return name


def tester_in(directory, **more):
    return RuntimeTester(directory / "work", script_directories=[str(directory)], **more)


def case_models_are_plain_data():
    spec = ScriptExecutionSpec("x", step_name="first", input_paths={"a": "b"}, environ_vars={"A": "1"}, job_args={"n": [1, 2.5, None]})
    for model in (
        spec,
        PipelineTestingSpec("p", [spec], [{"from_step": "first", "to_step": "first", "data_path": "d"}]),
        RuntimeTestingConfiguration("w", timeout_seconds=3, slots=2, memory_bytes=1 << 30),
        ScriptTestResult("x", False, 1.5, True, "no", traceback="t", outputs=["o"]),
        DataCompatibilityResult("x", "y", True, "CSV", "CSV", [], result_a=ScriptTestResult("x", True, 0.5, True)),
    ):
        assert pickle.loads(pickle.dumps(model)) == model
        plain = model.to_dict()
        assert json.loads(json.dumps(plain)) == plain
        again = type(model).from_dict(plain)
        assert again == model and again.to_dict() == plain
        assert str(model)
    spec.environ_vars["B"] = "2"
    assert spec != ScriptExecutionSpec("x") and spec.to_dict()["environ_vars"] == {"A": "1", "B": "2"}
    with raises(casemate.InvalidInput, "timeout_seconds"):
        RuntimeTestingConfiguration.from_dict({"workspace_dir": "w", "timeout_seconds": "soon"})
    with raises(TypeError):
        ScriptExecutionSpec("x", nonsense=1)


def case_specs_are_kept_in_files(directory):
    specs = str(directory / "specs")
    spec = ScriptExecutionSpec("näme", job_args=argparse.Namespace(a=1))
    path = spec.save_to_file(specs)
    assert path == f"{specs}/näme_runtime_test_spec.json"
    text = open(path, encoding="utf-8").read()
    assert text.startswith('{\n  "script_name": "näme"') and json.loads(text)["last_updated"] == spec.last_updated
    assert ScriptExecutionSpec.load_from_file("näme", specs).job_args == {"a": 1}
    with raises(FileNotFoundError, f"ScriptExecutionSpec file not found: {specs}/other_runtime_test_spec.json"):
        ScriptExecutionSpec.load_from_file("other", specs)
    with raises(casemate.InvalidInput, "slash"):
        ScriptExecutionSpec("../up").save_to_file(specs)
    builder = PipelineTestingSpecBuilder(str(directory))
    builder.save_script_spec(ScriptExecutionSpec("kept"))
    assert builder.list_saved_specs() == ["kept"] and builder.get_script_spec_by_name("gone") is None
    assert builder.match_step_to_spec("Kept", ["other", "kept"]) == "kept"


def case_a_script_is_no_part_of_this_process(directory):
    script(directory, "wild", "import json, os, sys\nprint('heard', os.environ['LABEL_FIELD'], job_args.job_type)\nos.environ['LEAKED'] = '1'\nsys.modules['json'].dumps = None\nsys.exit(3)")
    with tester_in(directory) as tester:
        result = tester.test_script("wild")
        assert (result.success, result.error_message) == (False, "the script called sys.exit(3)")
        assert result.standard_output == "heard label testing\n" and str(result.outcome) == "exited 0"
        assert "LEAKED" not in os.environ and json.dumps(1) == "1"
        assert str(result).splitlines()[3] == "Status: \u274c FAIL"
        assert not list((directory / "work").iterdir())
        with raises(FileNotFoundError, "Script not found: gone"):
            tester.test_script("gone")
        with raises(PermissionError, "not removed"):
            tester._cleanup_test_environment(str(directory))


def case_what_was_written_for_the_other_tool_in_its_later_form(directory):
    """Its code had other parameters than its document; both are taken."""
    script(directory, "first", COPY)
    script(directory, "second", COPY)
    default = ScriptExecutionSpec.create_default("first", "step_a", str(directory / "data"))
    assert default.step_name == "step_a" and default.environ_vars == {"LABEL_FIELD": "label"} and default.job_args == {"job_type": "testing"}
    (directory / "in").mkdir()
    (directory / "in" / "x.csv").write_text("label\n1\n")
    a = ScriptExecutionSpec("first", "a", {"i": str(directory / "in")}, {"o": str(directory / "mid")})
    b = ScriptExecutionSpec("second", "b", {"i": str(directory / "elsewhere")}, {"o": str(directory / "out")})

    class Dag:
        nodes = ["a", "b"]
        edges = [("a", "b")]

    spec = PipelineTestingSpec(pipeline_name="p", dag=Dag(), script_specs={"a": a, "b": b}, test_workspace_root=str(directory))
    config = RuntimeTestingConfiguration(str(directory / "work"), pipeline_spec=spec, script_directories=[str(directory)])
    with RuntimeTester(config) as tester:
        assert tester.pipeline_spec is spec
        results = tester.test_pipeline_flow_with_spec()
        assert results["pipeline_success"], results["errors"]
        assert list(results["data_flow_results"]) == ["a->b"]
        assert (directory / "out" / "x.csv").read_text() == "label\n1\n"
        assert tester.test_data_compatibility_with_specs(a, b).compatible
    built = PipelineTestingSpecBuilder(str(directory)).build_from_dag(Dag(), validate=False)
    assert [one.script_name for one in (built.script_specs.values() if isinstance(built.script_specs, dict) else built.script_specs)] == ["a", "b"]


def case_help_has_a_sentence_for_each_field_of_a_result():
    for one in (ScriptTestResult, DataCompatibilityResult):
        missing = [field.name for field in dataclasses.fields(one) if f"\n{field.name}: " not in one.__doc__]
        assert not missing, (one, missing)


def case_a_script_is_named_by_a_str(directory):
    with tester_in(directory) as tester:
        for call in (tester.test_script, tester._find_script_path, lambda name: tester.test_data_compatibility("x", name)):
            with raises(TypeError, "a script is named by a str, such as 'tabular_preprocessing' for tabular_preprocessing.py, not int"):
                call(3)


def case_data_that_does_not_fit(directory):
    script(directory, "maker", "import os\nopen(os.path.join(output_paths['data_output'], 'x.csv'), 'w').write('feature1,feature2\\na,0.5\\n')")
    script(directory, "taker", "raise KeyError('label')")
    with tester_in(directory) as tester:
        result = tester.test_data_compatibility("maker", "taker", tester._generate_sample_data())
        assert result.compatibility_issues[0] == "Script B failed with script A output: KeyError: 'label'"
        assert "column `label` is missing" in result.compatibility_issues and "`feature1` is str, was int" in result.compatibility_issues, result
        shown = result.explain()
        assert "feature1" in shown and "label" in shown
        assert DataCompatibilityResult.from_dict(result.to_dict()) == result


def case_threads_wait_without_the_gil(directory):
    for number in range(4):
        script(directory, f"s{number}", f"import time\ntime.sleep(0.2)\nprint({number})")
    found = {}
    with tester_in(directory, slots=4) as tester:
        threads = [threading.Thread(target=lambda n=number: found.update({n: tester.test_script(f"s{n}").standard_output})) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert found == {number: f"{number}\n" for number in range(4)}


def case_a_closed_tester(directory):
    script(directory, "idle", "pass")
    tester = tester_in(directory)
    assert tester.test_script("idle").success
    tester.close()
    tester.close()
    with raises(casemate.Cancelled):
        tester.test_script("idle")
    until(lambda: not cells(), "no cell is left")


BEGINS = "import os, time\nopen(os.path.join(list(output_paths.values())[0], 'begun'), 'w').close()\n"
SLEEPS = BEGINS + "time.sleep(600)"


def begun(directory, name):
    """Whether a script that begins with BEGINS is at its work: what it writes lies beside the place of its output."""
    return any((directory / "work" / f"test_{name}").rglob("begun"))


def case_close_ends_what_other_threads_wait_for(directory):
    script(directory, "slow", SLEEPS)
    tester = tester_in(directory)
    said = []

    def test():
        try:
            said.append(tester.test_script("slow"))
        except casemate.Cancelled as error:
            said.append(str(error))

    thread = threading.Thread(target=test)
    thread.start()
    until(lambda: begun(directory, "slow"), "the script has begun")
    tester.close()
    assert processes() == [], "all has ended when close() returns"
    thread.join(60)
    assert said == ["the tester is closed"], said
    assert not list((directory / "work").iterdir())


def case_a_handler_may_close_what_it_interrupts(directory):
    script(directory, "slow", SLEEPS)
    tester = tester_in(directory)
    before = signal.signal(signal.SIGUSR1, lambda *_: tester.close())
    threading.Thread(target=lambda: (until(lambda: begun(directory, "slow"), "it has begun"), os.kill(os.getpid(), signal.SIGUSR1))).start()
    with raises(casemate.Cancelled, "the tester is closed"):
        tester.test_script("slow")
    signal.signal(signal.SIGUSR1, before)
    until(lambda: processes() == [], "nothing is left")


def case_what_is_raised_for_one_thread_ends_its_script_alone(directory):
    script(directory, "slow", SLEEPS)
    script(directory, "other", BEGINS + "while not os.path.exists(list(input_paths.values())[0] + '/go'): time.sleep(0.01)\nprint('went on')")
    (directory / "in").mkdir()
    (directory / "out").mkdir()
    said = []
    with tester_in(directory, slots=2) as tester:
        spec = ScriptExecutionSpec("other", input_paths={"in": str(directory / "in")}, output_paths={"out": str(directory / "out")})
        thread = threading.Thread(target=lambda: said.append(tester.test_script_with_spec(spec)))
        thread.start()
        until(lambda: any(directory.glob("**/begun")), "the other one has begun")

        def handler(*_):
            raise LookupError("enough")

        before = signal.signal(signal.SIGUSR1, handler)
        threading.Thread(target=lambda: (until(lambda: begun(directory, "slow"), "it has begun"), os.kill(os.getpid(), signal.SIGUSR1))).start()
        with raises(LookupError, "enough"):
            tester.test_script("slow")
        signal.signal(signal.SIGUSR1, before)
        (directory / "in" / "go").touch()
        thread.join(60)
    assert said[0].success and said[0].standard_output == "went on\n", said


def case_a_fork_is_told_and_may_let_go(directory):
    script(directory, "idle", "print('ran')")
    text = """
import casemate, gc, os, sys
from casemate.runtime import RuntimeTester
directory = sys.argv[1]
def made(): return RuntimeTester(directory + "/work", script_directories=[directory])
tester, other, never_used = made(), made(), made()
assert tester.test_script("idle").success
child = os.fork()
if child == 0:
    try:
        tester.test_script("idle")
    except casemate.NotSupported as error:
        print(error)
    del tester, never_used
    gc.collect()
    own = made()
    print(own.test_script("idle").standard_output, flush=True)
    sys.exit(7)  # closes its own, not the ones that it let go of or was left with
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) if hasattr(os, "waitstatus_to_exitcode") else None
print(tester.test_script("idle").standard_output)
"""
    process = program(text, str(directory))
    out, err = process.communicate(timeout=120)
    told = "this process is a fork of the one that made the tester: make a tester here (or start workers by spawn)\nran\n\n7\nran\n\n"
    assert (process.returncode, out) == (0, told) and "Traceback" not in err, (process.returncode, out, err)
    assert not list((directory / "work").iterdir())


def case_the_end_of_the_program_ends_its_tests(directory):
    script(directory, "slow", SLEEPS)
    text = """
import pathlib, sys, threading, time
from casemate.runtime import RuntimeTester
directory = pathlib.Path(sys.argv[1])
tester = RuntimeTester(directory / "work", script_directories=[str(directory)])
threading.Thread(target=tester.test_script, args=("slow",), daemon=True).start()
while not any(directory.glob("work/**/begun")): time.sleep(0.01)
threading.Thread(target=tester.close, daemon=True).start() if sys.argv[2] == "closing" else None
print("over")
"""
    for how in ("running", "closing"):
        process = program(text, str(directory), how)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "over\n", ""), (how, process.returncode, out, err)
        assert not list((directory / "work").iterdir()), how
    until(lambda: not cells(), "no cell is left")


def case_a_thread_that_logs_does_not_harm_the_programs_end(directory):
    """Its logger runs below the library, and Python ends daemon threads that want the GIL: no frame of C++ may lie below such an end."""
    script(directory, "idle", "pass")
    text = """
import logging, sys, threading, time
from casemate.runtime import RuntimeTester
logged = threading.Event()
class Slow(logging.Handler):
    def emit(self, record):
        logged.set()
        time.sleep(float(sys.argv[2]))
logging.getLogger("casemate.runtime").addHandler(Slow())
logging.getLogger("casemate.runtime").setLevel(logging.DEBUG)
tester = RuntimeTester(sys.argv[1] + "/work", script_directories=[sys.argv[1]], log_level="DEBUG")
def work():
    while True: tester.test_script("idle")
threading.Thread(target=work, daemon=True).start()
logged.wait(60)
print("over")
"""
    for seconds in ("0.01", "0.05", "1.5"):
        process = program(text, str(directory), seconds)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "over\n"), (process.returncode, out, err)


def case_a_spec_that_makes_no_sense_is_not_valid(directory):
    builder = PipelineTestingSpecBuilder(str(directory))
    for spec, words in [
        (ScriptExecutionSpec("x", input_paths={"a": 7}), "input_paths"),
        (ScriptExecutionSpec(7), "script_name"),
        (ScriptExecutionSpec("x", environ_vars=["A"]), "environ_vars"),
        (ScriptExecutionSpec("x", job_args={"a": object()}), "job_args"),
        (ScriptExecutionSpec("../up"), ""),
    ]:
        said = builder.validate_spec(spec)
        assert said["valid"] is False and len(said["errors"]) >= 1, (spec, said)
        assert words in said["errors"][0], (spec, said)


def case_importing_it_is_cheap():
    process = program("import sys, casemate.runtime; print('argparse' in sys.modules, 'logging' in sys.modules)")
    assert process.communicate(timeout=60)[0] == "False False\n"


def case_what_is_told(directory):
    script(directory, "idle", "pass")
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append((record.levelname, record.getMessage()))

    logger = logging.getLogger("casemate.runtime")
    logger.addHandler(Keep())
    logger.setLevel(logging.DEBUG)
    for level, logs in (("INFO", True), ("WARNING", True), ("INFO", False)):
        del lines[:]
        with tester_in(directory, log_level=level, enable_logging=logs) as tester:
            assert tester.test_script("idle").success
        assert any(text.startswith("idle: passed in ") for _, text in lines) == (level == "INFO" and logs), lines
    with raises(casemate.InvalidInput, "log_level"):
        tester_in(directory, log_level="LOUD")


def case_ctrl_c_is_a_keyboard_interrupt(directory):
    script(directory, "slow", "import time\ntime.sleep(600)")
    text = (
        "import sys\nfrom casemate.runtime import RuntimeTester\ntester = RuntimeTester(sys.argv[1] + '/work', script_directories=[sys.argv[1]])\n"
        "print('ready', flush=True)\ntry:\n    tester.test_script('slow')\nexcept KeyboardInterrupt:\n    print('interrupted', flush=True)\n"
    )
    with program(text, str(directory)) as process:
        assert process.stdout.readline() == "ready\n"
        until(lambda: (directory / "work" / "test_slow").exists(), "the test has begun")
        until(cells, "there is a cell")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    assert not list((directory / "work").iterdir())
    until(lambda: not cells(), "no cell is left")
