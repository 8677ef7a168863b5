"""Coverage where pytest-cov measures: what each fork runs goes to the engine as lines, and a last interpreter gives all of it to pytest-cov.

The line of a stream is {"coverage": [context, kind, {file: numbers}]}: kind "lines"; or "arcs", whose numbers are pairs, one after the other;
or "tracers", whose values are names of coverage's plugins. What parents measured until they fork the collector tells, for it imports all
that they do; so what forks of module parents tell is what ran in them alone.
"""
MOST_COVERAGE_LINE = 8 << 20  # bytes, roughly; below kMostLine


def coverage_of(config):
    """coverage's Coverage object that pytest-cov has started, or None."""
    plugin = config.pluginmanager.getplugin("_cov")
    controller = getattr(plugin, "cov_controller", None)
    return getattr(controller, "cov", None)


class Measured:
    """Takes the place of the file of data that coverage's collector fills, and keeps it as lines for a stream. What else is asked of that
    file it answers."""

    def __init__(self, data, context):
        self.data = data
        self.context = context
        self.lines = []

    def __getattr__(self, name):
        return getattr(self.data, name)

    def set_context(self, context):
        known, self.context = self.context, context or ""
        return known

    def add_lines(self, found):
        self.keep("lines", {file: list(numbers) for file, numbers in found.items() if numbers})

    def add_arcs(self, found):
        self.keep("arcs", {file: [n for arc in arcs for n in arc] for file, arcs in found.items() if arcs})

    def add_file_tracers(self, found):
        self.keep("tracers", found)

    def touch_file(self, file, plugin_name=""):
        """Files of which nothing ran the last interpreter finds itself."""

    def touch_files(self, files, plugin_name=None):
        """As touch_file()."""

    def keep(self, kind, found):
        begin = '{"coverage": [%s, "%s", {' % (quote(self.context), kind)
        entries, size = [], 0
        for file, value in found.items():
            # A list of numbers is JSON as Python writes it.
            entries.append(quote(as_text(file)) + ": " + (quote(value) if kind == "tracers" else repr(value)))
            size += len(entries[-1])
            if size > MOST_COVERAGE_LINE:
                self.lines.append(begin + ", ".join(entries) + "}]}\n")
                entries, size = [], 0
        if entries:
            self.lines.append(begin + ", ".join(entries) + "}]}\n")

    def take_file(self, data):
        """All of a CoverageData, which another process has written."""
        for context in sorted(data.measured_contexts()):
            data.set_query_context(context)
            self.context = context
            files = data.measured_files()
            if data.has_arcs():
                self.add_arcs({file: data.arcs(file) or () for file in files})
            else:
                self.add_lines({file: data.lines(file) or () for file in files})
        self.add_file_tracers({file: data.file_tracer(file) for file in data.measured_files() if data.file_tracer(file)})


def listen_to_coverage(cov):
    """A Measured that will hear all that `cov` has measured and does; None where nothing is measured."""
    collector = getattr(cov, "_collector", None)
    if collector is None:
        return None
    measured = Measured(collector.covdata, getattr(collector, "static_context", None) or "")
    collector.covdata = measured
    return measured


def forget_coverage(cov, measured):
    """What was measured up to here is told by somebody else."""
    cov._collector.flush_data()
    del measured.lines[:]


def keep_measuring(config):
    """In a fork: pytest-cov before 7 takes another pid for a test that somebody else forked, and measures on its own."""
    config.pluginmanager.getplugin("_cov").pid = os.getpid()


def end_of_coverage(cov, measured, since):
    """The lines of what `measured` has heard, and of what processes that were started here left in files after `since` (of the epoch)."""
    cov.stop()
    cov._collector.flush_data()
    directory, name = os.path.split(os.path.abspath(cov.config.data_file))
    try:
        found = sorted(other for other in os.listdir(directory) if other.startswith(name + "."))
    except OSError:
        found = ()  # a test may remove what it likes
    for path in [os.path.join(directory, other) for other in found]:
        try:
            if os.stat(path).st_mtime < since or path.endswith("-journal"):
                continue
            from coverage import CoverageData

            data = CoverageData(basename=path)
            data.read()
            measured.take_file(data)
        except Exception:
            pass  # a process that was killed left half of one
    return measured.lines


# ---- The last interpreter


def write_coverage(cov, fd):
    """Files of data beside that of `cov`, from lines of streams in the file `fd`, for pytest-cov to combine."""
    from coverage import CoverageData

    found = {}
    with os.fdopen(fd, "r", encoding="ascii") as file:
        for line in file:
            try:
                context, kind, files = read_json(line)["coverage"]
                known = found.setdefault((kind == "arcs", context), {}) if kind != "tracers" else found.setdefault("tracers", {})
                for name, numbers in files.items():
                    if kind == "tracers":
                        known[name] = numbers
                    else:
                        known.setdefault(name, set()).update(zip(numbers[::2], numbers[1::2]) if kind == "arcs" else numbers)
            except Exception:
                continue  # a test can write what it likes
    tracers = found.pop("tracers", {})
    for kind in sorted({arcs for arcs, _ in found}):
        data = CoverageData(basename=os.path.abspath(cov.config.data_file), suffix="casemate.%d" % kind)
        for (arcs, context), files in sorted(found.items()):
            if arcs != kind:
                continue
            data.set_context(context)
            (data.add_arcs if arcs else data.add_lines)(files)
        measured = data.measured_files()
        data.add_file_tracers({file: name for file, name in tracers.items() if file in measured})
        data.write()
        data.close()


def report_files(plugin, config):
    """What pytest-cov has written: its file of data, and the reports that it was asked for."""
    settings = plugin.cov_controller.cov.config
    reports = plugin.options.cov_report
    asked = reports if isinstance(reports, dict) else {}
    places = [settings.data_file]
    for kind, attribute in (("html", "html_dir"), ("xml", "xml_output"), ("json", "json_output"), ("lcov", "lcov_output")):
        if kind in asked:
            places.append(asked[kind] or getattr(settings, attribute))
    for kind in ("markdown", "markdown-append", "annotate"):
        if asked.get(kind):
            places.append(asked[kind])
    top = plugin.cov_controller.topdir
    for place in places:
        place = os.path.join(top, place)
        if os.path.isdir(place):
            for directory, names, files in os.walk(place):
                names.sort()
                for name in sorted(files):
                    yield os.path.join(directory, name)
        elif os.path.isfile(place):
            yield place


class CoverageReport:
    """The last interpreter's part: a session of no tests, whose data pytest-cov combines and reports."""

    def __init__(self, words, data, stream):
        self.failed = words["failed"]
        self.data = data
        self.stream = stream

    def begin(self, config, session):
        """Instead of tests, within pytest-cov's own hook."""
        import io

        from _pytest._io import TerminalWriter

        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            self.text = io.StringIO()
            reporter._tw = TerminalWriter(self.text)
            reporter._tw.hasmarkup = False
        self.reporter = reporter
        session.testsfailed = self.failed
        write_coverage(coverage_of(config), self.data)

    def end(self, config, session):
        """After pytest-cov's hook: tells the engine."""
        import binascii

        plugin = config.pluginmanager.getplugin("_cov")
        if self.reporter is not None:
            plugin.pytest_terminal_summary(self.reporter)
            self.stream.add(to_json({"covered": bounded(self.text.getvalue()), "failed": session.testsfailed > self.failed}) + "\n")
        piece = 4 << 20
        top = plugin.cov_controller.topdir  # where pytest was started
        for path in report_files(plugin, config):
            with open(path, "rb") as file:
                content = file.read(piece)
                while True:
                    following = file.read(piece)
                    told = {"written": os.path.relpath(path, top), "more": bool(following)}
                    told["content"] = binascii.b2a_base64(content, newline=False).decode("ascii")
                    self.stream.add(to_json(told) + "\n")
                    if not following:
                        break
                    content = following
