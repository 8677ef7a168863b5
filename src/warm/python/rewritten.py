"""What pytest's assertion rewriting has made of plugins and test modules: pytest keeps it in files that know their source by its time, which inputs
of an action don't have, and does it anew in each interpreter: for some plugins, longer than all imports. So a collector that is alone tells it
({"rewritten"}), and the interpreters of groups begin with that."""
LEAD = b'{"rewritten": '
MOST_REWRITTEN = 48 << 20  # bytes that are told
MOST_OF_ONE = 8 << 20


class Rewritten:
    """Of one collection, by the source's path, size and CRC-32 (nobody changes it between an action and the next of the same run) and the versions of
    Python and pytest, for another container may have others."""

    def __init__(self, collects):
        self.collects = collects
        self.made, self.told, self.known = [], 0, {}
        self.config = None  # the first one: another (pytester's) may rewrite otherwise
        if not collects and cells.rewritten >= 0:
            at = 0
            with open("/proc/self/fd/%d" % cells.rewritten, "rb") as lines:
                for line in lines:
                    path = line[len(LEAD) : line.find(b', "source": ')]
                    self.known[path] = at + len(LEAD) + len(path), at + len(line)  # read when it is wanted: forks need not have it
                    at += len(line)

    def listen(self):
        """In place of pytest's own function, from 5.0 on."""
        import _pytest.assertion.rewrite as rewrite

        self.original, self.write = getattr(rewrite, "_rewrite_test", None), getattr(rewrite, "_write_pyc", None)
        if self.original is not None and self.write is not None and (self.collects or self.known):
            rewrite._rewrite_test, rewrite._write_pyc = self.rewrite, self.write_unless_known

    def rewrite(self, source, config):
        if self.config is None:
            self.config = config
        if config is not self.config or not hasattr(source, "read_bytes"):
            return self.original(source, config)
        words = self.words_of(source)
        try:
            bytecode = self.known_bytecode(to_json(str(source)).encode(), words)
            if bytecode is not None:
                return self, quietly("marshal").loads(bytecode)
        except Exception:
            pass  # another version's
        status, code = self.original(source, config)
        if self.collects and self.told < MOST_REWRITTEN:
            bytecode = quietly("marshal").dumps(code)
            if len(bytecode) < MOST_OF_ONE:
                self.told += len(bytecode)
                self.made.append((source, words, bytecode))
        return status, code

    def write_unless_known(self, state, code, source, file):
        """In place of pytest's own. `source` is what the rewriting has said of it: its status, from 9.2 on its hash, or this, which no file needs."""
        return source is self or self.write(state, code, source, file)

    def known_bytecode(self, path, words):
        start, end = self.known.get(path, (0, 0))
        if end == 0:
            return None
        line = os.pread(cells.rewritten, end - start, start)
        return quietly("binascii").a2b_base64(line[len(words) : -3]) if line.startswith(words) else None

    def words_of(self, source):
        """What tells one content from another."""
        content = source.read_bytes()
        made_by = "%x %s" % (sys.hexversion, sys.modules["pytest"].__version__)
        return b', "source": "%d %d %s", "code": "' % (len(content), quietly("binascii").crc32(content), made_by.encode())

    def tell(self, stream):
        for source, words, bytecode in self.made:
            code = quietly("binascii").b2a_base64(bytecode, newline=False)
            stream.add('{"rewritten": %s%s%s"}\n' % (to_json(str(source)), words.decode(), code.decode()))
        self.made = []


REWRITES = Rewritten(cells.order[0] == "C") if ALONE and cells.order is not None else None
