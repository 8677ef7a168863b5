"""A warm parent without pytest: an interpreter that imports what it is told, and forks. See src/warm/protocol.h.

What comes after it in the text defines run(ids, stream): what a fork does in its cell, or a fresh interpreter (CASEMATE_COLD) in its own.
`stream` is a Stream; NOTES says what could not be imported.
"""
NOTES = []


def note_import(name, problem):
    text = "%s is not imported beforehand: %s: %s" % (name, type(problem).__name__, as_text(problem))
    NOTES.append(bounded(text.split("\n", 1)[0], 1000))


def import_all(names):
    """Imports the modules in "a,b.c" that there are; what goes wrong with the others is noted."""
    for name in filter(None, (names or "").split(",")):
        try:
            __import__(name)
        except ImportError as problem:
            if getattr(problem, "name", None) != name.split(".")[0]:  # it is there, but does not work
                note_import(name, problem)
        except BaseException as problem:  # a module may call sys.exit()
            note_import(name, problem)


def look_like_any_program():
    """What a program sees of itself that was started by a path: no '' on sys.path, nothing of kWarmBoot's in __main__."""
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    main = sys.modules["__main__"].__dict__
    for name in ("os", "s"):
        main.pop(name, None)
    sys.argv[:] = [""]


class Plain:
    """Base, parent and fork are the same object, one after the other."""

    def __init__(self):
        self.immortal = "CASEMATE_MORTAL" not in os.environ
        os.environ.pop("CASEMATE_MORTAL", None)
        self.random_before = random_state()
        self.seeded = None
        self.renew = ()
        self.collects_garbage = gc.isenabled()
        self.threads = []  # that imports have left

    def give_up(self, what):
        """Message X; then the end."""
        cells.send(b"X" + to_json({"what": what, "text": bounded(own_output(), 64 << 10), "status": 3}).encode())
        cells.leave(1)

    def get_ready_to_fork(self):
        """What every fork would do for itself is done once."""
        flush_output()
        found = open_descriptors()
        cells.streams(tuple(found.get(OUT, ())), tuple(found.get(ERR, ())), (), ())
        self.seeded = seeded_state(self.random_before) if self.seeded is None else random_state()
        self.renew = renewals(self.seeded)
        settle_memory(True, self.immortal)

    def serve(self):
        """The base's life, and in forks of it a parent's. Never returns."""
        import_all(ARGS[0] if ARGS else "")
        self.threads = python_thread_names()
        self.get_ready_to_fork()
        about = {"python": "%d.%d.%d" % sys.version_info[:3], "pytest": "", "notes": NOTES[:64]}
        cells.send(b"B" + to_json(about).encode())
        while True:  # forks leave it
            letter, payload, fds = cells.serve() or ("Q", b"", ())
            if letter == "Q":
                cells.leave(0)
            if letter != "M" or len(fds) not in (1, 3):
                self.give_up("the engine said %s with %d descriptors to a base" % (quote(letter), len(fds)))
            words = read_json(payload.decode("utf-8"))
            if cells.fork(words.get("job", -1)) == 0:
                self.be_parent(words.get("file"), fds)
            for fd in fds:
                os.close(fd)

    def be_parent(self, names, fds):
        """Imports what its forks want, says so (message R), and forks until the engine has had enough."""
        take_own_output(*fds[1:])
        cells.control(fds[0])
        if self.seeded is not None:  # CPython seeds anew in a fork
            sys.modules["random"].setstate(self.seeded)
        else:
            self.random_before = random_state()
        gc.unfreeze()
        if self.collects_garbage:
            gc.enable()
        import_all(names)
        # A library's own threads (numpy's OpenBLAS has some) are its own affair: it makes them anew in a fork.
        self.threads += python_thread_names()
        self.get_ready_to_fork()
        cells.send(b"R" + to_json({"count": 0, "threads": self.threads[:16], "problems": 0}).encode())
        order = cells.serve()
        if order is None:
            cells.leave(0)
        if order[0] != "T":
            self.give_up("the engine said %s to a parent" % quote(order[0]))
        become_one_of_many(self.renew)
        if self.collects_garbage:
            gc.enable()  # what is frozen stays so: nobody has to look through it for garbage
        self.run_here(order[1], order[2])

    def run_cold(self):
        """Message K: this process does it itself."""
        order = cells.serve()
        if order is None:
            cells.leave(0)
        letter, payload, fds = order
        if letter != "K" or len(fds) != 1:
            sys.stderr.write("the engine said %s to an interpreter for one job\n" % quote(letter))
            flush_output()
            cells.leave(1)
        words = read_json(payload.decode("utf-8"))
        cells.control(-1)
        self.run_here("".join(name + "\0" for name in words["ids"]).encode("utf-8"), cells.high(fds[0]))

    def run_here(self, ids, report):
        """run(), and the end of the process."""
        stream = Stream(report)
        run([name.decode("utf-8", "surrogateescape") for name in ids.split(b"\0")[:-1]], stream)
        stream.add('{"done": true}\n')
        flush_output()
        stream.flush()
        cells.leave(0)


def main():
    """The last line of the whole text calls it. Never returns."""
    look_like_any_program()
    plain = Plain()
    try:
        plain.run_cold() if COLD else plain.serve()
    except BaseException as problem:
        what = "%s: %s" % (type(problem).__name__, as_text(problem))
        sys.__stderr__.write("casemate: %s\n" % what)
        flush_output()
        cells.leave(1)
