"""`casemate run --cache`: what is not run again, what is never kept, and `casemate explain --why`."""

import json
import os
import pathlib
import subprocess

import pytest
from py_test_runner import CASEMATE
from registry import Layout, layout, needs_images, small_root, tool  # noqa: F401  (fixtures)

# What this prints is another each time: equal output is output of before.
RANDOM = "cat /proc/sys/kernel/random/uuid"


@pytest.fixture(autouse=True)
def own_cache(run, tmp_path):
    """What lies in it is counted and damaged."""
    run.environment["CASEMATE_CACHE_DIR"] = str(tmp_path / "cache")


@pytest.fixture
def why(run):
    def ask(*arguments):
        return subprocess.run(
            [CASEMATE, "explain", "--why", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=run.environment,
            cwd=run.directory,
            timeout=60,
            check=False,
        )

    return ask


def cached(done):
    return b"casemate run: cached: not run again, nothing has changed since " in done.stderr


def test_the_second_time_is_the_first(run):
    (run.directory / "in").write_text("1")
    command = ("--cache", "--inputs", "in", "--", "sh", "-c", f"cat in; {RANDOM}; {RANDOM} >&2")
    first = run(*command)
    assert first.returncode == 0 and not cached(first), first.stderr
    second = run(*command)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert cached(second) and first.stderr in second.stderr
    assert run("-q", *command).stderr == first.stderr  # the command's own alone
    assert run(*command[1:]).stdout != first.stdout  # without --cache it is run
    (run.directory / "in").write_text("2")
    third = run(*command)
    assert not cached(third) and third.stdout != first.stdout
    (run.directory / "in").write_text("1")
    os.utime(run.directory / "in", (1, 1))
    assert run(*command).stdout == first.stdout


def test_both_streams_in_one_place_keep_their_order(run):
    command = ("--cache", "-q", "--", "sh", "-c", f"{RANDOM}; sleep 0.2; echo e >&2; sleep 0.2; echo o; sleep 0.2; echo e >&2")
    first = run(*command).stdout.decode().splitlines()
    done = subprocess.run([CASEMATE, "run", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=run.environment, cwd=run.directory, timeout=60, check=False)  # fmt: skip
    assert done.stdout.splitlines() == [first[0], "e", first[1], "e"]


def test_files_come_again(run):
    text = f"mkdir -p d/e; {RANDOM} > d/e/f; chmod 755 d/e/f; ln -s nowhere d/link; echo more >> in; mkfifo pipe"
    (run.directory / "in").write_text("x")
    told = []
    for out in ("out1", "out2"):
        told.append(run.object("--cache", "--inputs", "in", "--outputs", out, "--", "sh", "-c", text))
    (first, status), (second, again) = told
    assert (status, again) == (0, 0)
    assert (first["cached"], second["cached"]) == (False, True)
    for key in ("outcome", "captured", "skipped", "deleted", "stdout", "stderr", "resources"):
        assert first[key] == second[key], key
    one, other = run.directory / "out1", run.directory / "out2"
    assert (one / "d/e/f").read_bytes() == (other / "d/e/f").read_bytes()
    assert (one / "d/e/f").stat().st_mode == (other / "d/e/f").stat().st_mode
    assert (one / "d/e/f").stat().st_mtime == (other / "d/e/f").stat().st_mtime
    assert os.readlink(other / "d/link") == "nowhere"
    assert (other / "in").read_text() == "xmore\n"
    assert sorted(path.relative_to(one) for path in one.rglob("*")) == sorted(path.relative_to(other) for path in other.rglob("*"))


def test_a_name_that_is_taken_is_not_written_over(run):
    command = ("--cache", "--outputs", "out", "--", "sh", "-c", "echo made > f; echo g > g")
    assert run(*command).returncode == 0
    (run.directory / "out/f").write_text("mine")
    (run.directory / "out/g").unlink()
    done = run(*command)
    assert done.returncode == 125 and b"never written over" in done.stderr and cached(done)
    assert (run.directory / "out/f").read_text() == "mine"
    assert (run.directory / "out/g").read_text() == "g\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), f"{RANDOM}; exit 3"),
        ((), f"{RANDOM}; kill -9 $$"),
        (("--timeout", "200ms"), f"{RANDOM}; sleep 9"),
        (("--output-limit", "100"), f"{RANDOM}; seq 1000"),
    ],
    ids=["failed", "signaled", "timed-out", "output-limit"],
)
def test_what_did_not_end_well_is_never_kept(run, arguments, text):
    first, second = (run("--cache", *arguments, "--", "sh", "-c", text) for _ in range(2))
    assert first.returncode == second.returncode != 0
    assert first.stdout[:36] != second.stdout[:36]
    assert not cached(second)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--", "sh", "-c", f"{RANDOM}; sleep 100 & exit 0"), b"it left processes behind"),
        (("-i", "--", "sh", "-c", RANDOM), b"it reads stdin"),
        (("-v", "{here}:/x", "--", "sh", "-c", RANDOM), b"it may write to {here}"),
        (("-v", "{here}/odd:/x:ro", "--", "sh", "-c", RANDOM), b"is no UTF-8"),
    ],
    ids=["leftover", "stdin", "writable", "name"],
)
def test_what_is_not_kept_says_why(run, arguments, reason):
    (run.directory / "odd").mkdir()
    (run.directory / "odd" / os.fsdecode(b"\xff")).touch()
    here = str(run.directory)
    arguments = [word.replace("{here}", here) for word in arguments]
    first, second = (run("--cache", *arguments) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr
    assert first.stdout != second.stdout
    assert b"note: --cache: the result is not kept: " in first.stderr and reason.replace(b"{here}", os.fsencode(here)) in first.stderr


def test_a_read_only_mount_counts_by_content(run):
    (run.directory / "lib").mkdir()
    (run.directory / "lib/a").write_text("1")
    command = ("--cache", "-v", f"{run.directory}/lib:/lib2:ro", "--", "sh", "-c", f"cat /lib2/a; {RANDOM}")
    first = run(*command)
    assert run(*command).stdout == first.stdout
    (run.directory / "lib/a").write_text("2")
    assert run(*command).stdout != first.stdout


def test_a_damaged_result_is_none(run):
    command = ("--cache", "--", "sh", "-c", RANDOM)
    first = run(*command)
    kept = list(pathlib.Path(run.environment["CASEMATE_CACHE_DIR"]).glob("layers/*/tree/result"))
    assert len(kept) == 1
    data = bytearray(kept[0].read_bytes())
    data[len(data) // 2] ^= 1
    kept[0].write_bytes(data)
    second = run(*command)
    assert second.returncode == 0 and second.stdout != first.stdout and not cached(second)
    assert run(*command).stdout == second.stdout


def test_the_cache_lists_and_prunes_results(run):
    command = ("--cache", "--name", "x", "--", "sh", "-c", RANDOM)
    first = run(*command)

    def cache(*arguments):
        return subprocess.run([CASEMATE, "cache", *arguments], capture_output=True, text=True, env=run.environment, timeout=60, check=True).stdout

    assert "result: sh -c" in cache("list")
    cache("prune")
    assert run(*command).stdout != first.stdout


def test_two_at_once_and_one_that_is_killed(run):
    command = [CASEMATE, "run", "--cache", "-q", "--", "sh", "-c", f"sleep 0.3; {RANDOM}"]
    several = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=run.environment, cwd=run.directory) for _ in range(3)]
    several[0].kill()
    outputs = [process.communicate(timeout=60)[0] for process in several]
    assert run.out(*command[2:]).encode() in outputs[1:]


@needs_images
def test_an_image_counts_by_its_files(run, layout, why):  # noqa: F811
    image = f"oci:{layout.directory}:small"
    command = ("--cache", "--image", image, "--", "cat", "/proc/sys/kernel/random/uuid")
    first = run.out("-q", *command)
    assert run.out("-q", *command) == first
    told, _ = run.object(*command)
    assert told["cached"] is True and told["stdout"] == first
    assert "Nothing has changed" in why("--image", image, "--", "cat", "/proc/sys/kernel/random/uuid").stdout


# ---- explain --why


def test_why_names_what_changed(run, why):
    (run.directory / "src").mkdir()
    for name in ("a", "b", "c"):
        (run.directory / "src" / name).write_text(name)
    asked = ("-e", "SEED=1", "-e", "KEPT=1", "--inputs", "src", "--", "sh", "-c", "cat src/*")
    assert why(*asked).stdout.startswith("The command has not run with --cache in this directory.\nNo result")
    run("--cache", *asked)
    done = why(*asked)
    assert done.stdout.splitlines()[0].startswith("Nothing has changed since the last run with --cache (")
    assert done.stdout.splitlines()[1] == "A result for these inputs is kept: 'casemate run --cache' does not run the command."
    (run.directory / "src/a").write_text("other")
    (run.directory / "src/b").unlink()
    (run.directory / "src/d").touch()
    done = why("-e", "SEED=2", "-m", "600m", *asked[2:])
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first.startswith("Changed since the last run with --cache (")
    assert lines == [
        "  changed  limit memory: 536870912 -> 629145600",
        "  changed  variable SEED",
        "  changed  /app/src/a",
        "  gone     /app/src/b",
        "  new      /app/src/d",
        "No result for these inputs is kept: 'casemate run --cache' runs the command.",
    ]
    told = json.loads(why("--json", *asked).stdout)
    assert (told["same_arguments"], told["result_kept"], told["changes_in_all"]) == (True, False, 3)
    assert told["changes"] == [{"kind": "changed", "path": "/app/src/a"}, {"kind": "gone", "path": "/app/src/b"}, {"kind": "new", "path": "/app/src/d"}]
    other = why("-e", "SEED=1", "-e", "KEPT=1", "--inputs", "src", "--", "sh", "-c", "cat src/d")
    assert other.stdout.startswith("It has not run with these arguments; compared with the last run of the same program")
    assert "  changed  argument 2: cat src/* -> cat src/d\n" in other.stdout


def test_why_runs_nothing_and_leaves_nothing(run, why):
    (run.directory / "in").write_text("x")
    assert why("--inputs", "in", "--outputs", "out", "--", "sh", "-c", "echo ran > f").returncode == 0
    assert sorted(path.name for path in run.directory.iterdir() if path.name in ("out", "f")) == []
    assert list(pathlib.Path(run.environment["CASEMATE_CACHE_DIR"]).glob("tmp/*")) == []


def test_why_of_what_can_not_be_kept_is_an_error(why):
    done = why("-i", "--", "cat")
    assert done.returncode == 125
    assert done.stderr == "casemate explain: results of this command can't be kept: it reads stdin, whose bytes nobody knows beforehand\n"


def test_only_cells_have_it(run):
    done = run("--cache", "--executor", "docker", "--image", "docker://debian:12", "--", "true")
    assert done.returncode == 125 and b"--cache" in done.stderr
