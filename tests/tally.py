"""Counts one part of ./dev test from its XML report (JUnit's or GoogleTest's), names each test that failed and, by reason, those that were skipped.

usage: tally.py PART REPORT EXIT_CODE
The last line printed is "PASSED FAILED SKIPPED". A runner that died, or that failed without a failed test, counts as one failure.
"""

import sys
import xml.etree.ElementTree

PYTEST_NOTHING_COLLECTED = 5
TIMED_OUT = (124, 137)


def one_line(text):
    """The first line that says something, safe for a terminal."""
    for line in (text or "").splitlines():
        # GoogleTest puts "file:line" on a line of its own before the message.
        head, _, tail = line.rpartition(":")
        if line.strip() and not (tail.isdigit() and head.endswith((".cc", ".h"))):
            return "".join(c if c.isprintable() else "?" for c in line.strip())[:300]
    return "no reason given"


def cases(report):
    """(name, "passed" | "failed" | "skipped", reason) of each test case."""
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}"
        if case.get("status") == "notrun":  # a DISABLED_ test of GoogleTest
            yield name, "skipped", "disabled"
            continue
        failures = case.findall("failure") + case.findall("error")
        skips = case.findall("skipped")
        if failures:
            yield name, "failed", one_line(failures[0].get("message") or failures[0].text)
        elif skips:
            yield name, "skipped", one_line(skips[0].get("message") or skips[0].text)
        else:
            yield name, "passed", ""


def without_parameters(name):
    return name.partition("[")[0].partition("/")[0]


def skips(reasons):
    """A line for each reason: a test is named once, whatever the number of its parameters."""
    for reason, names in reasons.items():
        if len(names) == 1:
            yield f"  SKIPPED {names[0]}: {reason}"
        else:
            yield f"  SKIPPED {len(names)} of {', '.join(dict.fromkeys(map(without_parameters, names)))}: {reason}"


def main(part, report, exit_code):
    exit_code = int(exit_code)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    skipped = {}
    if exit_code in TIMED_OUT:
        problem = f"the runner was ended after too long a time (exit code {exit_code})"
    else:
        problem = f"the runner ended with exit code {exit_code}"
    try:
        for name, result, reason in cases(report):
            counts[result] += 1
            if result == "failed":
                print(f"  FAILED {name}: {reason}")
            elif result == "skipped":
                skipped.setdefault(reason, []).append(name)
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        # No usable report is a failure even of a runner that says 0: nobody knows what ran.
        counts["failed"] += 1
        print(f"  FAILED {part}: {problem} and left no readable report: {error}")
    else:
        nothing = exit_code == PYTEST_NOTHING_COLLECTED and not sum(counts.values())
        if exit_code != 0 and not counts["failed"] and not nothing:
            counts["failed"] += 1
            print(f"  FAILED {part}: {problem} though no test failed")
    for line in skips(skipped):
        print(line)
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main(*sys.argv[1:])
