"""Scripts that do what they should not, as independent steps of one pipeline: what is said of each, and that nobody else is hurt."""

import json
import os
import subprocess
import textwrap

import pytest
from conftest import PROGRAM

MAIN = "def main(input_paths, output_paths, environ_vars, job_args):\n"


def body(text):
    return MAIN + textwrap.indent(textwrap.dedent(text), "    ")


SCRIPTS = {
    # First, so that both slots are theirs.
    "slow_a": "import time\n" + body("print(time.monotonic()); time.sleep(1.5); print(time.monotonic())"),
    "slow_b": "import time\n" + body("print(time.monotonic()); time.sleep(1.5); print(time.monotonic())"),
    "no_main": "print('ran')\n",
    "wrong_signature": "def main(data): pass\n",
    "async_main": "async " + MAIN + "    pass\n",
    "more_parameters": "def main(input_paths, output_paths, environ_vars, job_args, retries=3, *, quiet=True):\n    print(retries, quiet)\n",
    "import_error": "import a_module_that_is_not_there\n" + body("pass"),
    "not_python": "def main(:\n",
    "exits": "import sys\n" + body("sys.exit(3)"),
    "exits_on_import": "import sys\nsys.exit(3)\n" + body("pass"),
    "raises": body("return {}['nothing']"),
    "prints_json": body("print('{\"pipeline_success\": true}'); print('to stdout', flush=True)"),
    "memory_bomb": body(
        """
        kept = []
        while True:
            kept.append(bytearray(b'x') * (16 << 20))
        """
    ),
    "writes_elsewhere": "import os\n"
    + body(
        """
        for path in (job_args.host_file, os.path.expanduser('~/casemate-was-here'), '/etc/casemate-was-here', '/var/tmp/casemate-was-here'):
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, 'w') as file:
                    file.write('hurt')
            except OSError as problem:
                print(type(problem).__name__)
        """
    ),
    "deletes_its_inputs": "import os, shutil\n"
    + body(
        """
        for name in os.listdir(input_paths['data']):
            try:
                os.remove(os.path.join(input_paths['data'], name))
            except OSError as problem:
                print(problem.strerror)
        shutil.rmtree(input_paths['data'], ignore_errors=True)
        """
    ),
    "leaves_a_thread": "import threading, time\n" + body("threading.Thread(target=time.sleep, args=(1000,), name='sleeper').start()"),
    "leaves_a_process": "import subprocess\n" + body("subprocess.Popen(['sleep', '1000'])"),
    "gigabyte": "import sys\n"
    + body(
        """
        block = 'x' * (1 << 20)
        for _ in range(1024):
            sys.stdout.write(block)
        print('the end')
        """
    ),
    "environment": "import os, subprocess\nAT_IMPORT = os.environ['MODE']\n"
    + body(
        """
        below = subprocess.run('echo $MODE', shell=True, capture_output=True, text=True).stdout.strip()
        print(AT_IMPORT, os.environ['MODE'], environ_vars['MODE'], below)
        """
    ),
    "needs_a_variable": "import os\n" + body("os.environ['NOBODY_SET_THIS']"),
    "größe_名前": body("print(input_paths['данные'] and open(output_paths['出力'] + '/ä ö.txt', 'w').write('ü'))"),
    "links_out": "import os\n"
    + body(
        """
        out = output_paths['result']
        os.symlink('/etc/passwd', out + '/passwd')
        os.symlink('../../../..', out + '/up')
        os.symlink('fine', out + '/latest')
        open(out + '/fine', 'w').write('fine')
        """
    ),
    "output_is_a_link": "import os\n" + body("os.symlink('/etc/passwd', output_paths['result'])"),
    "fifo": "import os\n" + body("os.mkfifo(output_paths['result'] + '/pipe'); open(output_paths['result'] + '/fine', 'w').write('fine')"),
    "sibling": "import beside\n" + body("print(beside.word())"),
    "guarded": body("print(__name__)\n") + "if __name__ == '__main__':\n    raise SystemExit('the guard ran')\n",
    "huge_return_value": body("return bytearray(200 << 20)"),
    "job_arguments": body("print(sorted(vars(job_args).items()))"),
    "crashes": "import ctypes\n" + body("ctypes.string_at(0)"),
    "odd_message": body("raise ValueError('\\x1b[2J\\udc80 first\\nsecond')"),
    "first_of_two": body("open(output_paths['result'] + '/first', 'w').write('1')"),
    "second_of_two": body("open(output_paths['result'] + '/second', 'w').write('2')"),
}
JOB_ARGS = {"text": "ä", "whole": 3, "part": 0.5, "yes": True, "nothing": None, "many": [1, "b", {"c": []}], "big": 2**40}


@pytest.fixture(scope="module")
def ran(shared_project):
    """(project, results by step, the whole answer)"""
    project = shared_project
    steps = {}
    for name, text in SCRIPTS.items():
        project.script(name, text)
        project.file("in/%s/data.csv" % name, "a,b\n1,2\n")
        steps[name] = {"inputs": {"data": "in/" + name}, "outputs": {"result": "out/" + name}}
    project.script("beside", "def word():\n    return 'from beside'\n")
    (project.directory / "scripts" / "alias.py").symlink_to("sibling.py")
    steps["alias"] = {}
    steps["environment"]["environ_vars"] = {"MODE": "test mode"}
    steps["job_arguments"]["job_args"] = JOB_ARGS
    steps["writes_elsewhere"]["job_args"] = {"host_file": str(project.directory / "hurt" / "file")}
    steps["größe_名前"].update(inputs={"данные": "in/größe_名前"}, outputs={"出力": "out/größe_名前"})
    steps["output_is_a_link"]["outputs"] = {"result": "out/linked.csv"}
    for name in ("first_of_two", "second_of_two"):
        steps[name]["outputs"] = {"result": "out/of_two"}
    project.file("out/links_out/mine.txt", "mine")
    project.file("pipeline.json", {"steps": steps, "edges": []})
    answer = project.json("test-pipeline", "pipeline.json", "--memory", "512m", "--slots", "2", status=1, env={"MODE": "the tester's"})
    return project, answer["script_results"], answer


FAILED = {
    "no_main": "Script missing main() function",
    "wrong_signature": "Main function signature doesn't match script development guide",
    "async_main": "Main function signature doesn't match script development guide",
    "import_error": "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
    "not_python": "SyntaxError: invalid syntax (not_python.py, line 1)",
    "exits": "the script called sys.exit(3)",
    "exits_on_import": "the script called sys.exit(3) when it was imported, before main()",
    "raises": "KeyError: 'nothing'",
    "needs_a_variable": "KeyError: 'NOBODY_SET_THIS'",
}
PRINTED = {
    "more_parameters": "3 True\n",
    "prints_json": '{"pipeline_success": true}\nto stdout\n',
    "environment": "test mode test mode test mode test mode\n",
    "größe_名前": "1\n",
    "sibling": "from beside\n",
    "alias": "from beside\n",
    "guarded": "guarded\n",
    "huge_return_value": "",
    "job_arguments": repr(sorted(JOB_ARGS.items())) + "\n",
}


@pytest.mark.parametrize("name", FAILED)
def test_what_is_wrong_is_said(ran, name):
    step = ran[1][name]
    assert step["success"] is False
    assert step["error_message"] == FAILED[name]
    assert step["standard_output"] == "", "nothing of it ran"
    assert step["has_main_function"] is (name not in ("no_main", "not_python"))
    assert "Step %s failed: %s" % (name, FAILED[name]) in ran[2]["errors"]
    assert "<casemate>" not in step["traceback"]
    assert ("Traceback" in step["traceback"]) is ("Error: " in FAILED[name])


@pytest.mark.parametrize("name", PRINTED)
def test_what_may_be_done_works(ran, name):
    step = ran[1][name]
    assert step["error_message"] is None
    assert step["success"] is True
    assert step["standard_output"] == PRINTED[name]


def test_a_memory_bomb_is_named(ran):
    step = ran[1]["memory_bomb"]
    assert step["success"] is False
    assert "memory" in step["error_message"], step["error_message"]


def test_a_crash_is_named(ran):
    assert "SIGSEGV" in ran[1]["crashes"]["error_message"], ran[1]["crashes"]["error_message"]


def test_nothing_is_written_elsewhere(ran):
    assert ran[1]["writes_elsewhere"]["success"], ran[1]["writes_elsewhere"]
    assert not (ran[0].directory / "hurt").exists()
    for path in ("~/casemate-was-here", "/etc/casemate-was-here", "/var/tmp/casemate-was-here"):
        assert not os.path.exists(os.path.expanduser(path))


def test_inputs_stay(ran):
    assert ran[1]["deletes_its_inputs"]["standard_output"] == "Read-only file system\n"
    assert (ran[0].directory / "in" / "deletes_its_inputs" / "data.csv").read_text() == "a,b\n1,2\n"


def test_what_still_runs_is_noted(ran):
    assert "still running when main() had ended: sleeper" in ran[1]["leaves_a_thread"]["notes"]
    assert ran[1]["leaves_a_thread"]["success"]
    assert any(note.startswith("still ran when the script had ended, and was killed: ") and "sleep" in note for note in ran[1]["leaves_a_process"]["notes"])


def test_a_gigabyte_of_output_is_bounded(ran):
    step = ran[1]["gigabyte"]
    assert step["success"], step["error_message"]
    assert step["standard_output"].startswith("xxx") and step["standard_output"].endswith("the end\n")
    assert len(step["standard_output"]) < 4 << 20


def test_names_of_any_alphabet_come_back(ran):
    assert ran[1]["größe_名前"]["outputs"] == ["out/größe_名前/ä ö.txt"]
    assert (ran[0].directory / "out" / "größe_名前" / "ä ö.txt").read_text() == "ü"


def notes_of(step):
    """Its notes, but for those of a host on which this user has no cgroups."""
    return [note for note in step["notes"] if " limit held by " not in note]


def test_links_stay_links_unless_they_lead_out(ran):
    out = ran[0].directory / "out"
    assert os.readlink(out / "links_out" / "latest") == "fine"
    assert sorted(os.listdir(out / "links_out")) == ["fine", "latest", "mine.txt"]
    assert (out / "links_out" / "fine").read_text() == "fine"
    assert (out / "links_out" / "mine.txt").read_text() == "mine"
    assert sorted(notes_of(ran[1]["links_out"])) == [
        "'out/links_out' holds 1 file that no test wrote: it stays beside what this script wrote",
        "'passwd' is a symlink that leads out of its output: it was left out",
        "'up' is a symlink that leads out of its output: it was left out",
    ]
    assert not os.path.lexists(out / "linked.csv")
    assert notes_of(ran[1]["output_is_a_link"]) == ["'out/linked.csv' is a symlink: it was left out"]


def test_a_fifo_does_not_come_back(ran):
    assert os.listdir(ran[0].directory / "out" / "fifo") == ["fine"]
    assert notes_of(ran[1]["fifo"]) == ["'pipe' is neither a file nor a directory: it was left out"]


def test_a_message_is_no_way_to_the_screen(ran):
    assert ran[1]["odd_message"]["error_message"].startswith("ValueError: ")
    assert "\x1b" not in json.dumps(ran[1]["odd_message"], ensure_ascii=False)


def test_independent_steps_run_side_by_side(ran):
    (begin_a, end_a), (begin_b, end_b) = ([float(line) for line in ran[1][name]["standard_output"].split()] for name in ("slow_a", "slow_b"))
    assert begin_a < end_b and begin_b < end_a


def test_two_steps_write_to_one_directory(ran):
    directory = ran[0].directory / "out" / "of_two"
    assert sorted(os.listdir(directory)) == ["first", "second"]
    assert notes_of(ran[1]["first_of_two"]) == notes_of(ran[1]["second_of_two"]) == []


def test_an_endless_loop_ends_in_time(project):
    project.script("endless", body("while True: pass"))
    done = project.run("test-script", "endless", "--timeout", "1.5", status=1)
    assert "Error: timeout: the script was still running after 1.50 s" in done.stdout


@pytest.mark.parametrize(
    "content, said",
    [
        ('{"script_name": "x", ', "spec.json:1:21: is no JSON"),
        ("[]", "must be an object"),
        ({"script_name": 3}, "script_name: must be a text"),
        ({"script_name": "x", "input_paths": ["a"]}, "input_paths: "),
        ({"script_name": "x", "environ_vars": {"A": 1}}, "environ_vars"),
        ({"script_name": "x", "job_args": "none"}, "job_args: "),
    ],
    ids=["malformed", "list", "number", "paths", "variables", "arguments"],
)
def test_a_spec_that_makes_no_sense_is_refused(project, content, said):
    spec = project.file("spec.json", content)
    done = project.run("test-script", "x", "--spec", spec, status=2)
    assert said in done.stderr, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1


def test_bad_paths_of_a_step_are_its_own_failure(project):
    project.script("fine", body("open(output_paths['o'] + '/f', 'w').write('x')"))
    for name in ("in", "own"):
        project.file(name + "/data.csv", "a\n1\n")
    project.file(
        "pipeline.json",
        {
            "edges": [],
            "steps": {
                "fine": {"inputs": {"i": "in"}, "outputs": {"o": "out"}},
                "over_its_input": {"script": "fine", "inputs": {"i": "own"}, "outputs": {"o": "own"}},
                "without_input": {"script": "fine", "inputs": {"i": "nowhere"}, "outputs": {"o": "other"}},
            }
        },
    )
    result = project.json("test-pipeline", "pipeline.json", status=1)
    assert result["script_results"]["fine"]["success"]
    assert result["script_results"]["over_its_input"]["error_message"].startswith("output path 'own' holds '")
    assert "input path 'i' does not exist: nowhere" in result["errors"][1]
    assert (project.directory / "own" / "data.csv").read_text() == "a\n1\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting is root's")
def test_an_output_directory_may_be_a_mount(project):
    project.script("fine", body("open(output_paths['o'] + '/f', 'w').write('x')"))
    spec = project.file("spec.json", {"script_name": "fine", "output_paths": {"o": "volume"}})
    project.file("volume/under", "")
    words = [PROGRAM, "runtime", "test-script", "fine", "--spec", str(spec), "--python", "/usr/bin/python3"]
    line = 'mount -t tmpfs none volume && echo mine >volume/mine && "$@" >&2 && "$@" >&2 && ls -A volume'
    done = subprocess.run(["unshare", "-m", "sh", "-c", line, "sh", *words], cwd=project.directory, capture_output=True, text=True, timeout=120)
    assert done.stdout == "f\nmine\n", done.stdout + done.stderr
    assert os.listdir(project.directory / "volume") == ["under"]
