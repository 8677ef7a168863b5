"""A plugin for pytest (-p forking --forking-slots N): each test runs in an os.fork of the interpreter that collected it, N at a time, with no isolation
but that. The fastest that fork per test can be in Python alone, as the reference that casemate's cells are measured against: it holds on to no limits,
notices no leftovers, and a test still sees what other tests do to files, ports and processes."""

import gc
import os
import pickle
import select
import sys

import pytest


def pytest_addoption(parser):
    parser.addoption("--forking-slots", type=int, default=2)


class Switch:
    """Stands where the terminal's reporter was: hands reports on to it in the parent, keeps them in a fork. Put there once, so that no fork pays
    for a change of plugins."""

    def __init__(self, config):
        self.config, self.reports, self.in_fork = config, [], False
        self.terminal = config.pluginmanager.get_plugin("terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if self.in_fork:
            self.reports.append(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))
        else:
            self.terminal.pytest_runtest_logreport(report)

    def pytest_runtest_logstart(self, nodeid, location):
        if not self.in_fork:
            self.terminal.pytest_runtest_logstart(nodeid, location)


def run_in_fork(item, pipe, switch):
    """Never returns. The whole protocol, its wrappers too; nextitem None: fixtures of all scopes end with this test."""
    status = 1
    try:
        switch.in_fork = True
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        data = memoryview(pickle.dumps(switch.reports))
        while data:
            data = data[os.write(pipe, data):]
        status = 0
    finally:
        os._exit(status)


class Forks:
    """Up to `slots` forks at a time, their reports read from pipes."""

    def __init__(self, session, slots, switch):
        self.session, self.slots, self.switch = session, slots, switch
        self.poll, self.running = select.epoll(), {}

    def start(self, item):
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            run_in_fork(item, theirs, self.switch)
        os.close(theirs)
        self.running[ours] = (pid, item, [])
        self.poll.register(ours, select.EPOLLIN)

    def end(self, pipe):
        pid, item, parts = self.running.pop(pipe)
        self.poll.unregister(pipe)
        os.close(pipe)
        _, status = os.waitpid(pid, 0)
        hook = self.session.config.hook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        if status == 0:
            reports = [hook.pytest_report_from_serializable(config=self.session.config, data=data) for data in pickle.loads(b"".join(parts))]
        else:
            text = f"the fork ended with wait status {status:#x}"
            reports = [pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def step(self):
        for pipe, _ in self.poll.poll():
            part = os.read(pipe, 1 << 16)
            if part:
                self.running[pipe][2].append(part)
            else:
                self.end(pipe)

    def run(self, items):
        waiting = iter(items)
        item = next(waiting, None)
        while item is not None or self.running:
            while item is not None and len(self.running) < self.slots:
                self.start(item)
                item = next(waiting, None)
            self.step()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted(f"{session.testsfailed} errors during collection")
    if session.config.option.collectonly:
        return True
    plugins, switch = session.config.pluginmanager, Switch(session.config)
    plugins.unregister(switch.terminal)
    plugins.register(switch)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or every fork would print it again
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        Forks(session, session.config.option.forking_slots, switch).run(session.items)
    finally:
        gc.unfreeze()
        gc.enable()
        plugins.unregister(switch)
        plugins.register(switch.terminal, "terminalreporter")
    return True
