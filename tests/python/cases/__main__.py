"""Runs the cases of one module in this interpreter, with the casemate that is installed in it: one line of JSON each on the real stdout.

A case is a function whose name begins with ``case_``. One that takes a parameter gets a fresh directory. `Skip` says why one can't be.
"""

import importlib
import inspect
import json
import os
import pathlib
import sys
import tempfile
import traceback

from cases import Skip


def main() -> None:
    module = importlib.import_module("cases." + sys.argv[1])
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for name, case in list(vars(module).items()):
        if not name.startswith("case_"):
            continue
        said = {"case": name}
        with tempfile.TemporaryDirectory(prefix="casemate-case-") as directory:
            try:
                case(*([pathlib.Path(directory)] if inspect.signature(case).parameters else []))
            except Skip as reason:
                said["skipped"] = str(reason)
            except BaseException:
                said["failed"] = traceback.format_exc()
        print(json.dumps(said), file=report)


if __name__ == "__main__":
    main()
