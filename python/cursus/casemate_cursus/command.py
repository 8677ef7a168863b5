"""The command `cursus`: `cursus runtime` is the program casemate's; all else is for the real cursus, where there is one."""

import os
import shutil
import sys
import sysconfig
from importlib import metadata
from typing import Any, Optional, Sequence


def find_program() -> Optional[str]:
    """The program casemate: $CASEMATE, beside this interpreter's scripts, or on PATH."""
    named = os.environ.get("CASEMATE")
    if named:
        return named
    beside = os.path.join(sysconfig.get_path("scripts"), "casemate")
    return beside if os.access(beside, os.X_OK) else shutil.which("casemate")


def real_command() -> Any:
    """What the distribution `cursus` has as its command; None: it is not installed."""
    try:
        points = metadata.distribution("cursus").entry_points
    except metadata.PackageNotFoundError:
        return None
    return next((point.load() for point in points if point.group == "console_scripts" and point.name == "cursus"), None)


def refuse(reason: str) -> int:
    print("cursus: " + reason, file=sys.stderr)
    return 2


def main(arguments: Optional[Sequence[str]] = None) -> Any:
    """Becomes `casemate runtime ARGUMENTS`; gives an exit status only where it can't."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] != ["runtime"]:
        real = real_command()
        if real is not None:
            return real()
        if words[:1] not in (["--version"], ["--help"], ["-h"], ["help"]):
            return refuse("casemate stands in for 'cursus runtime' alone: see 'cursus runtime --help'")
    program = find_program()
    if program is None:
        return refuse("the program casemate is not here: put it on PATH, or name it in CASEMATE (the Python package casemate works without it)")
    sys.stdout.flush()
    try:
        os.execv(program, ["cursus", *words])  # by that name it speaks of itself as cursus
    except OSError as problem:
        return refuse(f"can't start {program}: {problem.strerror}")
