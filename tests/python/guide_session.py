"""Types the Python blocks of a guide (a JSON list on stdin) into one session: for each a line of JSON with what it printed and how it ended."""

import contextlib
import io
import json
import os
import sys
import traceback


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    namespace = {"__name__": "__main__"}
    for number, block in enumerate(json.load(sys.stdin)):
        said = {"ended": "", "printed": ""}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                exec(compile(block, f"<block {number}>", "exec"), namespace)
            except SystemExit as end:
                said["ended"] = f"exit {end.code}"
            except BaseException:
                said["ended"] = traceback.format_exc()
        said["printed"] = printed.getvalue()
        print(json.dumps(said), file=answers)


if __name__ == "__main__":
    main()
