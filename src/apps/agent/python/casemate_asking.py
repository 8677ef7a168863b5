"""A plugin of pytest that tells what pytest is called with, and ends it before it collects anything."""

import json
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


def others(name, separator):
    """What a variable lists beside us."""
    return [word for word in os.environ.get(name, "").split(separator) if word and word not in (HERE, __name__)]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """One line of JSON for each call."""
    call = config.invocation_params
    environment = dict(os.environ)
    # A file of tests may import what lies beside the program that called pytest.
    found = [os.path.abspath(path) for path in sys.path]
    environment["PYTHONPATH"] = ":".join(dict.fromkeys([path for path in found if path.startswith("/work/") and path != HERE] + others("PYTHONPATH", ":")))
    environment["PYTEST_PLUGINS"] = ",".join(others("PYTEST_PLUGINS", ","))
    told = {
        "arguments": [str(word) for word in call.args],
        "directory": str(call.dir),
        "environment": {name: value for name, value in environment.items() if value or name not in ("PYTHONPATH", "PYTEST_PLUGINS")},
        "plugins": len(call.plugins or ()),
    }
    with open("/work/report/asked.json", "a", encoding="utf-8") as stream:
        stream.write(json.dumps(told) + "\n")
    return 0
