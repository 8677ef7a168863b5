"""Runs the tests of one lab, or of all, against a student's project, and ends as pytest does."""

import argparse
import sys
from pathlib import Path

import pytest


def main():
    """Takes the command line of the grading agent's contract; returns pytest's exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", required=True, help="the student's project")
    parser.add_argument("--junit-xml", help="where to write the report")
    parser.add_argument("-k", dest="names", help="pytest's expression of the tests to run")
    parser.add_argument("--lab-num", nargs="+", type=int, help="labs to test (all)")
    parser.add_argument("--proxy_timeout", type=float, default=10, help="seconds that the program under test may take")
    given = parser.parse_args()

    here = Path(__file__).resolve().parent
    labs = [f"lab{number}" for number in given.lab_num] if given.lab_num else [""]
    arguments = [f"--rootdir={here}", "--confcutdir", str(here), "-p", "no:cacheprovider", "--tb=short"]
    arguments += [f"--src={Path(given.src).resolve()}", f"--program-timeout={given.proxy_timeout}"]
    if given.junit_xml:
        arguments.append(f"--junit-xml={Path(given.junit_xml).resolve()}")
    if given.names:
        arguments += ["-k", given.names]
    return pytest.main(arguments + [str(here / "tests" / lab) for lab in labs])


if __name__ == "__main__":
    sys.exit(main())
