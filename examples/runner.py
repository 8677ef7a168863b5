#!/usr/bin/env python3
"""A runner of one's own in a screenful: commands side by side, each in a fresh cell. Usage: runner.py [SLOTS]; needs the package casemate."""

import sys

import casemate

COMMANDS = {
    "adds": ["python3", "-c", "print(1 + 1)"],
    "is given a file": ["wc", "-l", __file__],
    "has no network": ["python3", "-c", "import socket; socket.create_connection(('192.0.2.1', 80), 1)"],
    "never ends": ["sleep", "60"],
    "reads": ["cat"],
}


def main() -> int:
    jobs = [casemate.job(argv, name=name, show=[__file__], timeout=2, stdin="a line\n") for name, argv in COMMANDS.items()]
    well = 0
    with casemate.Engine(slots=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as engine:
        for job, result in engine.run_many(jobs):
            last = (result.stdout or result.stderr).strip().splitlines()[-1:]
            print(f"{job.name:16} {result.outcome!s:12} {result.resources.wall_seconds * 1000:7.1f} ms  {''.join(last)}")
            well += result.succeeded
    print(f"{well} of {len(jobs)} ended well")
    return 0 if well == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
