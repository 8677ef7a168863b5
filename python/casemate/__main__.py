"""``python -m casemate ...`` is the program of the wheel: it becomes ``casemate ...``."""

import os
import sys
import sysconfig

PROGRAM = os.path.join(sysconfig.get_path("scripts"), "casemate")


def main() -> int:
    """Gives an exit status only where the program can't be started."""
    beside = PROGRAM if os.path.exists(PROGRAM) else os.path.join(os.path.dirname(sys.executable), "casemate")
    sys.stdout.flush()
    try:
        os.execv(beside, ["casemate", *sys.argv[1:]])
    except OSError as problem:
        print(f"python -m casemate: can't start {beside}, which comes with the wheel: {problem.strerror}", file=sys.stderr)
        return 125


if __name__ == "__main__":
    sys.exit(main())
