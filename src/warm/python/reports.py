"""Reports of pytest as lines for the engine."""
MOST_REPORT = 4 << 20  # bytes of all texts of one report: escaped they stay below kMostLine


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
