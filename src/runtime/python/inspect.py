"""Looks at data inside a cell: what format it has (by its bytes, not its name), which columns, how many rows.

Appended to the text of a warm parent, after schema.py, so names are few: inspect() and DataLook. pandas and pyarrow are used where they can
be imported and are needed; CSV, JSON, JSON Lines and NumPy's files are read without them. Memory is bounded: large files are read in pieces,
and what of a row is too long for that is said to be.
"""


def inspect(requests, stream):
    """Writes one line {"data": {...}} to `stream` for each {"name", "path"} of `requests`. What goes wrong is a text in it."""
    import json
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for request in requests:
            data = DataLook().look(request["path"])
            data.update(name=DataLook.clean(request["name"]), path=DataLook.clean(request["path"]))
            stream.add(json.dumps({"data": data}) + "\n")
            stream.flush()


class DataLook(Schema):
    """One look at a file or directory; look() is what others call. See src/runtime/data_report.h for what it gives."""

    MOST_MEMBERS = 100
    MOST_FILES = 1000  # of a directory that are opened
    MOST_CELLS = 2000000  # whose types and nulls are looked at, of a text file; rows behind them are only counted
    MOST_BYTES = 2 << 30  # of a text file whose rows are counted
    MOST_WHOLE = 256 << 20  # of a document that has to be read at once
    MOST_ROW = 1 << 24  # characters of a row of text
    MOST_HEADER = 1 << 20  # of a table's first row
    MOST_FIELDS = 1 << 20  # of a row
    HEAD = 1 << 16

    def look(self, path):
        """What is at `path`. Never raises."""
        import os

        try:
            if os.path.isdir(path):
                return self.directory(path)
            return self.file(path)
        except FileNotFoundError:
            return self.report("MISSING", files=0)
        except BaseException as problem:  # also what unpickling raises: SystemExit
            return self.report("BINARY", problem="can't be read: " + self.words(problem))

    def report(self, format, **more):
        data = {"format": format, "compression": "", "files": 1, "bytes": 0, "rows": None, "columns": [], "encoding": "", "problem": ""}
        return {**data, "members": [], **more}

    def words(self, problem):
        text = " ".join(str(problem).split())
        return self.clean("%s: %s" % (type(problem).__name__, text) if text else type(problem).__name__, 1000)

    # Directories

    def directory(self, top):
        """One table of parts with the same columns, or its files."""
        import os

        paths, total = [], 0
        for place, directories, names in os.walk(top):
            directories[:] = sorted(name for name in directories if not name.startswith("."))
            for name in sorted(names):
                if name.startswith(".") or name.startswith("_") or name.endswith(".crc"):
                    continue  # _SUCCESS, and the like of what writes parts
                total += 1
                if len(paths) < self.MOST_FILES:
                    paths.append(os.path.join(place, name))
        if not paths:
            return self.report("EMPTY", files=0)
        members = []
        for path in paths:
            member = self.look(path)
            member["name"] = self.clean(os.path.relpath(path, top), self.MOST_TEXT)
            member["path"] = self.clean(path)
            members.append(member)
        whole = self.table_of_parts(members) or self.report("DIRECTORY", members=members[: self.MOST_MEMBERS])
        whole["files"] = total
        whole["bytes"] = sum(member["bytes"] for member in members)
        if total > len(paths):
            whole["rows"] = None
            whole["problem"] = whole["problem"] or "only the first %d of %d files were looked at" % (len(paths), total)
        return whole

    def table_of_parts(self, members):
        first = members[0]
        whole = dict(first, columns=[dict(column) for column in first["columns"]])
        whole.pop("name"), whole.pop("path")
        if len(members) == 1:
            return whole
        names = [column["name"] for column in first["columns"]]
        if not names or first["format"] == "NPY":
            return None
        for member in members[1:]:
            if member["format"] != first["format"] or [column["name"] for column in member["columns"]] != names:
                return None
            for column, other in zip(whole["columns"], member["columns"]):
                column["type"] = self.both(column["type"], other["type"])
                column["nulls"] += other["nulls"]
            whole["rows"] = None if None in (whole["rows"], member["rows"]) else whole["rows"] + member["rows"]
            whole["problem"] = whole["problem"] or member["problem"]
        return whole

    # Files by their first bytes

    def file(self, path):
        import os
        import stat

        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode):
            return self.report("BINARY", problem="is neither a file nor a directory")
        if info.st_size == 0:
            return self.report("EMPTY")
        with open(path, "rb") as file:
            head = file.read(self.HEAD)
        compression, openers = "", {b"\x1f\x8b": ("gzip", "gzip"), b"BZh": ("bzip2", "bz2"), b"\xfd7zXZ\0": ("xz", "lzma")}
        opener = open
        for magic, (word, module) in openers.items():
            if head.startswith(magic):
                compression, opener = word, __import__(module).open
        try:
            if compression:
                with opener(path, "rb") as file:
                    head = file.read(self.HEAD)
            data = self.contents(path, head, opener)
        except FileNotFoundError:
            raise
        except (EOFError, OSError) as problem:
            data = self.report("BINARY", problem="can't be read: " + self.words(problem))
        data["bytes"], data["compression"] = info.st_size, compression
        return data

    def contents(self, path, head, opener):
        if not head:
            return self.report("EMPTY")
        if head.startswith(b"PAR1"):
            return self.guarded("PARQUET", self.parquet, path)
        if head.startswith(b"ARROW1"):
            return self.guarded("FEATHER", self.feather, path)
        if head.startswith(b"\x93NUMPY"):
            return self.guarded("NPY", self.npy, path, opener)
        if head.startswith(b"PK\x03\x04"):
            return self.archive(path)
        if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
            return self.guarded("EXCEL", self.excel, path)
        if head[257:262] == b"ustar":
            return self.report("TAR")
        if head[:1] == b"\x80" and 2 <= head[1] <= 5:
            return self.guarded("PICKLE", self.pickled, path, opener)
        encoding = self.encoding(head)
        if not encoding:
            return self.report("BINARY")
        try:
            return self.text(path, head, opener, encoding)
        except UnicodeDecodeError:
            # It began as UTF-8 only.
            return self.text(path, head, opener, "latin-1")

    def guarded(self, format, read, *arguments):
        """What `read` says; its failure is a problem of a file whose format is known."""
        try:
            return read(*arguments)
        except ModuleNotFoundError as problem:
            missing = (problem.name or "a module").partition(".")[0]
            return self.report(format, problem="%s is not there" % missing)
        except BaseException as problem:
            if isinstance(problem, UnicodeDecodeError) and format in ("CSV", "TSV"):
                raise  # contents() tries latin-1
            return self.report(format, problem="can't be read: " + self.words(problem))

    @staticmethod
    def encoding(head):
        """Of text; "" for what is none."""
        import codecs

        if head.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if any(byte in head for byte in b"\0\1\2\3\4\5\6\7\x0e\x0f\x10\x7f"):
            return ""
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)
            return "utf-8"
        except UnicodeDecodeError:
            # C1 controls are no letters of latin-1, nor of the code pages that are taken for it, but for a few.
            controls = sum(1 for byte in head if 0x80 <= byte < 0xA0)
            return "latin-1" if controls * 20 <= len(head) else ""

    # Text

    def text(self, path, head, opener, encoding):
        import codecs
        import io

        start = codecs.getincrementaldecoder(encoding)("replace").decode(head)
        if start.lstrip()[:1] in ("{", "["):
            data = self.json_lines(path, opener, encoding, start) or self.json(path, opener, encoding)
            if data:
                data["encoding"] = encoding
                return data
        delimiter = self.delimiter(start, len(head) >= self.HEAD, path)
        if delimiter is None:
            with opener(path, "rb") as binary:
                file = io.TextIOWrapper(binary, encoding)
                any(not file.read(1 << 20) for _ in range(256))  # all of it is as the encoding says, or its first 256 Mi characters
            return self.report("TEXT", encoding=encoding)
        data = self.guarded("TSV" if delimiter == "\t" else "CSV", self.csv, path, opener, encoding, delimiter)
        data["encoding"] = encoding
        return data

    @staticmethod
    def delimiter(start, is_cut, path):
        """Between the columns of a table as text; None: it is none."""
        import csv
        import io

        start = start.replace("\0", "")
        best, most, named = None, 1, path.lower().endswith((".csv", ".tsv")) or ".csv." in path.lower()
        for delimiter in (",", "\t", ";", "|"):
            try:
                rows = [row for _, row in zip(range(200), csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)) if row]
            except csv.Error:
                continue
            if is_cut and len(rows) > 1 and len(rows) < 200:
                rows.pop()  # maybe cut in the middle
            if not rows or len(rows[0]) <= most:
                continue
            wide = is_cut and len(rows) == 1 and len(rows[0]) >= 50  # the first line alone is longer than what was read
            if named or wide or (len(rows) > 1 and all(len(row) == len(rows[0]) for row in rows)):
                best, most = delimiter, len(rows[0])
        return "," if best is None and named else best  # one column: nothing in it says so

    def csv(self, path, opener, encoding, delimiter):
        import csv
        import io

        csv.field_size_limit(self.MOST_ROW)
        format = "CSV" if delimiter != "\t" else "TSV"
        with opener(path, "rb") as binary:
            lines = self.Lines(io.TextIOWrapper(binary, encoding, newline=""), delimiter, self.MOST_HEADER, self.MOST_FIELDS)
            reader = csv.reader(lines, delimiter=delimiter)
            first = next((row for row in lines.rows(reader) if row), [])
            width, problem = len(first), ""
            if width > self.MOST_COLUMNS:
                problem = "only the first %d of its columns were looked at" % self.MOST_COLUMNS
            if lines.is_cut:
                problem = "its first row is longer than %d characters: only the columns at its beginning were looked at" % self.MOST_HEADER
                first = first[:-1]  # the last is maybe cut in the middle
            first = first[: self.MOST_COLUMNS]
            rows = 0
            if first and all(self.type_of_text(cell) in ("int", "float", "null") for cell in first) and any(first):
                types = self.Types(self, [str(at) for at in range(len(first))])  # it has no names
                types.add([self.type_of_text(cell) for cell in first])
                rows = 1
            else:
                types = self.Types(self, self.unique(first))
            if lines.is_cut:
                return self.report(format, columns=types.columns(), problem=problem)
            lines.most = self.MOST_ROW
            budget = max(20, self.MOST_CELLS // max(1, width))
            for row in lines.rows(reader):
                if lines.is_cut:
                    problem = "row %d is too long: neither it nor what follows was looked at" % (rows + 1)
                    return self.report(format, columns=types.columns(), problem=problem)
                if not row:
                    continue
                rows += 1
                types.add([self.type_of_text(cell) for cell in row[: self.MOST_COLUMNS]])
                if rows >= budget:
                    break
            if rows < budget:
                return self.report(format, rows=rows, columns=types.columns(), problem=problem)
            if encoding == "utf-16":
                rows += sum(1 for row in lines.rows(reader) if row)
                rows = None if lines.is_cut else rows
        if encoding != "utf-16":
            rows = self.count_rows(path, opener, types.named)
        return self.report(format, rows=rows, columns=types.columns(), problem=problem)

    class Lines:
        """Of a file of text; a row of it ends where it gets longer than `most` characters or has more than `fields` fields, and so does
        the file: is_cut."""

        def __init__(self, file, delimiter, most, fields):
            self.file, self.delimiter, self.most, self.fields = file, delimiter, most, fields
            self.characters = self.delimiters = 0  # of this row
            self.is_cut = False

        def __iter__(self):
            return self

        def __next__(self):
            line = "" if self.is_cut else self.file.readline(self.most - self.characters + 1)
            if not line:
                raise StopIteration
            self.characters += len(line)
            self.delimiters += line.count(self.delimiter)
            self.is_cut = self.characters > self.most or self.delimiters >= self.fields
            return line

        def rows(self, reader):
            """Those of a csv.reader of this."""
            for row in reader:
                self.characters = self.delimiters = 0
                yield row

    def count_rows(self, path, opener, has_names):
        """Rows of a large file; None beyond MOST_BYTES. A line within quotes is no row of its own."""
        rows, done, within, is_blank = 0, 0, False, True
        with opener(path, "rb") as file:
            for piece in iter(lambda: file.readline(1 << 20), b""):
                done += len(piece)
                if done > self.MOST_BYTES:
                    return None
                if piece.count(b'"') & 1:
                    within = not within
                is_blank = is_blank and not piece.strip(b"\r\n")
                if piece.endswith(b"\n"):
                    rows += not within and not is_blank
                    is_blank = True
            rows += not within and not is_blank
        return rows - (1 if has_names else 0)

    # JSON

    def json_lines(self, path, opener, encoding, start):
        """None: it is something else."""
        import io
        import json

        lines = [line for line in start.split("\n", 3)[:3] if line.strip()]
        if len(lines) < 2 or not self.is_json(lines[0]) or not (self.is_json(lines[1]) or len(start) >= self.HEAD // 4):
            return None
        budget, rows = self.MOST_CELLS // 20, 0
        with opener(path, "rb") as binary:
            file = self.lines(io.TextIOWrapper(binary, encoding))
            values = (json.loads(line) for line in file if line.strip())
            try:
                first = [value for _, value in zip(range(budget), values)]
                table = self.records(first) or ([], len(first))
                rows = table[1] + (sum(1 for line in file if line.strip()) if table[1] == budget else 0)
            except (json.JSONDecodeError, OverflowError, RecursionError) as problem:
                return self.report("JSONL", problem="can't be read: " + self.words(problem))
        return self.report("JSONL", columns=table[0], rows=rows)

    def lines(self, file):
        """Those of a file of text. OverflowError: one is longer than MOST_ROW."""
        for line in iter(lambda: file.readline(self.MOST_ROW + 1), ""):
            if len(line) > self.MOST_ROW:
                raise OverflowError("a line is longer than %d characters" % self.MOST_ROW)
            yield line

    @staticmethod
    def is_json(line):
        import json

        try:
            return isinstance(json.loads(line), (dict, list))
        except (ValueError, RecursionError):
            return False

    def json(self, path, opener, encoding):
        """None: it is no JSON."""
        import json

        with opener(path, "rb") as file:
            bytes_ = file.read(self.MOST_WHOLE + 1)
        if len(bytes_) > self.MOST_WHOLE:
            return self.report("JSON", problem="it is too large to be read at once")
        text = bytes_.decode(encoding)
        try:
            value = json.loads(text)
        except RecursionError:
            return self.report("JSON", problem="is nested too deep")
        except ValueError as problem:
            return self.report("JSON", problem=self.words(problem)) if path.lower().endswith(".json") else None
        columns, rows = self.container(value)
        return self.report("JSON", columns=columns, rows=rows)

    # What needs others' modules

    def parquet(self, path):
        import pyarrow.parquet

        with open(path, "rb") as raw:
            file = pyarrow.parquet.ParquetFile(raw)
            counts, names = {}, {}
            for group in range(file.metadata.num_row_groups):
                for at in range(min(file.metadata.num_columns, self.MOST_COLUMNS)):
                    chunk = file.metadata.row_group(group).column(at)
                    if chunk.statistics is not None and chunk.statistics.has_null_count:
                        counts[chunk.path_in_schema] = counts.get(chunk.path_in_schema, 0) + chunk.statistics.null_count
            names = [field.name for field in file.schema_arrow]
            columns = self.arrow_columns(file.schema_arrow, lambda at: counts.get(names[at], 0))
            return self.report("PARQUET", rows=file.metadata.num_rows, columns=columns)

    def feather(self, path):
        import pyarrow

        with pyarrow.memory_map(path) as file:
            reader = pyarrow.ipc.open_file(file)
            rows, nulls = 0, [0] * len(reader.schema)
            for at in range(reader.num_record_batches):
                batch = reader.get_batch(at)
                rows += batch.num_rows
                for column in range(min(len(nulls), self.MOST_COLUMNS)):
                    nulls[column] += batch.column(column).null_count
            return self.report("FEATHER", rows=rows, columns=self.arrow_columns(reader.schema, lambda at: nulls[at]))

    def npy(self, path, opener):
        with opener(path, "rb") as file:
            columns, rows = self.numpy_columns(self.numpy_header(file))
        return self.report("NPY", columns=columns, rows=rows)

    @staticmethod
    def numpy_header(file):
        """Of the format's own definition, numpy.lib.format: versions 1 to 3."""
        import ast

        start = file.read(8)
        if not start.startswith(b"\x93NUMPY"):
            raise ValueError("no NumPy header")
        size = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
        return ast.literal_eval(file.read(min(size, 1 << 20)).decode("utf-8" if start[6] == 3 else "latin-1").strip())

    def archive(self, path):
        import zipfile

        try:
            with zipfile.ZipFile(path) as file:
                names = [info.filename for info in file.infolist()]
                if "xl/workbook.xml" in names:
                    return self.guarded("EXCEL", self.excel, path)
                if not names or not all(name.endswith(".npy") for name in names):
                    return self.report("BINARY", problem="a zip archive of %d files" % len(names))
                members = []
                for name in names[: self.MOST_MEMBERS]:
                    with file.open(name) as one:
                        columns, rows = self.numpy_columns(self.numpy_header(one))
                    size = file.getinfo(name).file_size
                    members.append(self.report("NPY", name=self.clean(name[:-4], self.MOST_TEXT), columns=columns[:100], rows=rows, bytes=size))
                return self.report("NPZ", members=members)
        except Exception as problem:
            return self.report("BINARY", problem="can't be read: " + self.words(problem))

    def excel(self, path):
        import pandas

        return self.describe("EXCEL", pandas.read_excel(path))

    def pickled(self, path, opener):
        with opener(path, "rb") as file:
            try:
                import pandas

                value = pandas.read_pickle(file, compression=None)
            except ImportError as problem:
                if (getattr(problem, "name", "") or "").partition(".")[0] != "pandas":
                    raise
                import pickle

                value = pickle.load(file)
        return self.describe("PICKLE", value)

    def describe(self, format, value):
        """What an object of Python's holds."""
        kind = type(value)
        package = kind.__module__.partition(".")[0]
        if package == "pandas" and kind.__name__ == "DataFrame":
            columns = [self.series(name, value.iloc[:, at]) for at, name in enumerate(value.columns[: self.MOST_COLUMNS])]
            return self.report(format, rows=len(value), columns=columns)
        if package == "pandas" and kind.__name__ == "Series":
            return self.report(format, rows=len(value), columns=[self.series("0" if value.name is None else value.name, value)])
        if package == "numpy" and kind.__name__ == "ndarray":
            columns, rows = self.numpy_columns({"descr": value.dtype.descr if value.dtype.names else value.dtype.str, "shape": value.shape})
            return self.report(format, rows=rows, columns=columns)
        if isinstance(value, (dict, list, tuple)) and package == "builtins":
            columns, rows = self.container(value)
            return self.report(format, rows=rows, columns=columns)
        return self.report(format, columns=[self.column("(object)", "other", "%s.%s" % (kind.__module__, kind.__qualname__))])
