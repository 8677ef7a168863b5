"""A group of tests in one interpreter that is alone (order G of src/warm/protocol.h): it imports pytest once, forks a parent for each file, and that a
process for each unit of tests, one after the other.

Only the first process writes to the engine. A file's parent tells it by a pipe that no test has; the keeper of its tests hears each on a pipe of that
test's own, and passes on what it says with the number of its unit, unread. All but tests are not dumpable, and tests have no capability: they reach
none of these."""
BOOT = "import os;s=os.pread(4,1<<24,0);os.close(4);exec(compile(s,'<casemate>','exec'),{'__name__':'casemate'})"  # kWarmBoot
COLLECTING_TIME = 600  # seconds, of one file
GUARD = 30  # seconds beyond a unit's own time until its keeper is given up


def words_of_end(status):
    """How a process ended, for people."""
    return "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "exit status %d" % os.WEXITSTATUS(status)


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

    def say(self, text):
        self.stream.add(text)
        self.stream.flush()

    # ---- The first process

    def run(self, about):
        """Never returns there. In a file's parent it returns the part that is its own; it has to call serve()."""
        apart = {"apart": "cells" if self.confinement.cells else "processes", "note": self.confinement.words(), "root": os.geteuid() == 0}
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
        """Passes on what a parent says until it ends, and tells of what it left undone."""
        waiting = {unit["n"]: unit for unit in part["units"]}
        runs_now, unable, rest, listening, moved = None, "", b"", True, False
        poll = quietly("select").poll()
        poll.register(reader, 1)
        while listening:
            unit = waiting.get(runs_now)
            patience = COLLECTING_TIME if unit is None else unit["wall"] + 2 * GUARD if unit.get("wall") else None
            if not poll.poll(None if patience is None else patience * 1000):
                unable = "it was silent for %d s" % patience
                os.kill(pid, 9)
            data = os.read(reader, 1 << 18)
            listening = bool(data)
            *lines, rest = (rest + data).split(b"\n")
            told = []
            for line in lines:
                if line.startswith(b'{"unit": '):
                    runs_now = read_json(line.decode())["unit"]
                elif line.startswith(b'{"over": '):
                    waiting.pop(read_json(line.decode())["over"], None)
                    runs_now = None
                elif line.startswith((b'{"tied": ', b'{"differs": ')):
                    part["cold" if line.startswith(b'{"tied": ') else "differs"] = moved = True
                elif line.startswith(b'{"unable": '):
                    unable = read_json(line.decode())["unable"]
                    continue
                told.append(line.decode() + "\n")
            if told:
                self.say("".join(told))
        os.close(reader)
        _, status = os.waitpid(pid, 0)
        if not self.confinement.cells:
            Keeper(self.confinement, {}, self.stream, None).end_rest()
        part["units"] = list(waiting.values())
        if moved or not waiting:
            return
        # What ran has died with it; before that, nothing of this file can run.
        lost = [waiting[runs_now]] if runs_now in waiting else part["units"]
        for unit in lost:
            died = {"over": unit["n"], "died": "%s: %s" % (part["file"] or "all files", unable or words_of_end(status))}
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
