"""The command line of py_test_runner: what Python's argparse says about the same arguments, word for word."""

import argparse
import contextlib
import io
import json

import pytest

REQUIRED = ("--script", "s.py", "--reqs", "r.txt")


def documented_parser():
    """The parser that the document describes."""
    parser = argparse.ArgumentParser(prog="py_test_runner.py", description="A simple Python script runner using Docker.")
    parser.add_argument("--script", required=True, help="Path to the Python script to execute. (Required)")
    parser.add_argument("--reqs", required=True, help="Path to the requirements.txt file. (Required)")
    parser.add_argument("--inputs", nargs="+", help="Optional list of input files to be copied into the context.")
    parser.add_argument("--script-args", help="A string of arguments to pass to the script being executed.")
    parser.add_argument("--json-output", action="store_true", help="Enable JSON output for machine readability.")
    return parser


def argparse_says(arguments, monkeypatch):
    """(exit status or None, stderr)"""
    monkeypatch.setenv("COLUMNS", "80")
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        try:
            documented_parser().parse_args(list(arguments))
        except SystemExit as end:
            return end.code, stderr.getvalue()
    return None, ""


WRONG = [
    (),
    ("--script", "s.py"),
    ("--reqs", "r.txt"),
    ("--script",),
    ("--script", "--reqs", "r.txt"),
    ("--script", "s.py", "--reqs"),
    ("--s", "s.py"),
    ("--scr=s.py",),
    ("--sc", "a", "--s", "b"),
    (*REQUIRED, "extra"),
    (*REQUIRED, "extra", "--unknown=3", "-z", "more", "--", "last"),
    (*REQUIRED, "--inputs"),
    (*REQUIRED, "--inputs", "--json-output"),
    (*REQUIRED, "--inputs", "--", "a"),
    (*REQUIRED, "--inputs", "a", "--", "b"),
    (*REQUIRED, "--script-args"),
    (*REQUIRED, "--script-args", "--json-output"),
    (*REQUIRED, "--script-args", "--in=a b"),
    (*REQUIRED, "--json-output=yes"),
    (*REQUIRED, "--json=1"),
    (*REQUIRED, "-hx"),
    (*REQUIRED, "--help=me"),
    ("--script", "--", "s.py"),
    (*REQUIRED, "-"),
    (*REQUIRED, "-5"),
    (*REQUIRED, ""),
    ("--unknown", *REQUIRED),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_is_told_as_argparse_tells_it(runner, monkeypatch, arguments):
    status, text = argparse_says(arguments, monkeypatch)
    assert status == 2
    done = runner(*arguments)
    assert done.stderr.decode() == text
    assert done.stdout == b"" or "--json" in " ".join(arguments)
    assert done.returncode == 2


RIGHT = [
    REQUIRED,
    ("--script=s.py", "--reqs=r.txt"),
    (*REQUIRED, "--in", "a", "b"),
    (*REQUIRED, "--i", "a", "--j"),
    ("--r", "r.txt", "--script", "s.py"),
    (*REQUIRED, "--script-args", "--input-file data.csv --mode fast"),
    (*REQUIRED, "--script-args", "-5"),
    (*REQUIRED, "--script-args=--x"),
    (*REQUIRED, "--script-args", ""),
    (*REQUIRED, "--script-a", "x"),
]


@pytest.mark.parametrize("arguments", RIGHT, ids=" ".join)
def test_what_argparse_takes_is_taken(runner, monkeypatch, arguments):
    """No file exists here, so the run ends with file_not_found; but the arguments were understood."""
    assert argparse_says(arguments, monkeypatch)[0] is None
    done = runner(*arguments, "--json-output")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error_type"] == "file_not_found"


def test_help_describes_the_documented_options_as_the_document_does(runner, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    documented = documented_parser().format_help().replace("A simple Python script runner using Docker.\n", "")
    usage, options = documented.split("\n\n", 1)
    done = runner("--help")
    assert done.returncode == 0
    assert done.stderr == b""
    assert done.stdout.decode().startswith(usage)
    assert options.strip() in done.stdout.decode()
    assert "examples:" in done.stdout.decode()
    assert max(map(len, done.stdout.decode().splitlines())) <= 82
    assert runner("-h").stdout == done.stdout


def test_version(runner):
    done = runner("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"casemate ")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--json-output",), "the following arguments are required: --script, --reqs"),
        ((*REQUIRED, "--json", "--inputs"), "argument --inputs: expected at least one argument"),
        ((*REQUIRED, "--json-output", "--script-args", "it's"), "argument --script-args: no closing quotation: a ' is never closed"),
        ((*REQUIRED, "--json-output", "--image", "python:3.10-slim"), None),
        ((*REQUIRED, "--json-output", "--memory", "much"), None),
    ],
)
def test_wrong_usage_in_json_mode_is_an_object(runner, arguments, message):
    done = runner(*arguments)
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert list(told) == ["status", "error_type", "message", "details"]
    assert told["status"] == "error"
    assert told["error_type"] == "runner_internal_error"
    assert told["details"]["reason"] == "usage"
    assert told["details"]["raw_logs"] == ""
    if message:
        assert told["message"] == message
    assert done.stderr.decode().endswith(f"py_test_runner.py: error: {told['message']}\n")


def test_an_image_without_a_transport_is_asked_back(runner):
    done = runner(*REQUIRED, "--image", "python:3.10-slim")
    assert done.returncode == 2
    assert b"argument --image: image 'python:3.10-slim': did you mean docker://python:3.10-slim?" in done.stderr
