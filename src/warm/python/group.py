"""A group of tests in one interpreter that is alone (order G of src/warm/protocol.h): it imports pytest once, forks a parent for each file, and that a
process for each unit of tests, one after the other.

Only the first process writes to the engine. A file's parent tells it by a pipe that no test has; the keeper of its tests hears each on a pipe of that
test's own, and passes on what it says with the number of its unit, unread. All but tests are not dumpable, and tests have no capability: they reach
none of these."""
BOOT = "import os;s=os.pread(4,1<<24,0);os.close(4);exec(compile(s,'<casemate>','exec'),{'__name__':'casemate'})"  # kWarmBoot
COLLECTING_TIME = 600  # seconds, of one file
MOST_LINE = 64 << 20  # bytes; no line of a keeper is as long
MOST_DRAINED = 64  # reads of what a parent had said before it ended
GUARD = 30  # seconds beyond a unit's own time until its keeper is given up


def end_of(pid):
    """The status of one that has nothing more to say."""
    patience = monotonic() + GUARD
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if monotonic() > patience:
            os.kill(pid, 9)
        sleep(0.001)


def source_identity(path):
    """What tells a file from another one, or a later content; None: there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def words_of_end(status):
    """How a process ended, for people."""
    return "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "exit status %d" % os.WEXITSTATUS(status)


class Heard:
    """What the parent of `file`'s tests (None: of all) has said, line by line. `waiting`: its units that are not over, by their numbers."""

    def __init__(self, file, waiting):
        self.file, self.waiting, self.runs_now = file, waiting, None
        self.unable, self.moved, self.differs, self.tied, self.lies = "", False, False, False, False

    def takes(self, line):
        """Whether the engine may hear it."""
        if self.lies:
            return False
        try:
            said = read_json(line.decode())
            kind = next(iter(said))
            value = said[kind]
            known = self.hear(kind, value, said)
        except Exception:
            known = None
        self.lies = known is None
        return bool(known)

    def hear(self, kind, value, said):
        """None: no parent says that. What tells the engine's reader one line from another is looked at, whatever the order."""
        if kind == "unit" and said.keys() == {"unit"} and type(value) is int and value in self.waiting and self.runs_now is None:
            self.runs_now = value
        elif kind == "of" and said.keys() == {"of", "bytes"} and type(value) is int and value == self.runs_now:
            pass
        elif kind == "over" and type(value) is int and value == self.runs_now and "of" not in said and "unit" not in said:
            del self.waiting[value]
            self.runs_now = None
        elif kind in ("tied", "differs") and self.runs_now is None and value == self.file and said.keys() <= {kind, "left"}:
            self.moved = True
            self.tied, self.differs = self.tied or kind == "tied", self.differs or kind == "differs"
        elif kind == "unable":
            self.unable = str(value)
            return False
        else:
            return None
        return True


class Group:
    """What one order says: {"files": [{"file": path or null, "hash", "cold", "units": [{"n", "file", "ids", "wall"}]}], "places", "disk", "network", "cells",
    "memory", "pids", "capture"}."""

    def __init__(self, order, stream, environment, arguments):
        self.order, self.stream, self.environment, self.arguments = order, stream, environment, arguments
        self.base = os.getpid()
        self.cwd = os.getcwd()
        self.directory = None  # of temporary directories, where tests have no /tmp of their own
        needed = [self.cwd, sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(sys.executable or "/")] + sys.path
        self.confinement = Confinement(order, [path for path in needed if path])
        self.hide()

    def hide(self):
        if self.confinement.kernel is not None:
            self.confinement.kernel.hide()

    def note_sources(self, root):
        """Before any test runs."""
        names = {unit["file"] for part in self.order["files"] for unit in part["units"]}
        self.sources = {name: source_identity(os.path.join(root, name)) for name in names}
        self.root = root

    def refuse_changed_sources(self, part):
        """Without namespaces a test can write to the files of others."""
        for name in sorted({unit["file"] for unit in part["units"]}):
            if source_identity(os.path.join(self.root, name)) != self.sources[name]:
                self.leave_unable("%s was changed by a test of its group" % name)

    def say(self, text):
        self.stream.add(text)
        self.stream.flush()

    # ---- The first process

    def run(self, about):
        """Never returns there. In a file's parent it returns the part that is its own; it has to call serve()."""
        apart = {"apart": "cells" if self.confinement.cells and self.confinement.closed else "processes", "note": self.confinement.words(), "root": os.geteuid() == 0}
        self.say('{"about": %s}\n%s\n' % (to_json(about), to_json(apart)))
        if not self.confinement.cells:
            if self.confinement.kernel is not None:
                self.confinement.kernel.call("", "prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            import tempfile

            self.directory = tempfile.mkdtemp(prefix="casemate-")
            tempfile.tempdir = tempfile._name_sequence = None
            if not self.confinement.is_place(os.environ.get("HOME", "/")):
                # Before anything is collected: it is the same for all tests, and empty for each.
                os.environ["HOME"] = self.environment["HOME"] = os.path.join(self.directory, HOME)
        elif not self.confinement.is_own(os.environ.get("HOME", "/")):
            os.environ["HOME"] = self.environment["HOME"] = "/tmp"
        whole = {"file": None, "units": []}
        parts = list(self.order["files"])
        while parts:
            part = parts.pop(0)
            while part["units"]:
                if self.fork_parent(part):
                    return part
                if part.pop("differs", False):  # alone it is collected otherwise
                    if not whole["units"]:
                        parts.append(whole)
                    whole["units"] += part["units"]
                    break
        if self.directory is not None:
            remove_tree(self.directory)
        self.say('{"done": true}\n')
        flush_output()
        cells.leave(0)

    def fork_parent(self, part):
        """True in the fork; else once it has ended, and what of the part it did not come to is left in the part."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self.stream.close()
            self.stream = Stream(cells.high(writer))
            os.close(cells.told)
            if not part.get("cold"):
                os.close(cells.text)
            self.become_parent()
            return True
        os.close(writer)
        self.hear(part, pid, reader)
        return False

    def hear(self, part, pid, reader):
        """Passes on what a parent says until it ends, and tells of what it left undone. The file's own code runs there: what is not of its tests
        counts for nothing, and ends it."""
        waiting = {unit["n"]: unit for unit in part["units"]}
        heard = Heard(part["file"], waiting)
        poll = quietly("select").poll()
        poll.register(reader, 1)
        pidfd = open_process(pid)
        if pidfd >= 0:
            poll.register(pidfd, 1)
        rest, listening, ended, since, drained = b"", True, None, monotonic(), 0
        while listening and drained < MOST_DRAINED:
            unit = waiting.get(heard.runs_now)
            patience = COLLECTING_TIME if unit is None else unit["wall"] + 2 * GUARD if unit.get("wall") else None
            waits = None if patience is None else max(since + patience - monotonic(), 0)
            if ended is not None:
                waits, drained = 0, drained + 1
            elif pidfd < 0:
                waits = LOOK if waits is None else min(waits, LOOK)
            ready = poll.poll(None if waits is None else waits * 1000)
            # What it has left may hold the pipe for ever.
            if ended is None and (pidfd < 0 or any(fd == pidfd for fd, _ in ready)):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    ended = status
                    os.set_blocking(reader, False)
                    if pidfd >= 0:
                        poll.unregister(pidfd)
            if ended is None and patience is not None and monotonic() >= since + patience:
                heard.unable = "it was silent for %d s" % patience
                os.kill(pid, 9)
                since = monotonic()
            if ended is None and not any(fd == reader for fd, _ in ready):
                continue
            try:
                data = os.read(reader, 1 << 18)
            except BlockingIOError:
                data = b""
            since = monotonic()
            listening = bool(data)
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > MOST_LINE:
                heard.lies = True
            told = "".join(line.decode() + "\n" for line in lines if heard.takes(line))
            if told:
                self.say(told)
            if heard.lies:
                heard.unable = "its code told of other tests"
                if ended is None:
                    os.kill(pid, 9)
                break
        os.close(reader)
        if pidfd >= 0:
            os.close(pidfd)
        status = end_of(pid) if ended is None else ended
        if not self.confinement.cells:
            Keeper(self.confinement, {}, self.stream, None).end_rest()
        part["units"] = list(waiting.values())
        if heard.tied:
            part["cold"] = True
        if heard.differs:
            part["differs"] = True
        if not heard.lies and (heard.moved or not waiting):
            return
        # What ran has died with it; before that, nothing of this file can run.
        lost = [waiting[heard.runs_now]] if heard.runs_now in waiting and not heard.lies else part["units"]
        for unit in lost:
            died = {"over": unit["n"], "died": "%s: %s" % (part["file"] or "all files", heard.unable or words_of_end(status))}
            self.say(to_json(died) + "\n")
        part["units"] = [unit for unit in part["units"] if unit not in lost]

    # ---- The parent of a file's tests

    def become_parent(self):
        """In a fork of the first process, or in a fork of that, where there is to be a pid namespace."""
        confinement = self.confinement
        if confinement.kernel is not None:
            confinement.kernel.call("", "prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
        if not confinement.cells:
            if confinement.kernel is not None:
                confinement.kernel.call("", "prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            return self.own_stream()
        try:
            confinement.kernel.hide(False)
            confinement.begin_file()
            pid = os.fork()
        except (Failed, OSError) as problem:
            self.own_stream()
            what = "%s: %s" % (problem.step, os.strerror(problem.problem)) if isinstance(problem, Failed) else "fork: %s" % problem.strerror
            self.leave_unable(what)
        if pid == 0:
            confinement.kernel.call("", "prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
            self.hide()
            self.namespace = cells.high(os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC))
            return self.own_stream()
        self.stream.close()
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
        os._exit(os.WEXITSTATUS(status))

    def own_stream(self):
        self.stream.owner = os.getpid()

    def leave_as_tied(self, part, words):
        """To the first process: its tests need fresh interpreters."""
        self.say(to_json({"tied": part["file"], "left": words[0]}) + "\n")
        cells.leave(0)

    def leave_as_differing(self, part):
        self.say(to_json({"differs": part["file"]}) + "\n")
        cells.leave(0)

    def leave_unable(self, what):
        """To the first process: nothing of this part can run."""
        self.say(to_json({"unable": what}) + "\n")
        cells.leave(1)

    def serve(self, part):
        """Runs its units. Never returns there; in a test it gives (ids, report)."""
        units = part["units"]
        while units:
            done = self.fork_keeper(part, units)
            if isinstance(done, tuple):
                return done
            units = units[done:]
        cells.leave(0)

    def fork_keeper(self, part, units):
        """How many of `units` are over once it has ended; in a test (ids, report)."""
        confinement = self.confinement
        self.stream.flush()
        if confinement.cells:
            confinement.kernel.call("a pid namespace", "unshare", NEWPID)
        pid = os.fork()
        if pid == 0:
            return self.become_keeper(part, units)
        if confinement.cells:
            confinement.kernel.call("come back to a pid namespace", "setns", self.namespace, NEWPID)
        _, status = os.waitpid(pid, 0)
        if not confinement.cells:
            Keeper(confinement, {}, self.stream, None).end_rest()
        if not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0:
            self.leave_unable("what kept its tests ended with %s" % words_of_end(status))
        return os.WEXITSTATUS(status)

    # ---- The keeper of tests, and a test

    def become_keeper(self, part, units):
        """In a test: (ids, report). Never returns in their keeper."""
        keeper = Keeper(self.confinement, self.order, self.stream, self.directory)
        done = 0
        try:
            if self.confinement.cells:
                os.close(self.namespace)
            try:
                keeper.begin()
            except (Failed, OSError) as problem:
                failed = [problem.step, problem.problem] if isinstance(problem, Failed) else [as_text(problem), problem.errno]
                self.say('{"unit": %d}\n%s\n' % (units[0]["n"], to_json({"over": units[0]["n"], "failed": failed})))
                os._exit(1)
            for unit in units[: keeper.MOST_UNITS]:
                found = keeper.run(unit)
                if found is not None and len(found) > 1:
                    return self.become_test(part, unit, *found)
                done += 1
                if found is not None:
                    break
        except BaseException as problem:
            sys.__stderr__.write("casemate: %s: %s\n" % (type(problem).__name__, as_text(problem)))
            done = 0
        os._exit(done)

    def become_test(self, part, unit, report, out, err, own):
        if own is not None:  # without a /tmp of its own
            self.environment["TMPDIR"] = os.environ["TMPDIR"] = own
            if "tempfile" in sys.modules:
                sys.modules["tempfile"].tempdir = None
        renew_stdin()
        if part.get("cold"):
            self.execute(part, unit, report, out, err)
        cells.renew(out, err)
        os.close(out)
        os.close(err)
        return b"".join(name.encode("utf-8", "backslashreplace") + b"\0" for name in unit["ids"]), cells.high(report)

    def execute(self, part, unit, report, out, err):
        """A fresh interpreter, as the order K has one."""
        for fd, number in ((out, 1), (err, 2), (report, 3)):
            if fd == number:
                os.set_inheritable(fd, True)
            else:
                os.dup2(fd, number)
        os.dup2(cells.text, TEXT)
        if cells.rewritten >= 0:
            os.dup2(cells.rewritten, KNOWN)
            self.environment["CASEMATE_ALONE"] = IN_GROUP
        words = ["K", unit["file"], str(len(unit["ids"])), *unit["ids"]]
        try:
            os.execve(sys.executable, [sys.executable, "-c", BOOT, *words, *self.arguments], self.environment)
        except OSError as problem:
            os.write(2, ("%s: %s\n" % (sys.executable, problem.strerror)).encode("utf-8", "backslashreplace"))
            os._exit(126)


def renew_stdin():
    """All forks have their parent's, and with it its flags."""
    status = os.fstat(0)
    if status.st_mode & 0o170000 == 0o020000 and status.st_rdev == os.makedev(1, 3):
        fresh = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(fresh, 0)
        os.close(fresh)
