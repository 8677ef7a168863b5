"""What columns data has, and of which types, from whatever form it was read: see src/runtime/data_report.h.

Part of the text of a warm parent, as inspect.py, which comes after it. Its one name there is Schema.
"""


class Schema:
    """Columns as dicts: name, type, the type's own name where it was read, and how many values are missing."""

    MOST_COLUMNS = 10000
    MOST_TEXT = 200  # characters
    NULLS = frozenset(
        "|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null".split("|")
    )  # what pandas reads as missing
    DTYPES = {"int": "int64", "float": "float64", "bool": "bool", "str": "object", "datetime": "object", "null": "float64"}

    @classmethod
    def clean(cls, text, most=None):
        """A text that JSON can hold, whatever was in it."""
        return str(text)[: most or 4000].encode("utf-8", "replace").decode("utf-8")

    def column(self, name, type_, dtype="", nulls=0):
        return {"name": self.clean(name, self.MOST_TEXT), "type": type_, "dtype": self.clean(dtype, self.MOST_TEXT), "nulls": int(nulls)}

    # Types

    @staticmethod
    def both(a, b):
        """The type of a column that has values of two types."""
        if a == b or b in ("", "null"):
            return a
        if a in ("", "null"):
            return b
        return "float" if {a, b} == {"int", "float"} else "mixed"

    @staticmethod
    def type_of(value):
        """Of a value of Python's."""
        import datetime

        if value is None or (isinstance(value, float) and value != value):
            return "null"
        for type_, word in ((bool, "bool"), (int, "int"), (float, "float"), (str, "str"), ((bytes, bytearray), "bytes"), ((list, tuple, set), "list")):
            if isinstance(value, type_):
                return word
        return "datetime" if isinstance(value, (datetime.date, datetime.time)) else "other"

    @classmethod
    def type_of_text(cls, cell):
        if cell in cls.NULLS:
            return "null"
        if cell in ("True", "False", "true", "false", "TRUE", "FALSE"):
            return "bool"
        try:
            int(cell)
            return "int" if "_" not in cell else "str"
        except ValueError:
            pass
        try:
            float(cell)
            return "float" if "_" not in cell else "str"
        except ValueError:
            pass
        if len(cell) >= 10 and cell[4] == "-" and cell[7] == "-" and cell[:4].isdigit() and cell[5:7].isdigit() and cell[8:10].isdigit():
            return "datetime" if len(cell) == 10 or (len(cell) <= 35 and cell[10] in " T") else "str"
        return "str"

    def dtype(self, type_):
        return self.DTYPES.get(type_, "object")

    # Of text

    @staticmethod
    def unique(names):
        """Names of columns as pandas makes them."""
        seen, unique = {}, []
        for at, name in enumerate(names):
            name = name or "Unnamed: %d" % at
            count = seen.get(name, 0)
            seen[name] = count + 1
            unique.append("%s.%d" % (name, count) if count else name)
        return unique

    class Types:
        """What the cells of each column are, row by row."""

        def __init__(self, look, names):
            self.look = look
            self.names = names[: look.MOST_COLUMNS]
            self.types = ["null"] * len(self.names)
            self.nulls = [0] * len(self.names)
            self.named = bool(names) and names[0] != "0"

        def add(self, types):
            for at, type_ in enumerate(types[: len(self.names)]):
                if type_ == "null":
                    self.nulls[at] += 1
                elif self.types[at] != type_:
                    self.types[at] = self.look.both(self.types[at], type_)
            for at in range(len(types), len(self.names)):
                self.nulls[at] += 1

        def columns(self):
            def one(name, type_, nulls):
                type_ = "str" if type_ == "mixed" else type_  # all is text, and that is what pandas makes of it
                dtype = "float64" if type_ == "int" and nulls else "object" if type_ == "bool" and nulls else self.look.DTYPES[type_]
                return self.look.column(name, type_, dtype, nulls)

            return [one(*column) for column in zip(self.names, self.types, self.nulls)]

    # Of Python's values

    def records(self, records):
        """Columns and number of rows of dicts; None where one is none."""
        names, types, there, rows = {}, [], [], 0
        for record in records:
            if not isinstance(record, dict):
                return None
            rows += 1
            for name, value in record.items():
                at = names.setdefault(name, len(types))
                if at == len(types):
                    types.append("null")
                    there.append(0)
                type_ = self.type_of(value)
                if type_ != "null":
                    there[at] += 1
                    types[at] = self.both(types[at], type_)
        shown = list(names)[: self.MOST_COLUMNS]
        return [self.column(name, types[at], self.dtype(types[at]), rows - there[at]) for at, name in enumerate(shown)], rows

    def container(self, value):
        """Columns and rows of a list or dict, in the forms in which tables are written down; rows None: it is no table."""
        if isinstance(value, dict) and isinstance(value.get("data"), list) and isinstance(value.get("columns"), list):
            names = [str(name) for name in value["columns"]]
            value = [dict(zip(names, row)) if isinstance(row, list) else None for row in value["data"]]
        elif isinstance(value, dict) and isinstance(value.get("data"), list) and isinstance(value.get("schema"), dict):
            value = value["data"]
        if isinstance(value, (list, tuple)):
            return self.records(value) or ([], len(value))
        if not isinstance(value, dict):
            return [], None
        parts = list(value.values())
        if parts and all(isinstance(part, list) for part in parts) and len({len(part) for part in parts}) == 1:
            return [self.values(name, part) for name, part in list(value.items())[: self.MOST_COLUMNS]], len(parts[0])
        if parts and all(isinstance(part, dict) for part in parts) and len({tuple(part) for part in parts}) == 1 and parts[0]:
            return [self.values(name, list(part.values())) for name, part in list(value.items())[: self.MOST_COLUMNS]], len(parts[0])
        return [self.values(name, [part]) for name, part in list(value.items())[: self.MOST_COLUMNS]], None

    def values(self, name, values):
        type_, nulls = "null", 0
        for value in values:
            one = self.type_of(value)
            nulls += one == "null"
            type_ = self.both(type_, one)
        return self.column(name, type_, self.dtype(type_), nulls)

    # Of others' modules

    def arrow_type(self, type_):
        import pyarrow.types as kinds

        if kinds.is_dictionary(type_):
            return self.arrow_type(type_.value_type)
        for word, checks in (
            ("int", (kinds.is_integer,)),
            ("float", (kinds.is_floating, kinds.is_decimal)),
            ("str", (kinds.is_string, kinds.is_large_string)),
            ("bool", (kinds.is_boolean,)),
            ("datetime", (kinds.is_timestamp, kinds.is_date, kinds.is_time)),
            ("bytes", (kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary)),
            ("list", (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list)),
            ("null", (kinds.is_null,)),
        ):
            if any(check(type_) for check in checks):
                return word
        return "other"

    def arrow_columns(self, schema, nulls):
        fields = list(schema)[: self.MOST_COLUMNS]
        return [self.column(field.name, self.arrow_type(field.type), field.type, nulls(at)) for at, field in enumerate(fields)]

    def numpy_columns(self, header):
        kinds = {"i": "int", "u": "int", "f": "float", "b": "bool", "U": "str", "S": "bytes", "M": "datetime"}

        def one(name, dtype):
            return self.column(name, kinds.get(dtype.lstrip("<>|=")[:1], "other"), dtype.lstrip("<>|="))

        descr, shape = header["descr"], header["shape"]
        if isinstance(descr, list):
            columns = [one(field[0], field[1] if isinstance(field[1], str) else "other") for field in descr[: self.MOST_COLUMNS]]
        else:
            columns = [one(at, descr) for at in range(min(shape[1] if len(shape) == 2 else 1, self.MOST_COLUMNS))]
        return columns, shape[0] if shape else None

    def series(self, name, series):
        dtype, nulls = str(series.dtype), int(series.isna().sum())
        plain = dtype.lower()
        if plain == "category":
            plain = str(series.cat.categories.dtype).lower()
        for word, starts in (("int", ("int", "uint")), ("float", ("float", "double")), ("datetime", ("date", "timestamp")), ("bool", "bool"), ("str", "str")):
            if plain.startswith(starts):
                return self.column(name, word, dtype, nulls)
        if plain != "object":
            return self.column(name, "other", dtype, nulls)
        return dict(self.values(name, list(series.iloc[:10000])), dtype=dtype, nulls=nulls)
