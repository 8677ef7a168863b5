"""A warm parent: pytest up to the point where tests would run, in a process that forks for each of them. See src/warm/protocol.h.

The base runs `pytest ARGS` until its session has started. The collector and the module parents are forks of it in which the hook returns, so
that pytest itself collects; tests are forks of module parents. Nothing here may be seen by a test: no module imported, no descriptor at a
number where a plain pytest has none, no filter, no handler.
"""
from time import time

PART = 4000  # the most items of a parent whose forks run tests: its page tables are copied for each
MOST_LEFT = 16  # words for what is left


def markers_of(item):
    """Names of the item's markers, nearest first: its own, its class', its module's."""
    return [mark.name for mark in item.iter_markers()]


def place_of(item):
    """(file relative to the rootdir, what lies between file and name in the id)."""
    parts = item.nodeid.split("::")
    group = "::".join(parts[1:-1])
    name = item.name
    if not item.nodeid.endswith("::" + name) and "::" in item.nodeid:
        name = parts[-1]
    elif "::" in item.nodeid:  # a parameter may have "::" in it
        group = "::".join(item.nodeid[: -len(name) - 2].split("::")[1:])
    path = getattr(item, "path", None)
    root = item.config.rootpath
    if path is None:
        return parts[0], group, name
    try:
        return path.relative_to(root).as_posix(), group, name
    except ValueError:
        return str(path), group, name


def is_cold(item):
    """Whether @pytest.mark.casemate(isolation="cold") is on it."""
    mark = item.get_closest_marker("casemate")
    return mark is not None and mark.kwargs.get("isolation") == "cold"


def is_uncached(item):
    """Whether @pytest.mark.casemate(cache=False) is on it, its class or its module."""
    return any(mark.kwargs.get("cache", True) is False for mark in item.iter_markers("casemate"))


def traits_of(item, markers):
    """What of an item counts for fingerprint()."""
    return "%s\n%s\n" % (item.nodeid, " ".join(markers))


def fingerprint(traits):
    """The hash of R and of the collector's {"file"}: ids and markers in order."""
    return cells.hash("".join(traits).encode("utf-8", "backslashreplace"))


class Warm:
    """The plugin: base, collector, module parent and test are the same object, one after the other, in one process after the other."""

    def __init__(self):
        self.role = "base"
        self.whole = False  # a module parent of all files
        self.config = None
        self.session = None
        self.stream = None  # a collector's or a test's
        self.deselected = 0
        self.problems = 0
        self.notes = []
        self.collects_garbage = True
        self.random_before = random_state()  # before conftests and modules
        self.seeded = None  # the state to come back to in forks, if one of them has seeded random
        self.measured = None  # a Measured where pytest-cov measures
        self.report = None  # a CoverageReport
        self.broken = ""  # why there is none
        self.group = self.part = None  # a Group, and what of it this process is the parent of
        self.ties = Ties()
        self.writes = None  # a collector's Writes
        self.files = set()  # that a collector has collected
        self.stays = False  # whether a collector of one file may become its parent
        self.began = time()
        self.immortal = "CASEMATE_MORTAL" not in os.environ
        os.environ.pop("CASEMATE_MORTAL", None)

    # ---- Hooks

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_load_initial_conftests(self):
        """Inside of all other wrappers: what capture opens is there already."""
        self.ties.begin_conftests()
        yield
        self.ties.end_conftests()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config):
        """Before xdist can look: the engine distributes."""
        self.config = config
        option = config.option
        if config.pluginmanager.hasplugin("xdist") or hasattr(option, "numprocesses"):
            if getattr(option, "numprocesses", None) or getattr(option, "dist", "no") != "no" or getattr(option, "looponfail", False):
                self.notes.append("xdist's -n, --dist and -f are left out: casemate runs tests side by side itself")
            option.numprocesses = None
            option.dist = "no"
            option.tx = []
            option.looponfail = False
        if any(getattr(option, name, False) for name in ("update_snapshots", "force_regen", "regen_all")):
            self.notes.append("snapshots are written in cells and thrown away with them: update them with a plain pytest")
        yield

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        """Where stdout is the test's there is no heading of a session."""
        if COLD:
            silence_terminal(config.pluginmanager)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session):
        """In the base: serves. A collector and a module parent return from here to collect."""
        self.session = session
        self.args = session.config.args
        silence_terminal(session.config.pluginmanager)
        if COLD:
            return self.begin_cold(cells.serve())
        self.announce()
        self.get_ready_to_fork()
        while True:  # forks leave by the return
            message = cells.serve()
            if message is None:
                cells.leave(0)
            letter, payload, fds = message
            words = read_json(payload.decode("utf-8")) if payload else {}
            if letter not in ("C", "M") or len(fds) not in ((1, 2, 3, 4) if letter == "C" else (1, 3)):
                self.give_up("the engine said %s with %d descriptors to a base" % (quote(letter), len(fds)))
            if cells.fork(words.get("job", -1)) == 0:
                self.begin_fork(letter, words, fds)
                return None
            for fd in fds:
                os.close(fd)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_make_collect_report(self, collector):
        """Of a file, its classes and what else is in it; not of directories."""
        if self.writes is None:
            yield
            return
        outer, file = self.writes.file, collector.getparent(pytest.File)
        self.writes.file = None if file is None else str(file.path)
        if isinstance(collector, pytest.File) and not isinstance(collector, pytest.Package):
            self.files.add(self.writes.file)
        yield
        self.writes.file = outer

    def pytest_deselected(self, items):
        self.deselected += len(items)

    def pytest_collectreport(self, report):
        self.problems += report.failed
        if self.role == "collector" and (report.failed or report.skipped):
            self.stream.add('{"problem": %s' % report_line(report)[len('{"report": ') :])

    def pytest_warning_recorded(self, warning_message, when, nodeid):
        if self.stream is not None:
            self.stream.add(warning_line(warning_message, nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self.stream.add(report_line(report))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """Collection is over."""
        self.config.args = self.args
        if self.role == "collector":
            self.tell_items(session)
            self.become_parent(session)
        if self.role == "cold":
            self.know_items(session)
            self.run_tests(*self.cold)
        if self.role == "coverage":
            self.report.begin(self.config, session)
            return True
        self.serve_tests(session)

    def pytest_internalerror(self, excinfo):
        """The session is finished all the same."""
        if self.role == "coverage":
            self.broken = as_text(excinfo.exconly()).strip().split("\n")[-1]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        """Where pytest does not give up, only the last interpreter comes here."""
        if self.role == "coverage" and not self.broken:
            self.report.end(self.config, session)
            self.stream.add('{"done": true}\n')
            self.stream.flush()
            cells.leave(0)

    # ---- The base

    def announce(self):
        """Message B."""
        cells.send(b"B" + to_json(self.about()).encode())

    def about(self):
        return {"python": "%d.%d.%d" % sys.version_info[:3], "pytest": pytest.__version__, "notes": self.notes}

    def get_ready_to_fork(self, for_good=True):
        """What every fork would do for itself is done once: descriptors looked up, garbage gone, objects out of the collector's way. `for_good`:
        none of them has to go any more."""
        flush_output()  # or each fork would write it once more
        self.look_up_streams()
        if self.role == "base":
            self.ties.end_base()
            # A library's own (numpy's OpenBLAS has some) are its own affair: it makes them anew in a fork.
            self.ties.of_base += python_thread_names()
            self.listen_to_coverage()
        elif self.measured is not None:
            forget_coverage(coverage_of(self.config), self.measured)
        self.look_at_random()
        self.renew = renewals(self.seeded)
        self.collects_garbage = gc.isenabled()
        settle_memory(for_good, self.immortal)

    def look_at_random(self):
        """Before forks: whether somebody has seeded random on purpose, and what it comes back to in them."""
        self.seeded = seeded_state(self.random_before) if self.seeded is None else random_state()

    def come_back_to_random(self):
        """In a fork that imports or forks itself: CPython has seeded random anew there, which is as good only where nobody has."""
        if self.seeded is None:
            self.random_before = random_state()
        else:
            sys.modules["random"].setstate(self.seeded)

    def look_up_streams(self):
        """Which descriptors are stdout and stderr, and copies of them, and which are files that pytest captures into."""
        found = open_descriptors()
        capture = self.config.pluginmanager.getplugin("capturemanager")
        capturing = getattr(capture, "_global_capturing", None)
        files, groups = [], []
        own = {1: OUT, 2: ERR}
        for number, name in ((1, "out"), (2, "err")):
            part = getattr(capturing, name, None)
            tmpfile = getattr(part, "tmpfile", None)
            if getattr(part, "targetfd", None) != number or tmpfile is None:
                continue
            status = os.fstat(tmpfile.fileno())
            for fd in found.get((status.st_dev, status.st_ino), []):
                files.append(fd)
                groups.append(number)
        streams = [tuple(found.get(own[number], ())) for number in (1, 2)]
        cells.streams(streams[0], streams[1], tuple(files), tuple(groups))

    def begin_fork(self, letter, words, fds):
        """In a fork of the base: what makes it a collector or a module parent."""
        fd, *others = fds
        control = others.pop(0) if len(fds) % 2 == 0 else -1
        take_own_output(*others)
        if letter == "C":
            self.role = "collector"
            cells.control(control)
            self.stays = control >= 0
            self.stream = Stream(cells.high(fd))
            self.writes = Writes(self.config.rootpath)
            self.writes.listen()
            self.ties.begin_file()
        else:
            self.role = "module"
            cells.control(fd)
            file = words.get("file")
            self.whole = file is None
            if file is not None:
                self.config.args = [str(self.config.rootpath / file)]
            self.ties.begin_file()
        self.come_back_to_random()
        if self.collects_garbage:
            gc.enable()

    def listen_to_coverage(self):
        """What is measured is for the stream."""
        cov = coverage_of(self.config)
        if cov is not None:
            self.measured = listen_to_coverage(cov)

    def tell_coverage(self):
        """What was measured since, into the stream; from here nothing is."""
        if self.measured is None:
            return
        try:
            lines = end_of_coverage(coverage_of(self.config), self.measured, self.began)
        except Exception as problem:
            lines = ()
            sys.__stderr__.write("casemate: what coverage measured is lost: %s: %s\n" % (type(problem).__name__, as_text(problem)))
        for line in lines:
            self.stream.add(line)

    def begin_cold(self, order):
        """Message K: this process collects one file, runs tests of it, and ends. Message V: it reports coverage. Gives what the hook that
        collects has to give."""
        if order is None:
            cells.leave(0)
        letter, payload, fds = order
        forget_coverage_file()
        if letter == "C" and ALONE:
            self.role = "collector"
            self.stream = Stream(cells.high(fds[0]))
            self.stream.add('{"about": %s}\n' % to_json(self.about()))
            self.listen_to_coverage()
            return None
        if letter == "G" and ALONE:
            return self.begin_group(payload, fds[0])
        if letter == "V" and len(fds) == 2:
            self.role = "coverage"
            cells.control(-1)
            self.stream = Stream(cells.high(fds[0]))
            self.report = CoverageReport(read_json(payload.decode("utf-8")), fds[1], self.stream)
            self.session.items = []
            return True
        if letter != "K" or len(fds) != 1:
            self.give_up("the engine said %s to an interpreter for one test" % quote(letter))
        words = read_json(payload.decode("utf-8"))
        self.role = "cold"
        self.renew = ()
        self.collects_garbage = False  # as it is
        self.cold = "".join(name + "\0" for name in words["ids"]).encode("utf-8"), cells.high(fds[0])
        self.config.args = [str(self.config.rootpath / words["file"])]
        cells.control(-1)
        self.listen_to_coverage()
        return None

    def begin_group(self, payload, report):
        """Order G: comes back in the parent of a file's tests, to collect that, or, for tests that get fresh interpreters, in none."""
        self.role = "base"
        self.group = Group(read_json(payload.decode("utf-8")), Stream(cells.high(report)), ENVIRONMENT, ARGS)
        self.get_ready_to_fork()
        self.group.note_sources(self.config.rootpath)
        self.part = part = self.group.run(self.about())
        self.role = "module"
        self.group.refuse_changed_sources(part)
        if part.get("cold"):
            self.group.serve(part)
        self.whole = part["file"] is None
        if not self.whole:
            self.config.args = [str(self.config.rootpath / part["file"])]
        self.ties.begin_file()
        self.come_back_to_random()
        if self.collects_garbage:
            gc.enable()
        return None

    def serve_group(self, session, left):
        """The tests of the part of a group that this is the parent of, as forks. Never returns."""
        if left:
            self.group.leave_as_tied(self.part, left)
        expected = self.part.get("hash")
        if expected and not self.whole and fingerprint(traits_of(item, markers_of(item)) for item in session.items) != expected:
            self.group.leave_as_differing(self.part)
        self.know_items(session)
        self.get_ready_to_fork()
        self.run_tests(*self.group.serve(self.part))

    def give_up(self, what, status=3):
        """Message X, or a collector's last line; then the end."""
        if ALONE and self.role in ("base", "collector"):  # what pytest printed is there to be read
            if status != 4:
                sys.__stderr__.write(what + "\n")
            flush_output()
            if cells.forks:
                os.write(cells.told, bounded(own_output(), 64 << 10).encode("utf-8", "backslashreplace"))
            cells.leave(int(status))
        text = bounded(own_output(), 64 << 10)
        if self.group is not None and self.role == "module":
            said = text.strip().rpartition("\n")[2]  # of a traceback the error
            self.group.leave_unable(what + (": " + bounded(said, 500) if said else ""))
        if self.role == "collector":
            done = {"done": True, "deselected": self.deselected, "threads": [], "status": int(status), "text": text}
            self.stream.add(to_json(done) + "\n")
            self.stream.flush()
        elif self.role in ("cold", "coverage"):  # without a control
            sys.__stderr__.write(what + "\n")
            flush_output()
        elif self.role != "test":
            cells.send(b"X" + to_json({"what": what, "text": text, "status": int(status)}).encode())
        cells.leave(1)

    # ---- The collector

    def tell_items(self, session):
        """Writes the stream of message C."""
        stream = self.stream
        places = [place_of(item) for item in session.items]
        left, traits = {}, {}
        for file, _, _ in places:
            left[file] = left.get(file, 0) + 1
        written = {} if self.writes is None else self.writes.left(session.items)
        for item, (file, group, name) in zip(session.items, places):
            markers = markers_of(item)
            line = item.location[1]
            told = {"item": item.nodeid, "file": file, "group": group, "name": name, "line": 0 if line is None else line + 1, "markers": markers}
            if "skip" in markers:
                told["skip"] = True
            if is_cold(item):
                told["cold"] = True
            if is_uncached(item):
                told["uncached"] = True
            stream.add(to_json(told) + "\n")
            traits.setdefault(file, []).append(traits_of(item, markers))
            left[file] -= 1
            if left[file] == 0:
                about = {"file": file, "hash": fingerprint(traits[file]), "count": len(traits[file])}
                words = written.get(str(getattr(item, "path", "")))
                if words:
                    about["left"] = words[:MOST_LEFT]
                stream.add(to_json(about) + "\n")
        status = 2 if self.problems and not session.config.option.continue_on_collection_errors else 5 if not session.items else 0
        done = {"done": True, "deselected": self.deselected, "threads": thread_names(), "status": status}
        if self.ties.of_base:
            done["left"] = self.ties.of_base[:MOST_LEFT]
        self.tell_coverage()
        if REWRITES is not None:
            REWRITES.tell(stream)
        stream.add(to_json(done) + "\n")
        stream.flush()

    def become_parent(self, session):
        """Of the only file there is, which then need not be collected again: message S, and from here a module parent. Else this process ends."""
        file = place_of(session.items[0])[0] if session.items else None
        if not self.stays or has_children() or len(self.files) != 1 or {place_of(item)[0] for item in session.items} != {file} or self.measured is not None:
            cells.leave(0)
        self.role = "module"
        self.writes.end()
        self.writes = None
        cells.send(b"S" + to_json({"file": file}).encode())
        self.stream.close()
        self.stream = None

    # ---- A module parent, and the tests that are its forks

    def know_items(self, session):
        """Items by their names as the engine has them."""
        self.items = {}
        for item in session.items:
            self.items.setdefault(item.nodeid.encode("utf-8", "backslashreplace"), item)  # as quote() told it

    def serve_tests(self, session):
        """Message R, then forks until the engine has had enough. Never returns."""
        left = thread_names() + self.ties.found()
        if self.group is not None:
            self.serve_group(session, left)
        about = {"count": len(session.items), "threads": left[:MOST_LEFT], "problems": self.problems}
        if not self.stays:
            about["hash"] = fingerprint(traits_of(item, markers_of(item)) for item in session.items)
        while True:  # forks for a part of the items come round again
            forks_parts = not self.whole and len(session.items) > PART
            self.know_items(session)
            self.get_ready_to_fork(not forks_parts)
            cells.send(b"R" + to_json(about).encode())
            order = self.next_order(forks_parts)
            if order[0] == "T":
                self.run_tests(order[1], order[2])
            self.come_back_to_random()
            if self.collects_garbage:
                gc.enable()
            words = read_json(order[1].decode("utf-8"))
            self.keep_part(session, words["first"], words["count"])
            cells.control(order[2][0])
            about = {"count": len(session.items), "threads": []}

    def next_order(self, forks_parts):
        """A message T, in its fork; or a message M, in its fork, of a parent whose items are so many that forks should have but a part of them."""
        while True:
            order = cells.serve()
            if order is None:
                cells.leave(0)
            if order[0] == "T":
                return order
            if order[0] != "M" or len(order[2]) != 1 or not forks_parts:
                self.give_up("the engine said %s to a module parent" % quote(order[0]))
            if cells.fork(read_json(order[1].decode("utf-8")).get("job", 0)) == 0:
                return order
            os.close(order[2][0])

    def keep_part(self, session, first, count):
        """Lets go of all other items, with the memory they take: it would be copied for each test."""
        session.items[:] = session.items[first : first + count]
        self.items = None
        for name in ("_collection_cache", "_notfound"):
            kept = getattr(session, name, None)
            if kept:
                kept.clear()
        gc.unfreeze()
        gc.collect()
        cells.trim()

    def run_tests(self, ids, report):
        """In a fork that is in its cell: runs `ids` (each ended by a NUL) as pytest's own loop would, and ends the process."""
        self.role = "test"
        become_one_of_many(self.renew)
        gc.unfreeze()
        if self.collects_garbage:
            gc.enable()
        if self.measured is not None:
            keep_measuring(self.config)
        self.stream = stream = Stream(report)
        names = ids.split(b"\0")[:-1]
        items = [self.items.get(name) for name in names]
        for index, item in enumerate(items):
            if item is None:
                stream.add('{"missing": %s}\n' % quote(names[index].decode("utf-8", "replace")))
                continue
            if len(items) > 1:
                stream.add('{"begin": %s}\n' % quote(item.nodeid))
                stream.flush()
            self.run_item(item, items[index + 1] if index + 1 < len(items) else None)
            stream.add('{"end": %s}\n' % quote(item.nodeid))
            stop = self.session.shouldfail or self.session.shouldstop
            if stop:
                stream.add('{"stop": %s}\n' % quote(bounded(as_text(stop), 16384)))
                break
        self.tell_coverage()
        stream.add('{"done": true}\n')
        flush_output()
        stream.flush()
        cells.leave(0)

    def run_item(self, item, following):
        """One item. What would have ended a plain pytest is said, and ends the fork."""
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except BaseException as problem:
            text = type(problem).__name__, as_text(problem)
            self.session.shouldstop = bounded(": ".join(filter(None, text)), 16384)


def has_children():
    """Whether this process has started any that are still there: they may hold what it has open."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def silence_terminal(manager):
    """The terminal reporter hears nothing more, but who asks for it by name finds it, as in a plain pytest."""
    reporter = manager.getplugin("terminalreporter")
    if reporter is None:
        return
    manager.unregister(reporter)
    manager._name2plugin["terminalreporter"] = reporter


def main():
    """Never returns."""
    warm = Warm()
    status = 3
    try:
        status = run_pytest(MAIN, warm)
    except BaseException as problem:
        text = "%s: %s" % (type(problem).__name__, as_text(problem))
        warm.give_up(text.split("\n", 1)[0], status)
    warm.give_up(warm.broken or "pytest ended before it could run a test (exit status %d)" % int(status), status)


main()
