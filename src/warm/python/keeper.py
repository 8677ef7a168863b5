"""The process between the parent of a file's tests and the tests of a group, one after the other: it makes what a test has for itself, hears it, holds
its limits, and ends what it leaves. In cells it is the first process of the tests' pid namespace, and serves again only if a test has left no trace."""
from time import monotonic, sleep

LOOK = 0.1  # seconds from one look at memory and processes to the next
MOST_NAMED = 16  # processes that were left behind, by name
PR_SET_PDEATHSIG = 1
HOME = "home"  # in the directory of a group's temporary directories, where tests have no namespaces
PIECE = 64 << 10  # bytes of a test's stream in one line


class Kept:
    """The first and the last bytes of an output."""

    def __init__(self, most):
        self.half, self.head, self.tail, self.total = most // 2, b"", b"", 0

    def add(self, data):
        self.total += len(data)
        room = self.half - len(self.head)
        self.head += data[:room]
        if data[room:]:
            self.tail = (self.tail + data[room:])[-self.half :]

    def text(self):
        lost = self.total - len(self.head) - len(self.tail)
        middle = b"\n[casemate: %d bytes left out here]\n" % lost if lost else b""
        return (self.head + middle + self.tail).decode("latin-1")


def descendants():
    """Numbers of processes below this one, as /proc has them (of another namespace's than ours, where none could be mounted)."""
    try:
        waiting, found = [os.readlink("/proc/self")], []
        while waiting:
            process = waiting.pop()
            try:
                for task in os.listdir("/proc/%s/task" % process):
                    with open("/proc/%s/task/%s/children" % (process, task)) as children:
                        below = children.read().split()
                    found += below
                    waiting += below
            except OSError:
                pass  # it has gone
    except OSError:
        return []
    return found


def word_of(process, name):
    """A file of /proc/PID, "" of one that has gone."""
    try:
        with open("/proc/%s/%s" % (process, name), "rb") as file:
            return file.read(65536).decode("utf-8", "replace")
    except OSError:
        return ""


def runs(process):
    """Whether it has not ended."""
    return word_of(process, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"], ["X"])


def own_memory(process):
    """Bytes that it shares with nobody, as the parent that it is a fork of."""
    parts = [line.split() for line in word_of(process, "smaps_rollup").splitlines() if line.startswith("Private_")]
    return sum(int(part[1]) for part in parts) * 1024


def resident(process):
    words = word_of(process, "statm").split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else 0


def open_process(pid):
    """A descriptor that can be read once it has ended; -1 before Linux 5.3 or Python 3.9."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


class Keeper:
    """Of the tests of one file. `order` is the group's: of it "memory" bytes, "pids" and "capture" bytes count, which may be missing."""

    MOST_UNITS = 200  # its exit status says how many

    def __init__(self, confinement, order, stream, directory):
        self.confinement, self.order, self.stream, self.directory = confinement, order, stream, directory
        self.signals, self.select = quietly("_signal"), quietly("select")

    def begin(self):
        """Fails where what a test has for itself could not be made."""
        confinement = self.confinement
        self.stream.owner = os.getpid()
        if confinement.kernel is not None:
            confinement.kernel.call("", "prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
        if confinement.cells:
            confinement.enter()
        elif confinement.kernel is not None:
            confinement.kernel.call("take over orphans", "prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # A test can signal this process; only SIGKILL would count, and not in its pid namespace.
        self.mask = self.signals.pthread_sigmask(self.signals.SIG_BLOCK, self.signals.valid_signals())
        self.untouched = confinement.traces()

    def run(self, unit):
        """Forks for a unit. In the test: (report, out, err, own temporary directory or None). In the keeper None, once all is over, or ("touched",)
        where no other test may follow here."""
        self.stream.add('{"unit": %d}\n' % unit["n"])
        if not self.confinement.cells:  # this process may be killed by the test
            self.stream.flush()
        pipes = [os.pipe() for _ in range(3)]
        own = None
        if self.directory is not None:
            own = os.path.join(self.directory, str(unit["n"]))
            os.mkdir(own)
            home = os.path.join(self.directory, HOME)
            remove_tree(home)
            os.mkdir(home)
        over, left = {"over": unit["n"]}, False
        try:
            pid = os.fork()
        except OSError as problem:
            pid, over["failed"] = -1, ["fork", problem.errno]
        if pid == 0:
            return self.become_test([writer for _, writer in pipes], [reader for reader, _ in pipes]) + (own,)
        for _, writer in pipes:
            os.close(writer)
        if pid > 0:
            over.update(self.follow(unit, pid, [reader for reader, _ in pipes]))
            left = self.left
        for reader, _ in pipes:
            os.close(reader)
        if own is not None:
            remove_tree(own)
        self.stream.add(to_json(over) + "\n")
        self.stream.flush()
        return ("touched",) if self.confinement.cells and (left or self.confinement.traces() != self.untouched) else None

    def become_test(self, writers, readers):
        for reader in readers:
            os.close(reader)
        self.stream.close()
        os.setsid()
        kernel = self.confinement.kernel
        if kernel is not None:
            if self.confinement.cells:
                kernel.call("an ipc namespace", "unshare", NEWIPC)
            kernel.drop_capabilities()
            kernel.hide(False)
        self.signals.pthread_sigmask(self.signals.SIG_SETMASK, self.mask)
        return tuple(writers)

    def follow(self, unit, pid, readers):
        """Hears a test until it has ended, and all that it left. Gives how, and its output."""
        began, wall = monotonic(), unit.get("wall")
        poll = self.select.poll()
        for reader in readers:
            os.set_blocking(reader, False)
            poll.register(reader, self.select.POLLIN)
        pidfd = open_process(pid)
        if pidfd >= 0:
            poll.register(pidfd, self.select.POLLIN)
        kept = {fd: Kept(self.order.get("capture", 1 << 20)) for fd in readers[1:]}
        look, limit, found = began + LOOK, None, None
        while found is None:
            now = monotonic()
            ends = min(look, began + wall) if wall and limit is None else look
            ready = poll.poll(max(ends - now, 0.001) * 1000 if pidfd >= 0 else 2)
            for fd, _ in ready:
                if fd == pidfd:
                    continue
                data = os.read(fd, PIECE)
                if not data:
                    poll.unregister(fd)
                self.pass_on(unit, fd, kept, data)
            now = monotonic()
            if now >= look or pidfd < 0 or (pidfd, self.select.POLLIN) in ready:
                found = self.look_for(pid, began)
            if found is None and limit is None:
                limit = self.over_limit(began, wall, now, now >= look)
                if limit is not None:
                    self.end_all()
            if now >= look:
                look = now + LOOK
                self.stream.flush()
        if pidfd >= 0:
            os.close(pidfd)
        if limit is not None:
            found["limit"] = limit
        left = self.end_rest()
        self.left = bool(left) or limit is not None
        if left and limit is None:
            found["left"] = left
        # What its pipes hold now that all is dead.
        for fd in readers:
            for _ in range(64):
                try:
                    data = os.read(fd, PIECE)
                except BlockingIOError:
                    break
                if not data:
                    break
                self.pass_on(unit, fd, kept, data)
        for name, fd in (("out", readers[1]), ("err", readers[2])):
            if kept[fd].total:
                found[name], found[name + "_total"] = kept[fd].text(), kept[fd].total
        return found

    def pass_on(self, unit, fd, kept, data):
        if fd in kept:
            kept[fd].add(data)
        elif data:
            self.stream.add('{"of": %d, "bytes": %s}\n' % (unit["n"], quote(data.decode("latin-1"))))

    def look_for(self, pid, began):
        """How it ended, if it has; reaps others."""
        while True:
            try:
                ended, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if ended == 0:
                return None
            if ended == pid:
                return {"status": status, "wall": monotonic() - began, "user": used.ru_utime, "system": used.ru_stime, "rss": used.ru_maxrss * 1024}

    def over_limit(self, began, wall, now, looks):
        if wall and now >= began + wall:
            return "wall"
        memory, pids = self.order.get("memory"), self.order.get("pids")
        if not looks or not (memory or pids):
            return None
        below = descendants()
        if pids and sum(1 for process in below if runs(process)) > pids:
            return "pids"
        # What is shared with the parent counts for each in the first sum, which is quick.
        if memory and sum(map(resident, below)) > memory and sum(map(own_memory, below)) > memory:
            return "memory"
        return None

    def end_all(self):
        if self.confinement.cells:
            try:
                os.kill(-1, 9)
            except ProcessLookupError:
                pass
            return
        for process in descendants():
            try:
                os.kill(int(process), 9)
            except OSError:
                pass

    def end_rest(self):
        """Ends what a test has left; gives [number, name] of each, some of many."""
        while True:
            try:
                if os.wait4(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                return []
        left = [process for process in descendants() if runs(process)]
        named = [[int(process), word_of(process, "comm").strip()] for process in left[:MOST_NAMED]]
        patience = monotonic() + 2
        while monotonic() < patience:
            self.end_all()
            try:
                if os.wait4(-1, os.WNOHANG)[0] == 0:
                    self.signals.sigtimedwait([self.signals.SIGCHLD], 0.01)
            except ChildProcessError:
                break
        return named


def remove_tree(directory):
    """With what a test has made unreadable. Nothing runs any more that could exchange anything in it."""
    for top, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(top, name)
            try:
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
            except OSError:
                pass  # another user's
    sys.modules["shutil"].rmtree(directory, ignore_errors=True)
