"""Lines of JSON for the engine (src/warm/protocol.h), without importing a module that a plain interpreter would not have.

All files here that make a text are one when casemate is built (cmake/warm.cmake): names of one are names of the others.
"""
import os
import sys

MOST_TEXT = 1 << 20  # kMostText


def quietly(name):
    """A module of the interpreter's own, without a trace in sys.modules."""
    known = name in sys.modules
    module = __import__(name)
    if not known:
        sys.modules.pop(name, None)
    return module


_json = quietly("_json")  # json's string encoder in C, whether or not json has been imported
_escape = _json.encode_basestring_ascii


def quote(text):
    """`text` as a JSON string. A lone surrogate, which UTF-8 cannot say, becomes its escape."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return _escape(str(text))


def bounded(text, most=MOST_TEXT):
    """`text` in at most `most` bytes of UTF-8, head and tail kept."""
    if len(text) * 4 <= most:
        return text
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= most:
        return text
    half = most // 2 - 64
    lost = len(data) - 2 * half
    head = data[:half].decode("utf-8", "ignore")
    tail = data[-half:].decode("utf-8", "ignore")
    return "%s\n[casemate: %d bytes left out here]\n%s" % (head, lost, tail)


class ScannerRules:
    """What json.JSONDecoder tells the scanner in C."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo = {}


def read_json(text):
    """The value in `text`, which comes from the engine."""
    return _json.make_scanner(ScannerRules)(text, 0)[0]


def to_json(value):
    """JSON of None, bool, numbers, str, and lists, tuples and dicts of them. Anything else as its str()."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    kind = type(value)
    if kind is str:
        return quote(value)
    if kind is int:
        return repr(value)
    if kind is float:
        return repr(value) if value - value == 0 else quote(repr(value))
    if kind is dict:
        return "{" + ", ".join(quote(str(k)) + ": " + to_json(v) for k, v in value.items()) + "}"
    if kind is list or kind is tuple:
        return "[" + ", ".join(map(to_json, value)) + "]"
    return quote(as_text(value))


def as_text(value):
    """str(value), which a test's own object may refuse."""
    try:
        return str.__str__(str(value))
    except Exception as problem:
        return "<%s without a text: %s>" % (type(value).__name__, type(problem).__name__)


class Stream:
    """A pipe of lines to the engine, written by this process alone, never by one that a test forked and let run on."""

    MOST_WAITING = 256 << 10

    def __init__(self, fd):
        self.fd = fd
        self.owner = os.getpid()
        self.lines = []
        self.waiting = 0

    def add(self, line):
        """Keeps `line` until flush(), or until there is much."""
        self.lines.append(line)
        self.waiting += len(line)
        if self.waiting > self.MOST_WAITING:
            self.flush()

    def flush(self):
        """Writes what waits. An engine that is gone is no error: nobody is left to hear of it."""
        data = memoryview("".join(self.lines).encode("ascii"))
        self.lines = []
        self.waiting = 0
        if os.getpid() != self.owner:
            return
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except BrokenPipeError:
            pass

    def close(self):
        """After it has been flushed."""
        os.close(self.fd)
