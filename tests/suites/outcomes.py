#!/usr/bin/env python3
"""Compares, test by test, how a suite comes out in plain pytest and in `casemate pytest`.

usage: outcomes.py [SUITE...]        compare these (all of suites.toml), print every difference
       outcomes.py --plain [SUITE]   only plain pytest; print the counts
Exit status 1 if there is a difference that explained.toml does not explain, or an entry there that explains none.
"""

from __future__ import annotations

import collections
import ctypes
import fcntl
import fnmatch
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import prepare

CASEMATE = os.environ.get("CASEMATE") or str(prepare.TREE / "build/bin/casemate")
MOST_SECONDS = int(os.environ.get("CASEMATE_SUITES_SECONDS", "1200"))
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
WARNINGS_THAT_DIFFER = ("PytestUnraisableExceptionWarning", "PytestUnhandledThreadExceptionWarning")  # theirs is the test that the garbage collector chose


@dataclass
class Test:
    """How one test came out."""

    verdict: str = ""
    reasons: tuple[str, ...] = ()  # of skips and xfails
    texts: tuple[str, ...] = ()  # of failures, in order, without what differs between any two runs
    warnings: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()  # of record_property

    def told(self, part: str) -> str:
        """The last lines of its failures, for a difference that does not show them itself."""
        if part != "verdict":
            return ""
        return "".join(f"\n      | {line}" for text in self.texts for line in text.splitlines()[-25:])

    def differs(self, other: Test) -> str:
        """Which part of it is another's not; "" if none."""
        for part in ("verdict", "reasons", "texts", "warnings", "properties"):
            if getattr(self, part) != getattr(other, part):
                return part
        return ""


@dataclass
class Difference:
    suite: str
    id: str
    part: str  # a field of Test
    plain: str
    ours: str
    why: str = ""
    told: str = ""  # what is to be seen of a failure

    def __str__(self) -> str:
        explained = f"\n    explained: {self.why}" if self.why else ""
        return f"  {self.suite} {self.id}: {self.part}\n    plain: {self.plain[:3000]}\n    ours:  {self.ours[:3000]}{explained}{self.told}"


@dataclass
class Run:
    tests: dict[str, Test] = field(default_factory=dict)
    seconds: float = 0
    status: int = 0
    output: str = ""

    def counts(self) -> str:
        counted = collections.Counter(test.verdict for test in self.tests.values())
        return ", ".join(f"{counted[verdict]} {verdict}" for verdict in sorted(counted))


def as_started_by_a_shell() -> None:
    """For a child before its exec: nohup and some CIs ignore SIGHUP, which plain pytest would inherit, and a cell does not."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def loopback_only() -> None:
    """The same, and a network namespace of its own, with its loopback up."""
    as_started_by_a_shell()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | (0 if os.geteuid() == 0 else CLONE_NEWUSER)) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def apart(one: str, other: str) -> tuple[str, str]:
    """Of two long lists only what the other has not."""
    if max(len(one), len(other)) < 300:
        return one, other
    ones, others = one.split(", "), other.split(", ")
    return ", ".join(word for word in ones if word not in others), ", ".join(word for word in others if word not in ones)


def same_in_all_runs(text: str) -> str:
    """Without what differs between two runs of one program: addresses, temporary directories, times, names of worker threads."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text)
    text = re.sub(r"/[\w./-]*pytest-of-\w+/pytest-\d+", "BASETEMP", text)
    text = re.sub(r"/tmp/[\w.-]+|/var/tmp/[\w.-]+", "TEMPORARY", text)
    text = re.sub(r"\b\d+\.\d+ ?(s|ms|us|seconds)\b", "TIME", text)
    text = re.sub(r"Thread-\d+|Task-\d+|pid[ =:]+\d+", "NUMBERED", text)
    return text.strip()


def verdict_of(reports: list[dict]) -> str:
    """pytest's word for a test, from its reports; a failure of the call counts before one of the tear-down."""
    word = ""
    for report in reports:
        failed = report["outcome"] == "failed"
        if failed and report["when"] in ("setup", "teardown", "collect"):
            word = "failed" if word == "failed" else "error"
        elif failed:
            word = "failed"
        elif report["outcome"] == "skipped" and word not in ("failed", "error") and not report.get("subtest"):
            word = "xfailed" if "xfail" in report else "skipped"
        elif report["outcome"] == "passed" and report["when"] == "call" and not word:
            word = "xpassed" if "xfail" in report else "passed"
    return word or "nothing"


def test_of(reports: list[dict], warnings: list[str]) -> Test:
    skips = [report.get("xfail") or report.get("text", "").removeprefix("Skipped: ") for report in reports if report["outcome"] == "skipped"]
    texts = [same_in_all_runs(report.get("text", "")) for report in reports if report["outcome"] == "failed"]
    properties = [f"{key}: {same_in_all_runs(value)}" for report in reports for key, value in report.get("properties", []) if report["when"] == "teardown"]
    return Test(verdict_of(reports), tuple(same_in_all_runs(skip) for skip in skips), tuple(texts), tuple(sorted(set(warnings))), tuple(properties))


def gathered(lines: list[dict]) -> dict[str, Test]:
    """From {"id", "when", "outcome", "text", "xfail"} and {"id", "warning", "text"} to tests, in the order in which they ran."""
    reports: dict[str, list[dict]] = {}
    warnings: dict[str, list[str]] = collections.defaultdict(list)
    for line in lines:
        if "warning" in line:
            if line["warning"] not in WARNINGS_THAT_DIFFER:
                warnings[line["id"]].append(f"{line['warning']}: {same_in_all_runs(line['text'])}")
        elif "id" in line:
            reports.setdefault(line["id"], []).append(line)
    return {name: test_of(its, warnings[name]) for name, its in reports.items()}


def environment(scratch: str, **more: str) -> dict[str, str]:
    """What both sides run in: nothing of the caller's but the locale and the way to programs."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "CASEMATE_CACHE_DIR", "CASEMATE_STATE_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME") if name in os.environ}
    path = f"{prepare.VENV}/bin:/usr/local/bin:/usr/bin:/bin"
    return kept | {"HOME": scratch, "PATH": path, "VIRTUAL_ENV": str(prepare.VENV), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": scratch} | more


def run(argv: list[str], suite: prepare.Suite, env: dict[str, str], alone: bool) -> Run:
    began = time.monotonic()
    try:
        done = subprocess.run(argv, cwd=suite.directory, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              preexec_fn=loopback_only if alone else as_started_by_a_shell, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as ended:
        said = (ended.stdout or b"").decode(errors="replace")[-2000:]
        raise prepare.Problem(f"{' '.join(argv)} in {suite.directory} did not end within {MOST_SECONDS} s: {said}") from None
    return Run(seconds=time.monotonic() - began, status=done.returncode, output=done.stdout)


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def plain(suite: prepare.Suite, *more: str) -> Run:
    """Plain pytest, all in one process (unless `more` says otherwise), only loopback around it. Other order than the written one by `more` alone."""
    with tempfile.TemporaryDirectory(prefix="casemate-suites-", dir="/var/tmp") as scratch:
        record = Path(scratch) / "record.jsonl"
        order = [] if any("randomly" in word for word in more) else ["-p", "no:randomly"]
        argv = [str(prepare.PYTHON), "-m", "pytest", "-p", "no:cacheprovider", "-p", "recorder", *order, *more, *suite.pytest_arguments]
        ran = run(argv, suite, environment(scratch, RECORDER_FILE=str(record), PYTHONPATH=str(prepare.HERE)), alone=True)
        lines = read_lines(record) if record.exists() else []
        if not lines or "done" not in lines[-1]:
            raise prepare.Problem(f"plain pytest of {suite.name} did not come to its end (exit status {ran.status}): {ran.output[-2000:]}")
        ran.tests = gathered(lines)
        return ran


def casemate(suite: prepare.Suite, *more: str) -> Run:
    """`casemate pytest`, each test in a cell, with the interpreter of the suites' environment."""
    with tempfile.TemporaryDirectory(prefix="casemate-suites-", dir="/var/tmp") as scratch:
        record = Path(scratch) / "run.jsonl"
        order = [] if any("randomly" in word for word in more) else ["-p", "no:randomly"]
        argv = [CASEMATE, "pytest", f"--json-lines={record}", "-p", "no:cacheprovider", *order, *more, *suite.pytest_arguments]
        ran = run(argv, suite, environment(scratch), alone=False)
        if not record.exists():
            raise prepare.Problem(f"casemate pytest of {suite.name} wrote no JSON lines (exit status {ran.status}): {ran.output[-2000:]}")
        ran.tests = tests_of_json_lines(read_lines(record))
        return ran


def tests_of_json_lines(lines: list[dict]) -> dict[str, Test]:
    """From docs/guide/json-lines.md's events. The verdict is casemate's own word, not one that is worked out here; what a crash or a limit left
    is told behind the texts of the reports."""
    tests = {}
    for line in lines:
        if line["event"] == "collected":
            results = line["problems"]
        elif line["event"] == "test_finished" and line["last"]:
            results = [line]
        else:
            continue
        for result in results:
            warnings = [f"{warning['category']}: {same_in_all_runs(warning['message'])}" for warning in result["warnings"] if warning["category"] not in WARNINGS_THAT_DIFFER]
            test = test_of(result["reports"], warnings)
            test.verdict = result["verdict"]
            test.properties = tuple(f"{key}: {same_in_all_runs(value)}" for key, value in result["properties"])
            outcome = result["outcome"]
            if outcome["kind"] != "exited" or outcome.get("code"):
                test.texts += (f"its process: {outcome['words']}; stderr: {result['output']['stderr'][-1000:]}",)
            before = tests.get(result["id"])
            if before:  # pytest collects some files twice, and tells twice why they skip themselves
                test.reasons, test.texts = before.reasons + test.reasons, before.texts + test.texts
            tests[result["id"]] = test
    return tests


def explanations() -> list[dict]:
    return tomllib.loads((prepare.HERE / "explained.toml").read_text()).get("difference", [])


def matches(name: str, pattern: str) -> bool:
    """In node ids [ is a common character, and no set of characters begins with it."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def explains(entry: dict, difference: Difference) -> bool:
    if (entry["suite"], entry.get("part", "verdict")) != (difference.suite, difference.part) or not matches(difference.id, entry["id"]):
        return False
    return difference.part != "verdict" or (entry["plain"], entry["ours"]) == (difference.plain, difference.ours)


def explanation(difference: Difference, explained: list[dict]) -> str:
    return next((entry["why"] for entry in explained if explains(entry, difference)), "")


def idle_explanations(suite: str, found: list[Difference], explained: list[dict]) -> list[str]:
    """The entries for a suite that explain none of the differences found in its written order: they would hide the next one."""
    idle = [entry for entry in explained if entry["suite"] == suite and not any(explains(entry, difference) for difference in found)]
    return [f"explained.toml: {suite} {entry['id']} explains nothing: remove it" for entry in idle if os.geteuid() == 0 or not entry.get("root")]


def differences(suite: str, plain_tests: dict[str, Test], our_tests: dict[str, Test]) -> list[Difference]:
    """Every test that came out otherwise, or on one side only, in plain pytest's order."""
    found = []
    missing = Test("not there")
    for name in [*plain_tests, *(name for name in our_tests if name not in plain_tests)]:
        here, there = plain_tests.get(name, missing), our_tests.get(name, missing)
        part = here.differs(there)
        if part:
            plain_has, ours_has = str(getattr(here, part)), str(getattr(there, part))
            if part == "properties":
                plain_has, ours_has = apart(plain_has, ours_has)
            found.append(Difference(suite, name, part, plain_has, ours_has, told=here.told(part) + there.told(part)))
    explained = explanations()
    for difference in found:
        difference.why = explanation(difference, explained)
    return found


def compare(suite: prepare.Suite) -> int:
    """Prints every difference; the number of those that nothing explains, and of explanations that explain none."""
    theirs, ours = plain(suite), casemate(suite)
    found = differences(suite.name, theirs.tests, ours.tests)
    print(f"{suite.name}: {len(theirs.tests)} tests; plain {theirs.seconds:.1f} s ({theirs.counts()}); casemate {ours.seconds:.1f} s ({ours.counts()}); {len(found)} differences")
    idle = idle_explanations(suite.name, found, explanations())
    for line in [*found, *idle]:
        print(line)
    sys.stdout.flush()
    return sum(not difference.why for difference in found) + len(idle)


def main(words: list[str]) -> int:
    only_plain = "--plain" in words
    known = prepare.suites()
    names = [word for word in words if not word.startswith("-")] or list(known)
    prepare.prepare(names)
    unexplained = 0
    for name in names:
        if only_plain:
            ran = plain(known[name])
            print(f"{name}: {len(ran.tests)} tests in {ran.seconds:.1f} s: {ran.counts()}")
            for test, how in ran.tests.items():
                if how.verdict in ("failed", "error"):
                    print(f"  {how.verdict} {test}: {' '.join(how.texts).splitlines()[-1][:200]}")
        else:
            unexplained += compare(known[name])
    return 1 if unexplained else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except prepare.Problem as problem:
        sys.exit(f"suites: {problem}")
