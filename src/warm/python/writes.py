"""Writes: what collection leaves in files and directories under names that tests look for. Their cells do not have it.

The collector alone listens, by an audit hook, which nobody can take away again: where tests are to run after all, it is made deaf.
"""
WRITING = os.O_WRONLY | os.O_RDWR
MAKING = {"open": 0, "os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "sqlite3.connect": 0}  # audit events, and which argument is made
MOST_WRITES = 10000  # names that are remembered
MOST_READ = 1 << 20  # bytes of a file whose content is compared
ModuleType, FunctionType = type(os), type(bounded)


def content_of(path):
    """A hash of it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return cells.hash(os.pread(fd, MOST_READ, 0))
    finally:
        os.close(fd)


def state_of(path):
    """What is another once somebody has written something else there, of a directory only that it is one. None: nothing is there."""
    for look in (os.stat, os.lstat):
        try:
            status = look(path)
        except (OSError, ValueError):
            continue
        kind, size = status.st_mode & 0o170000, status.st_size
        if kind != 0o100000:
            return (kind,)
        try:
            return kind, size, content_of(path) if size <= MOST_READ else status.st_mtime_ns
        except OSError:
            return kind, size, status.st_mtime_ns
    return None


def modules_running():
    """(names of the modules whose own code runs just now, in whatever they import; directories of conftests among them)."""
    names, directories = set(), set()
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            file = frame.f_globals.get("__file__")
            if isinstance(file, str) and os.path.basename(file) == "conftest.py":
                directories.add(os.path.dirname(file))
            else:
                names.add(frame.f_globals.get("__name__"))
        frame = frame.f_back
    return names - {"__main__", "casemate", None}, directories


def name_behind(value):
    """The module that somebody has imported who has `value`; None if it does not tell. Runs no code of anybody's."""
    kind = type(value)
    if issubclass(kind, ModuleType):
        return ModuleType.__getattribute__(value, "__dict__").get("__name__")
    if kind is FunctionType:
        return value.__module__
    if issubclass(kind, type):
        return type.__getattribute__(value, "__module__")
    return None


def importers():
    """{name of a module: names of those that have imported it}, as far as their names tell."""
    found = {}
    for name, module in list(sys.modules.items()):
        if not issubclass(type(module), ModuleType):
            continue
        behind = {name_behind(value) for value in list(ModuleType.__getattribute__(module, "__dict__").values())}
        # A package has its modules as attributes whoever has imported them.
        behind = {other for other in behind if isinstance(other, str) and not other.startswith(name + ".")}
        for other in behind | {name.rpartition(".")[0]}:
            found.setdefault(other, set()).add(name)
    return found


def all_importers(names, found):
    """`names`, and what has imported any of them, however indirectly."""
    reached, left = set(names), list(names)
    while left:
        more = found.get(left.pop(), set()) - reached
        reached |= more
        left += more
    return reached


class Writes:
    """Of one collector. `root` is the rootdir."""

    def __init__(self, root):
        self.root = os.path.join(str(root), "")
        self.file = None  # the path of the one that is collected just now
        self.before = {}  # path: its state when it was first written to
        self.places = {}  # path: files and directories whose tests miss it
        self.modules = {}  # path: names of modules that wrote it when they were imported
        self.making = dict(MAKING)  # what is heard

    def listen(self):
        """From here on all is seen that Python itself writes."""
        making, note = self.making, self.note

        def hear(event, args):
            if event in making:
                note(event, args)

        sys.addaudithook(hear)

    def end(self):
        """From here on nothing is."""
        self.making.clear()

    def note(self, event, args):
        """May not fail: what is audited would."""
        try:
            path = args[MAKING[event]]
            if (event == "open" and not args[2] & WRITING) or isinstance(path, int) or path in (":memory:", b":memory:"):
                return
            path = os.path.abspath(os.fsdecode(path))
            if self.is_nobodys(path) or len(self.before) >= MOST_WRITES:
                return
            names, places = modules_running()
            if self.file is not None:
                places.add(self.file)
            if path not in self.before:
                self.before[path] = state_of(path)
            self.places.setdefault(path, set()).update(places)
            self.modules.setdefault(path, set()).update(names)
        except Exception:
            pass  # arguments that are no path: the call itself will say so

    def is_nobodys(self, path):
        """What no test looks for: caches, and what is hidden."""
        if path.startswith(("/dev/", "/proc/", "/sys/")) or (sys.pycache_prefix and path.startswith(sys.pycache_prefix)):
            return True
        below = path[len(self.root) :] if path.startswith(self.root) else path
        return any(name[:1] == "." or name == "__pycache__" for name in below.split(os.sep))

    def left(self, items):
        """{path of a file: words for what it has left}, of the files of `items`."""
        found = {}
        now = {path: state_of(path) for path in sorted(self.before)}
        made = [(path, state) for path, state in now.items() if state not in (None, self.before[path])]
        if not made:
            return found
        known = importers()
        modules = {str(getattr(item, "path", "")): getattr(getattr(item, "module", None), "__name__", None) for item in items}
        for path, state in made:
            word = "a directory (%s)" if state[0] == 0o040000 else "a file (%s)"
            word %= path[len(self.root) :] if path.startswith(self.root) else path
            needing = all_importers(self.modules[path], known)
            for file, name in modules.items():
                if name in needing or any(file == place or file.startswith(os.path.join(place, "")) for place in self.places[path]):
                    found.setdefault(file, []).append(word)
        return found
