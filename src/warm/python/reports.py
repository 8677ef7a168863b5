"""Reports of pytest as lines of JSON for the engine (src/warm/protocol.h), without importing a module that a plain pytest would not have.

All files here are one text when casemate is built (cmake/warm.cmake): names of one are names of the others.
"""
import os
import sys

MOST_TEXT = 1 << 20  # kMostText
MOST_REPORT = 4 << 20  # bytes of all texts of one report: escaped they stay below kMostLine


def encoder():
    """json's string encoder in C, whether or not json has been imported; sys.modules stays as it is."""
    known = "_json" in sys.modules
    import _json

    if not known:
        sys.modules.pop("_json", None)
    return _json


_json = encoder()
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


def crash_of(longrepr, text):
    """(message, path, line) of where it failed, in one line; empty strings and None where neither pytest nor `text`, all of it, says so."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is None:
        lines = [line for line in text.splitlines() if line.strip()]
        marked = [line[1:].strip() for line in lines if line.startswith("E ")]
        return (marked[-1] if marked else lines[-1].strip() if lines else ""), "", None
    lines = as_text(crash.message).splitlines()
    return (lines[0] if lines else ""), as_text(crash.path), crash.lineno


def subtest_of(report):
    """What a subtest says of itself, '' for a test's own report. pytest 9 and pytest-subtests name the method differently."""
    if getattr(report, "context", None) is None:
        return ""
    for name in ("_sub_test_description", "sub_test_description"):
        describe = getattr(report, name, None)
        if describe is not None:
            return as_text(describe()) or "(<subtest>)"
    return ""


def explain_outcome(report, fields):
    """Text, message and place of a report that is no plain pass."""
    longrepr = report.longrepr
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        path, line, reason = longrepr
        reason = as_text(reason)
        if reason.startswith("Skipped: "):
            reason = reason[len("Skipped: ") :]
        fields["text"] = bounded(reason)
        message = reason.split("\n", 1)[0]
        fields["path"] = as_text(path)
        if isinstance(line, int):
            fields["line"] = line
    elif longrepr is not None:
        try:
            text = report.longreprtext
        except Exception as problem:
            text = "<the report has no text: %s: %s>" % (type(problem).__name__, as_text(problem))
        fields["text"] = bounded(text)
        message, path, line = crash_of(longrepr, text)
        if path:
            fields["path"] = path
        if line is not None:
            fields["line"] = line
    else:
        return
    if message:
        fields["message"] = bounded(message, 16384)


def sections_of(report):
    """The captured output and what plugins added, in as many bytes as one report may have."""
    left = MOST_REPORT - MOST_TEXT
    sections = []
    for title, content in report.sections:
        content = bounded(as_text(content), min(MOST_TEXT, left))
        left -= len(content) if content.isascii() else len(content.encode("utf-8", "backslashreplace"))
        sections.append((bounded(as_text(title), 4096), content))
        if left < 65536 and len(sections) < len(report.sections):
            sections.append(("casemate", "%d more sections left out" % (len(report.sections) - len(sections))))
            break
    return sections


def report_line(report):
    """The line {"report": ...} of a TestReport or CollectReport."""
    outcome = report.outcome
    when = getattr(report, "when", None) or "collect"
    line = '{"report": {"id": %s, "when": %s, "outcome": %s' % (quote(report.nodeid), quote(when), quote(outcome))
    if when != "collect":
        start = getattr(report, "start", None)  # pytest 7 does not say
        if start is not None:
            line += ', "start": %r' % start
        line += ', "duration": %r' % report.duration
    if outcome == "passed" and not report.sections and not getattr(report, "user_properties", None):
        if not hasattr(report, "wasxfail") and not hasattr(report, "context"):
            return line + "}}\n"
    fields = {}
    if outcome != "passed" or report.longrepr is not None:
        explain_outcome(report, fields)
    if report.sections:
        fields["sections"] = sections_of(report)
    properties = getattr(report, "user_properties", None)
    if properties:
        pairs = [pair for pair in list(properties)[:1000] if isinstance(pair, (tuple, list)) and len(pair) == 2]
        fields["properties"] = [(bounded(as_text(k), 4096), bounded(as_text(v), 65536)) for k, v in pairs]
    if hasattr(report, "wasxfail"):
        reason = as_text(report.wasxfail)
        fields["xfail"] = reason[len("reason: ") :] if reason.startswith("reason: ") else reason
    subtest = subtest_of(report)
    if subtest:
        fields["subtest"] = bounded(subtest, 16384)
    return line + (", " + to_json(fields)[1:-1] if fields else "") + "}}\n"


def warning_line(warning, nodeid):
    """The line {"warning": ...} of a warnings.WarningMessage."""
    fields = {
        "id": nodeid,
        "category": getattr(warning.category, "__name__", "Warning"),
        "message": bounded(as_text(warning.message), 65536),
        "path": as_text(warning.filename),
        "line": warning.lineno if isinstance(warning.lineno, int) else 0,
    }
    return '{"warning": %s}\n' % to_json(fields)


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
