"""`casemate script --cache` (py_test_runner): what is not run again. On an engine: test_remote_script_cache.py."""

import json

import pytest

# Another file and another line each time: what is equal is of before.
SOURCE = """
import pathlib, sys, uuid
pathlib.Path('made').mkdir()
pathlib.Path('made/id').write_text(str(uuid.uuid4()))
print(uuid.uuid4(), pathlib.Path('data.csv').read_text(), sys.argv[1:])
print('told', file=sys.stderr)
"""


@pytest.fixture
def script(runner, tmp_path):
    runner.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "cache")
    runner.write("data.csv", "a,b")
    return lambda source, *more, **options: runner.object(source, "--cache", "--inputs", "data.csv", *more, **options)


def test_the_second_time_is_the_first(script, runner):
    (first, status), files = script(SOURCE), runner.results()
    assert (status, first["details"]["cached"]) == (0, False), first
    second, status = script(SOURCE)
    assert (status, second["details"]["cached"]) == (0, True)
    for key in ("status", "message", "captured_files"):
        assert first[key] == second[key], key
    for key in ("exit_code", "raw_logs", "stdout", "stderr", "outcome", "captured", "deleted", "skipped"):
        assert first["details"][key] == second["details"][key], key
    assert runner.results() == files
    (runner.directory / "data.csv").touch()
    assert script(SOURCE)[0]["details"]["cached"]
    others = ((SOURCE + "# other", ()), (SOURCE, ("--script-args", "x")), (SOURCE, ("--env", "SEED=1")), (SOURCE, ("--memory", "700M")))
    told = [script(source, *more)[0]["details"] for source, more in others]
    assert [(each["cached"], each["stdout"] == first["details"]["stdout"]) for each in told] == [(False, False)] * 4
    runner.write("data.csv", "other")
    assert not script(SOURCE)[0]["details"]["cached"]


@pytest.mark.parametrize("ending", ["sys.exit(3)", "import os; os.kill(os.getpid(), 11)", "import time; time.sleep(100)"])
def test_what_did_not_end_well_is_never_kept(script, ending):
    (first, status), (second, again) = (script(SOURCE + ending, "--timeout", "2s") for _ in range(2))
    assert status == again == 1
    assert (first["details"]["cached"], second["details"]["cached"]) == (False, False)
    assert first["details"]["stdout"] != second["details"]["stdout"]


def test_what_is_not_kept_says_why(script):
    source = SOURCE + "import subprocess; subprocess.Popen(['sleep', '100'])"
    (first, status), (second, _) = script(source), script(source)
    assert status == 0
    assert "--cache: the result is not kept: it left processes behind" in first["details"]["notes"]
    assert not second["details"]["cached"]


def test_packages_that_are_compiled_behind_a_run_are_the_same(script, runner, wheelhouse):
    runner.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse), "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheelhouse)}
    runner.write("requirements.txt", "iniconfig\n")
    source = "import iniconfig, uuid; print(uuid.uuid4())"
    first, second = (script(source, requirements="requirements.txt")[0] for _ in range(2))
    assert (first["status"], first["details"]["stdout"]) == ("success", second["details"]["stdout"]), first
    assert second["details"]["cached"]


def test_what_people_see(runner, tmp_path):
    runner.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "cache")
    source = "import uuid; print(uuid.uuid4())"
    first, second = (runner.script(source, "--cache") for _ in range(2))
    assert first.stdout == second.stdout
    assert b"run: cached: not run again, nothing has changed since " in second.stderr and b"cached" not in first.stderr
    assert json.loads(runner.script(source, "--json-output").stdout)["details"].get("cached") is None  # without --cache


def test_only_cells_and_engines_have_it(runner):
    done = runner.script("pass", "--cache", "--executor", "docker")
    assert done.returncode == 2 and b"--cache can't be had with --executor docker; leave one of them out" in done.stderr
