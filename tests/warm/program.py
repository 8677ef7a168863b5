"""`casemate pytest` itself, beside a plain pytest of the same interpreter, and what both say of each test."""
import json
import os
import pathlib
import subprocess
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASEMATE = os.environ.get("CASEMATE", str(ROOT / "build/bin/casemate"))

RECORDER = """
import json, os
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    with open(os.environ["RECORD"], "a") as file:
        file.write(json.dumps([report.nodeid, report.when, report.outcome, hasattr(report, "wasxfail"), hasattr(report, "context")]) + "\\n")

def pytest_collectreport(report):
    if report.failed:
        with open(os.environ["RECORD"], "a") as file:
            file.write(json.dumps([report.nodeid, "collect", report.outcome, False, False]) + "\\n")
"""


class Run:
    """What a run said: `reports` in order of ids, `verdicts` and `past_capture` as {id: text}, `notes`, `status`, `text`."""

    def __init__(self, status, text, reports, verdicts=None, notes=(), past_capture=None):
        self.status, self.text, self.reports, self.verdicts, self.notes = status, text, sorted(reports), verdicts or {}, list(notes)
        self.past_capture = past_capture or {}


class Program:
    """A project in `directory` and an interpreter with pytest; what it leaves goes below `scratch`."""

    def __init__(self, directory, python, scratch):
        self.directory, self.python, self.scratch = pathlib.Path(directory), str(python), pathlib.Path(scratch)
        self.more = {}  # in the environment of casemate

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON", "GITHUB_", "VIRTUAL_ENV", "COV"))}
        return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **more}

    def start(self, command, timeout=170, **env):
        return subprocess.run(
            command, cwd=self.directory, env=self.environment(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )

    def plain(self, *args, **env):
        """`python -m pytest ARGS`."""
        record, plugins = self.scratch / "record.json", self.scratch / "plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "plain_recorder.py").write_text(RECORDER)
        record.write_text("")
        done = self.start(
            [self.python, "-m", "pytest", "-p", "plain_recorder", *args],
            RECORD=str(record), PYTHONPATH=str(plugins), PATH=f"{pathlib.Path(self.python).parent}:{os.environ['PATH']}", **env,
        )
        reports = [tuple(json.loads(line)) for line in record.read_text().splitlines()]
        return Run(done.returncode, done.stdout.decode("utf-8", "replace"), reports)

    def casemate(self, *args, **env):
        """`casemate pytest ARGS`."""
        lines = self.scratch / "lines.jsonl"
        done = self.start([CASEMATE, "pytest", f"--json-lines={lines}", f"--python={self.python}", *args], **self.more, **env)
        events = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
        lines.unlink(missing_ok=True)
        reports, verdicts, past_capture = [], {}, {}
        for event in events:
            if event["event"] == "collected":
                reports += [(problem["id"], "collect", "failed", False, False) for problem in event["problems"]]
            if event["event"] != "test_finished" or not event["last"]:
                continue
            verdicts[event["id"]] = event["verdict"]
            if event["output"]["stdout"] or event["output"]["stderr"]:
                past_capture[event["id"]] = event["output"]["stdout"] + event["output"]["stderr"]
            for report in event["reports"]:
                subtest = bool(report.get("subtest"))
                reports.append((event["id"], report["when"], report["outcome"], "xfail" in report, subtest))
        notes = [event["line"] for event in events if event["event"] == "note"]
        return Run(done.returncode, done.stdout.decode("utf-8", "replace"), reports, verdicts, notes, past_capture)


def difference(plain, ours):
    """What one run says and the other does not, a line each."""
    lines = [f"only plain: {report}" for report in plain.reports if report not in ours.reports]
    lines += [f"only casemate: {report}" for report in ours.reports if report not in plain.reports]
    if not lines and plain.reports != ours.reports:
        lines.append("the same reports, another number of them")
    return lines
