"""Ties: what collection has left that a fork in its cell would share with all others (memory, open files), or not have (temporary files;
others: writes.py). Tests of such a file get fresh interpreters, which collect it where they run.
"""


def names_in(directory):
    """What lies in it, without what nobody means to leave: caches, and what is hidden."""
    try:
        return {name for name in os.listdir(directory) if name[:1] != "." and name != "__pycache__"}
    except OSError:
        return set()


def temporary_directory():
    """Where tempfile makes its files, without importing it."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        if os.path.isdir(os.environ.get(name, "")):
            return os.environ[name]
    return "/tmp"


def shared_memory():
    """Mappings that forks write to together: values and locks of multiprocessing, mmap."""
    with open("/proc/self/maps", "rb") as maps:
        lines = [line.split(None, 5) for line in maps]
    writable = [fields for fields in lines if fields[1][1:2] == b"w" and fields[1][3:4] == b"s"]
    return ["shared memory (%s)" % os.fsdecode(fields[-1].strip()) for fields in writable]


def numbered_descriptors():
    """{number: (device, inode)} of those whose state forks would share: no devices, which have none."""
    kept = {number: status for number, status in descriptors().items() if status.st_mode & 0o170000 != 0o020000}
    return {number: (status.st_dev, status.st_ino) for number, status in kept.items()}


def open_file_words(number):
    try:
        target = os.readlink("/proc/self/fd/%d" % number)
    except OSError:
        target = "descriptor %d" % number
    return "an open file (%s)" % target


def names_drawn():
    """How far tempfile has come with its random names; None: not begun. Files of other parents lie in the same directory."""
    sequence = getattr(sys.modules.get("tempfile"), "_name_sequence", None)
    generator = getattr(sequence, "_rng", None)
    return None if generator is None else (id(sequence), generator.getstate())


class Ties:
    """Made before anything of the project is imported. The base looks around conftests, and once plugins are there too; a file's parent before
    and after it collects."""

    def __init__(self):
        self.temporary = temporary_directory()
        self.here = os.getcwd()
        self.names = names_in(self.temporary)
        self.names_here = names_in(self.here)
        self.drawn = None
        self.descriptors = {}
        self.of_conftests = []
        self.of_base = []

    def begin_conftests(self):
        """Before conftests are imported, and nothing but them."""
        self.descriptors = numbered_descriptors()

    def end_conftests(self):
        """What is open now is theirs, or of plugins that they name."""
        self.of_conftests = self.opened()

    def end_base(self):
        """Nobody else has written there yet, but where the temporary directory is the machine's."""
        made = sorted(names_in(self.here) - self.names_here)
        self.of_base = (self.made() if not ALONE or names_drawn() != self.drawn else []) + ["%s in %s" % (name, self.here) for name in made if os.path.isdir(os.path.join(self.here, name))]
        still = numbered_descriptors()
        self.of_base += [open_file_words(number) for number, identity in self.of_conftests if still.get(number) == identity]

    def opened(self):
        """[(number, identity)] of descriptors that are new."""
        return [found for found in sorted(numbered_descriptors().items()) if self.descriptors.get(found[0]) != found[1]]

    def begin_file(self):
        """Before a file is collected, or all of them."""
        self.descriptors = numbered_descriptors()
        self.names = names_in(self.temporary)
        self.drawn = names_drawn()

    def made(self):
        """Words for each new name in the temporary directory."""
        return ["%s in %s" % (name, self.temporary) for name in sorted(names_in(self.temporary) - self.names)]

    def found(self):
        """In words, what is left once a file has been collected; empty where there is nothing."""
        words = self.of_base + shared_memory()
        if names_drawn() != self.drawn:
            words += self.made()
        return words + [open_file_words(number) for number, _ in self.opened()]
