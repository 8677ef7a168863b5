"""A plugin for pytest (-p recorder) that writes what it hears as JSON lines to $RECORDER_FILE: a line for each report, then {"done": status}."""

import json
import os

import pytest


class Recorder:
    def __init__(self, path):
        self.file = open(path, "w")
        self.warnings = []

    def line(self, value):
        self.file.write(json.dumps(value) + "\n")

    def report(self, report, when):
        value = {"id": report.nodeid, "when": when, "outcome": report.outcome}
        if hasattr(report, "wasxfail"):
            value["xfail"] = report.wasxfail
        if isinstance(report.longrepr, tuple):  # a skip: path, line, reason
            value["text"] = str(report.longrepr[2])
        elif report.longrepr is not None:
            value["text"] = report.longreprtext
        if getattr(report, "user_properties", None):
            value["properties"] = [[str(key), str(item)] for key, item in report.user_properties]
        if hasattr(report, "context"):  # one of a test's subtests
            value["subtest"] = True
        self.line(value)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self.report(report, report.when)

    def pytest_collectreport(self, report):
        if report.outcome != "passed":
            self.report(report, "collect")

    def pytest_warning_recorded(self, warning_message, when, nodeid):
        if when == "runtest":
            self.line({"id": nodeid, "warning": warning_message.category.__name__, "text": str(warning_message.message)})

    def pytest_sessionfinish(self, exitstatus):
        self.line({"done": int(exitstatus)})
        self.file.flush()


def pytest_configure(config):
    # A worker of xdist tells its controller, which is the one to write.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(os.environ["RECORDER_FILE"]), "recorder-of-outcomes")
