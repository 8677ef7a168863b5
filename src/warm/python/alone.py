"""An interpreter that is alone in a container: it forks nothing and needs no native half. What the engine wants is among its arguments, what it
tells goes to descriptor 3 (src/warm/protocol.h). With the order G it is the first process of a group, whose tests are forks (group.py)."""
PLACE = "/.casemate-pytest"  # kAlonePlace
GROUP = "/.casemate-group"  # kGroupPlace: what the order G says
COVERED = "/.casemate-coverage"  # the second descriptor of V, as a file
REWRITTEN = "/.casemate-rewritten"  # kRewrittenPlace: what rewritten.py wants of it
F_DUPFD_CLOEXEC, F_ADD_SEALS, ALL_SEALS = 1030, 1033, 15
TEXT, KNOWN = 4, 5  # descriptors that a group gives to its fresh interpreters: their text, and what is rewritten
MEASURED = "/tmp/.casemate-coverage"  # coverage's file of data: the project can't be written


class Alone:
    """Stands in for the native half."""

    def __init__(self, order):
        self.order = order
        self.stdout, self.stderr, self.files, self.groups = (1,), (2,), (), ()
        self.held = []  # that nobody needs (fill_holes)
        self.forks = order[0] == "G"
        self.told = self.high(os.dup(2)) if self.forks else 2  # what it gives up for
        # Tests may write where these lie.
        self.text = self.high(sealed(PLACE)) if self.forks else -1
        self.rewritten = self.high(KNOWN) if BEGUN_BY == IN_GROUP else self.high(sealed(REWRITTEN)) if self.forks and os.path.exists(REWRITTEN) else -1

    def control(self, fd):
        """There is none."""

    def serve(self):
        """The only order there is."""
        order, self.order = self.order, None
        return order

    def high(self, fd):
        """`fd`, moved away from where tests look."""
        for number in (1000, 500, 200, 50):
            if fd >= number:
                return fd
            try:
                moved = quietly("fcntl").fcntl(fd, F_DUPFD_CLOEXEC, number)
            except OSError:
                continue  # more than it may have
            os.close(fd)
            return moved
        return fd

    def streams(self, out, err, files, groups):
        """Descriptors that forks replace."""
        self.stdout, self.stderr, self.files, self.groups = out, err, files, groups

    def renew(self, out, err):
        """Replaces them in this process."""
        for fd, targets in ((out, self.stdout), (err, self.stderr)):
            for target in targets:
                os.dup2(fd, target, target <= 2)
        for group in set(self.groups):
            fresh = self.new_file()
            for target, its_group in zip(self.files, self.groups):
                if its_group == group:
                    os.dup2(fresh, target, target <= 2)
            os.close(fresh)

    def new_file(self):
        """A nameless one."""
        return os.memfd_create("capture")

    def immortalize(self, kinds, containers):
        """Not from here."""

    def fill_holes(self):
        """As that of the native half (src/warm/native/holes.cc), with objects that take a block of each size: what a fork allocates then lies in
        fresh pools, and copies no page that it shares."""
        if sys.implementation.name == "cpython" and "PYTHONMALLOC" not in os.environ and not sys.flags.dev_mode:
            for size in range(16, 513, 16):
                fill(size, self.held)

    def send(self, message):
        """Only of what it gives up for."""
        if message.startswith(b"X"):
            os.write(self.told, read_json(message[1:].decode())["what"].encode("utf-8", "backslashreplace") + b"\n")

    def hash(self, data):
        """That of the native half, FNV-1a of 64 bits, in hex."""
        value = 0xCBF29CE484222325
        for byte in data:
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        return "%016x" % value

    def leave(self, status):
        os._exit(status)


def sealed(path):
    """A descriptor of a copy of the file, which nobody can change."""
    copy = os.memfd_create("casemate", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(path, "rb") as file:
        while os.sendfile(copy, file.fileno(), None, 1 << 30):
            pass
    quietly("fcntl").fcntl(copy, F_ADD_SEALS, ALL_SEALS)
    return copy


def fill(size, held):
    """Takes free blocks until six in a row follow one another, as in a pool without holes; no more than 20,000."""
    length, last, objects = 0, 0, []
    while length < 6 and len(objects) < 20000:
        one = object() if size == 16 else (1 << 40) + len(objects) if size == 32 else bytes(size - 33)
        address = id(one)
        length = length + 1 if address == last + size else 0
        last = address
        objects.append(one)
    held += objects[: -length or None]


def order_of_arguments():
    """Takes it out of this process' arguments: "C", "G", "V" and a number of failures, or "K", a file, how many tests, and their ids."""
    words = sys.argv[1:]
    if words[0] == "G":
        with open(GROUP, "rb") as said:
            order, count = ("G", said.read(), [3]), 1
    elif words[0] == "C":
        order, count = ("C", b"", [3]), 1
    elif words[0] == "V":
        order, count = ("V", to_json({"failed": int(words[1])}).encode(), [3, os.open(COVERED, os.O_RDONLY | os.O_CLOEXEC)]), 2
    else:
        count = 3 + int(words[2])
        order = "K", to_json({"file": words[1], "ids": words[3:count]}).encode(), [3]
    if words[0] != "V":
        os.environ.setdefault("COVERAGE_FILE", MEASURED)
    del sys.argv[1 : 1 + count]
    if hasattr(sys, "orig_argv"):
        end = len(sys.orig_argv) - len(words) + count
        del sys.orig_argv[end - count : end]
    return order


def forget_coverage_file():
    """Once coverage knows it: tests need not."""
    if os.environ.get("COVERAGE_FILE") == MEASURED:
        del os.environ["COVERAGE_FILE"]


ENVIRONMENT = dict(os.environ) if "CASEMATE_ALONE" in os.environ else {}  # of the fresh interpreters of a group
BEGUN_BY = os.environ.pop("CASEMATE_ALONE", None)
IN_GROUP = "group"  # a fresh interpreter of one, with KNOWN
ALONE = BEGUN_BY is not None
