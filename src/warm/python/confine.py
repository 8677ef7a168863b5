"""Namespaces for the tests of a group (group.py), by the C library's own calls: there is no native half where an interpreter is alone. What the
kernel does not allow here is left out, and NOTES of Confinement says so."""

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18, 1 << 21
MNT_DETACH = 2
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 4, 36, 38, 47, 4
CAPABILITY_VERSION_3 = 0x20080522
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
SYSTEM_ADMINISTRATOR = 21  # CAP_SYS_ADMIN
O_PATH = 0o10000000
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1


class Failed(Exception):
    """A step of a test's own set-up: its name in words, and errno."""

    def __init__(self, step, problem):
        Exception.__init__(self, step)
        self.step, self.problem = step, problem


class Kernel:
    """Calls of the C library by name. Raises ImportError or OSError where it can't be reached."""

    def __init__(self):
        library = quietly("_ctypes")
        self.library, self.handle, self.known = library, library.dlopen(None, 0), {}
        self.number = type("Number", (library._SimpleCData,), {"_type_": "l"})
        flags = library.FUNCFLAG_CDECL | library.FUNCFLAG_USE_ERRNO
        self.function = type("Function", (library.CFuncPtr,), {"_flags_": flags, "_restype_": self.number})
        for name in ("unshare", "setns", "mount", "umount2", "prctl", "capset", "socket", "ioctl", "sethostname", "syscall"):
            self.known[name] = self.function(library.dlsym(self.handle, name))

    def call(self, step, name, *words):
        """Its result; Failed with `step`."""
        given = [self.number(word) if isinstance(word, int) else word for word in words]
        result = self.known[name](*given)
        # Of functions that give an int only the lower half of what is read is theirs.
        if result & 0xFFFFFFFF == 0xFFFFFFFF:
            raise Failed(step, self.library.get_errno())
        return result & 0xFFFFFFFF

    def mount(self, source, target, kind=None, flags=0, data=None):
        words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
        step = "mount %s" % (target if kind is None else "%s %s" % (kind, target))
        self.call(step, "mount", *words, flags, None if data is None else os.fsencode(data))

    def drop_capabilities(self):
        """And no program that is started gets any."""
        try:
            self.call("", "prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        except Failed:
            pass  # none are known before Linux 4.3
        header = CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
        self.call("drop capabilities", "capset", header, bytes(24))
        self.call("drop capabilities", "prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    def hide(self, hidden=True):
        """Whether nobody without CAP_SYS_PTRACE looks into this process or takes its descriptors."""
        self.call("hide", "prctl", PR_SET_DUMPABLE, 0 if hidden else 1, 0, 0, 0)

    def raise_loopback(self):
        socket = self.call("loopback up", "socket", 2, 2 | 0o2000000, 0)  # AF_INET, SOCK_DGRAM | SOCK_CLOEXEC
        try:
            self.call("loopback up", "ioctl", socket, SIOCSIFFLAGS, b"lo".ljust(16, b"\0") + IFF_UP.to_bytes(2, sys.byteorder) + bytes(22))
        finally:
            os.close(socket)


def has_capability(number):
    """Whether this process has it in effect."""
    with open("/proc/self/status") as status:
        return any(line.startswith("CapEff:") and int(line.split()[1], 16) >> number & 1 for line in status)


def is_below(path, top):
    return path == top or path.startswith(top.rstrip("/") + "/")


class Confinement:
    """What a test of this group has for itself. `order` is the group's: whether "cells" are wanted, the "places" that its tests may write to
    without another seeing it, "disk" bytes of each, "network": whether it is the worker's."""

    def __init__(self, order, needed):
        self.places = [os.path.realpath(place) for place in order.get("places", ())]
        self.disk = order.get("disk")
        self.network = bool(order.get("network"))
        self.cwd = os.getcwd()
        self.kernel, self.cells, self.user = None, False, False
        self.proc = self.shared_memory = True
        self.written = {place: "overlay" for place in self.places}  # or "read-only", or ""
        self.closed = True  # what is nobody's own can't be written
        self.notes = []
        self.kept = sorted({os.path.realpath(path) for path in [*needed, *self.places] if path})
        # Directories that each test has empty. One that others lie in, or that is part of what the interpreter needs, is left as it is.
        wanted = ["/tmp"] + sorted({os.path.realpath(path) for path in ("/var/tmp", os.environ.get("HOME", "/")) if os.path.isdir(path)})
        temporary = os.path.realpath("/tmp")
        self.own = wanted[:1] + [path for path in wanted[1:] if not is_below(temporary, path) and not any(is_below(path, other) for other in (temporary, *self.kept))]
        try:
            self.kernel = Kernel()
        except Exception as problem:
            self.notes.append("its interpreter reaches no system calls (%s)" % as_text(problem))
            return
        if order.get("cells", True):
            self.look()

    def words(self):
        """For people, one line."""
        if self.cells:
            return "tests have namespaces of their own there, but %s" % "; ".join(self.notes) if self.notes else ""
        shared = "what one writes to the project, to /dev/shm and by its full name to /tmp the others of its group see, and there is no limit on it"
        return "tests are processes without namespaces of their own there (%s): %s" % ("; ".join(self.notes) or "none were asked for", shared)

    def is_place(self, path):
        """Whether it lies below what the tests are to write to."""
        return any(is_below(os.path.realpath(path), place) for place in self.places)

    def is_own(self, path):
        """Whether each test has it for itself."""
        return self.is_place(path) or any(is_below(os.path.realpath(path), os.path.realpath(own)) for own in self.own)

    # ---- What is allowed here

    def look(self):
        """Tries it in processes of its own, and takes over what they found."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(reader)
                self.try_all(writer)
                status = 0
            except BaseException as problem:
                step = "%s: %s" % (problem.step, os.strerror(problem.problem)) if isinstance(problem, Failed) else as_text(problem)
                os.write(writer, to_json({"problem": step}).encode() + b"\n")
            finally:
                os._exit(status)
        os.close(writer)
        with open(reader) as told:
            lines = told.read().splitlines()
        os.waitpid(pid, 0)
        found = read_json(lines[-1]) if lines else {"problem": "it ended"}
        if "problem" in found:
            self.notes.append(found["problem"])
            return
        self.cells = True
        for name in self.FOUND:
            setattr(self, name, found[name])

    def try_all(self, writer):
        self.user = not has_capability(SYSTEM_ADMINISTRATOR)
        self.begin_file()
        pid = os.fork()
        if pid == 0:
            step = "a first process"
            try:
                self.tries = True
                self.enter()
                found = {name: getattr(self, name) for name in self.FOUND}
            except BaseException as problem:
                step = "%s: %s" % (problem.step, os.strerror(problem.problem)) if isinstance(problem, Failed) else as_text(problem)
                found = {"problem": step}
            os.write(writer, to_json(found).encode() + b"\n")
            os._exit(0)
        os.waitpid(pid, 0)

    FOUND = ("user", "proc", "shared_memory", "written", "own", "closed", "notes")
    tries = False

    def attempt(self, what, without, *words):
        """One that may fail: `without` says what is missing then, while it is tried for the first time."""
        try:
            what(*words)
        except Failed as problem:
            if not self.tries:
                raise
            if without:
                self.notes.append("%s (%s: %s)" % (without, problem.step, os.strerror(problem.problem)))
            return False
        return True

    # ---- What is done

    def begin_file(self):
        """In the process whose next fork is the parent of a file's tests, and first process of a pid namespace."""
        uid, gid = os.geteuid(), os.getegid()
        self.kernel.call("a user and a pid namespace" if self.user else "a pid namespace", "unshare", NEWPID | (NEWUSER if self.user else 0))
        if self.user:
            for name, text in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, uid)), ("gid_map", "%d %d 1" % (gid, gid))):
                try:
                    with open("/proc/self/" + name, "w") as file:
                        file.write(text)
                except OSError as problem:
                    if name != "setgroups":
                        raise Failed("%s %s" % (name, text), problem.errno)

    def enter(self):
        """In the first process of a test's pid namespace: all the others, and what they show."""
        self.kernel.call("namespaces", "unshare", NEWNS | NEWUTS | NEWIPC | (0 if self.network else NEWNET))
        self.kernel.mount("none", "/", flags=MS_REC | MS_PRIVATE)
        if self.closed:
            self.closed = self.attempt(self.close, "what they write to the worker's other files all see")
        for place in self.places:
            self.separate(place)
        self.own_directory("/tmp")
        for path in self.own[1:]:
            if not self.attempt(self.own_directory, "%s is not theirs" % path, path):
                self.own = [other for other in self.own if other != path]
        if self.shared_memory and os.path.isdir("/dev/shm"):
            self.shared_memory = self.attempt(self.kernel.mount, "/dev/shm is shared", "tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
        if self.proc:
            without = "/proc is the worker's"
            self.proc = self.attempt(self.kernel.mount, without, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        if self.proc:
            self.attempt(self.read_only, "", "/proc/sys")
        elif self.closed:
            self.attempt(self.remount, "", "/proc", 0)  # a process may write to what is its own there
        if not self.network:
            self.kernel.raise_loopback()
        self.kernel.call("host name", "sethostname", b"casemate", 8)
        os.chdir(self.cwd)

    def size(self, mode=0o1777):
        return "mode=%o" % mode + (",size=%d" % self.disk if self.disk else "")

    def traces(self):
        """What a test changes that writes to its files, or uses its network: equal before and after, the next may follow in the same namespaces."""
        if not self.cells:
            return None
        found = []
        for path in self.own + ["/dev/shm"] * self.shared_memory + [place for place in self.places if self.written[place] == "overlay"]:
            status, system = os.stat(path), os.statvfs(path)
            found.append((status.st_ctime_ns, status.st_mode, status.st_uid, system.f_bfree, system.f_ffree))
        for name in () if self.network else ("dev", "snmp", "snmp6", "sockstat", "sockstat6"):
            try:
                counters = os.open("/proc/self/net/" + name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # without IPv6
            found.append(os.read(counters, 16 << 10))
            os.close(counters)
        return found

    def separate(self, place):
        """What a test writes there nobody else sees."""
        if not os.path.isdir(place):
            return
        if self.written[place] == "overlay":
            if self.attempt(self.overlay, "", place):
                return
            self.written[place] = "read-only"
        if self.written[place] == "read-only" and not self.attempt(self.read_only, "what they write below %s all see" % place, place):
            self.written[place] = ""
        elif self.tries:
            self.notes.append("%s is read-only" % place)

    def overlay(self, place):
        lower = os.open(place, O_PATH | os.O_CLOEXEC)
        try:
            self.kernel.mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, self.size())
            try:
                mode = os.stat(lower).st_mode & 0o7777
                for name in ("upper", "work"):
                    os.mkdir("/tmp/" + name)
                    os.chmod("/tmp/" + name, mode)
                words = "lowerdir=/proc/self/fd/%d,upperdir=/tmp/upper,workdir=/tmp/work" % lower
                self.kernel.mount("overlay", "/proc/self/fd/%d" % lower, "overlay", 0, words + (",userxattr" if self.user else ""))
            finally:
                self.kernel.call("umount /tmp", "umount2", b"/tmp", MNT_DETACH)
        finally:
            os.close(lower)

    def read_only(self, place):
        self.kernel.mount(place, place, flags=MS_BIND | MS_REC)
        self.remount(place)

    def remount(self, place, writable=MS_RDONLY):
        flags = os.statvfs(place).f_flag
        flags = flags & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048) | (MS_RELATIME if flags & 4096 else 0)
        self.kernel.mount("none", place, flags=MS_REMOUNT | MS_BIND | writable | flags)

    def close(self):
        """All that is mounted so far becomes read-only."""
        attributes = MOUNT_ATTR_RDONLY.to_bytes(8, sys.byteorder) + bytes(24)
        self.kernel.call("make all read-only", "syscall", MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, attributes, len(attributes))  # Linux 5.12

    def own_directory(self, place):
        """Empty, but for what the interpreter and the project are made of."""
        real, mode = os.path.realpath(place), os.stat(place).st_mode & 0o7777
        kept = [path for path in self.kept if path != real and is_below(path, real) and os.path.lexists(path)]
        kept = [path for path in kept if not any(path != other and is_below(path, other) for other in kept)]
        kept = [(path, os.open(path, O_PATH | os.O_CLOEXEC)) for path in kept]
        self.kernel.mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, self.size(0o1777 if place == "/tmp" else mode | 0o700))
        for path, fd in kept:
            if os.path.isdir("/proc/self/fd/%d" % fd):
                os.makedirs(path, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self.kernel.mount("/proc/self/fd/%d" % fd, path, flags=MS_BIND | MS_REC)
            os.close(fd)
