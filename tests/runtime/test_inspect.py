"""src/runtime/python/inspect.py (and schema.py) as it runs in a cell, but outside one: by this interpreter without any packages, and by one with pandas.

The latter is $CASEMATE_RUNTIME_PYTHON, which has tests/runtime/requirements.txt; without it those tests are skipped.
"""
import bz2
import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = [os.path.join(HERE, "..", "..", "src", "runtime", "python", name) for name in ("schema.py", "inspect.py")]
RUN = """
import json, sys
for text in sys.argv[1:]:
    exec(compile(open(text, encoding="utf-8").read(), text, "exec"))
class Stream:
    add, flush = sys.stdout.write, sys.stdout.flush
inspect(json.load(sys.stdin), Stream)
"""
WITH_PACKAGES = os.environ.get("CASEMATE_RUNTIME_PYTHON")
needs_pandas = pytest.mark.skipif(not WITH_PACKAGES, reason="CASEMATE_RUNTIME_PYTHON, an interpreter with pandas, is not set")
both = pytest.mark.parametrize("python", [sys.executable, pytest.param(WITH_PACKAGES, marks=needs_pandas)], ids=["bare", "pandas"])


def looks(python, paths):
    requests = [{"name": "data", "path": str(path)} for path in paths]
    bare = ["-S"] if python == sys.executable else []
    done = subprocess.run([python, "-I"] + bare + ["-c", RUN] + TEXTS, input=json.dumps(requests), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(requests)
    return [json.loads(line)["data"] for line in lines]


def look(python, path):
    return looks(python, [path])[0]


def columns(data):
    return {column["name"]: (column["type"], column["nulls"]) for column in data["columns"]}


def spill(path, content):
    if isinstance(content, str):
        content = content.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


TABLE = "id,amount,name,good,day,gone,part\n" + "".join("%d,%s,n%d,True,2024-01-0%d,,%s\n" % (i, i / 2, i, i, i if i > 1 else "NA") for i in range(1, 5))
TYPES = {"id": ("int", 0), "amount": ("float", 0), "name": ("str", 0), "good": ("bool", 0), "day": ("datetime", 0), "gone": ("null", 4), "part": ("int", 1)}


@both
def test_a_csv_is_known_by_its_content(python, tmp_path):
    data = look(python, spill(tmp_path / "table.bin", TABLE))
    assert (data["format"], data["rows"], data["files"], data["encoding"], data["problem"]) == ("CSV", 4, 1, "utf-8", "")
    assert data["bytes"] == len(TABLE) and data["compression"] == ""
    assert columns(data) == TYPES
    assert data["name"] == "data" and data["path"] == str(tmp_path / "table.bin")


def bounded_look(path, megabytes):
    """look() by a process that gets no more memory than that."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (%d, %d))" % (megabytes << 20, megabytes << 20)
    program = [sys.executable, "-I", "-S", "-c", limit + RUN] + TEXTS
    done = subprocess.run(program, input=json.dumps([{"name": "data", "path": str(path)}]), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)["data"]


def test_a_table_of_one_endless_line_needs_little_memory(tmp_path):
    with open(tmp_path / "t.csv", "wb") as file:
        for _ in range(300):
            file.write(b"," * (1 << 20))
    data = bounded_look(tmp_path / "t.csv", 256)
    assert (data["format"], data["rows"], len(data["columns"]), data["bytes"]) == ("CSV", None, 10000, 300 << 20)
    assert data["problem"] == "its first row is longer than 1048576 characters: only the columns at its beginning were looked at"


@pytest.mark.parametrize("part, count", [(",", 40 << 20), ("x", 40 << 20), ("x\n", 40 << 20)], ids=["fields", "a-field", "lines"])
def test_a_row_of_a_table_that_is_too_long_is_where_the_look_ends(tmp_path, part, count):
    quote = '"' if "\n" in part else ""
    data = bounded_look(spill(tmp_path / "t.csv", "a,b\n1,2\n" + quote + part * count + quote + "\n3,4\n"), 256)
    assert (data["format"], data["rows"]) == ("CSV", None)
    assert "row 2 is too long: neither it nor what follows was looked at" == data["problem"] or "field larger than field limit" in data["problem"]


def test_long_lines_behind_those_that_are_looked_at_are_counted_in_pieces(tmp_path):
    rows = "1,2\n" * 1000100
    data = bounded_look(spill(tmp_path / "t.csv", "a,b\n" + rows + "x" * (300 << 20) + ",\n\n1,2"), 256)
    assert (data["format"], data["rows"], data["problem"]) == ("CSV", 1000102, "")


def test_a_long_line_of_json_lines_needs_little_memory(tmp_path):
    data = bounded_look(spill(tmp_path / "t", '{"a": 1}\n{"a": 2}\n{"a": "' + "x" * (300 << 20) + '"}\n'), 256)
    assert (data["format"], data["problem"]) == ("JSONL", "can't be read: OverflowError: a line is longer than 16777216 characters")


@pytest.mark.parametrize("delimiter, format", [("\t", "TSV"), (";", "CSV"), ("|", "CSV")])
def test_delimiters_are_found(tmp_path, delimiter, format):
    data = look(sys.executable, spill(tmp_path / "t", TABLE.replace(",", delimiter)))
    assert (data["format"], data["rows"], columns(data)) == (format, 4, TYPES)


@pytest.mark.parametrize("compress, word", [(gzip.compress, "gzip"), (bz2.compress, "bzip2")])
def test_compressed_tables_are_looked_into(tmp_path, compress, word):
    data = look(sys.executable, spill(tmp_path / "t", compress(TABLE.encode())))
    assert (data["format"], data["compression"], data["rows"], columns(data)) == ("CSV", word, 4, TYPES)


@pytest.mark.parametrize("codec, name", [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("latin-1", "latin-1")])
def test_encodings(tmp_path, codec, name):
    data = look(sys.executable, spill(tmp_path / "t", "größe,b\nä,1\nö,2\n".encode(codec)))
    assert (data["format"], data["encoding"], data["rows"]) == ("CSV", name, 2)
    assert columns(data) == {"größe": ("str", 0), "b": ("int", 0)}


def test_a_file_that_begins_as_utf_8_and_ends_as_latin_1(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t", b"a,b\n" + b"1,x\n" * 100000 + "2,é\n".encode("latin-1")))
    assert (data["format"], data["encoding"], data["rows"]) == ("CSV", "latin-1", 100001)


def test_quotes_newlines_and_blank_lines_in_csv(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t", 'a,b\n"x\ny","p,""q"""\n\n1,2\n'))
    assert (data["rows"], columns(data)) == (2, {"a": ("str", 0), "b": ("str", 0)})


def test_names_of_columns_are_made_unique(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t", ",a,a\n1,2,3\n4,5,6\n"))
    assert [column["name"] for column in data["columns"]] == ["Unnamed: 0", "a", "a.1"]


def test_a_csv_without_names(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t", "1,0.5\n0,1.5\n"))
    assert (data["rows"], columns(data)) == (2, {"0": ("int", 0), "1": ("float", 0)})


def test_one_column_is_a_csv_by_its_name_only(tmp_path):
    assert look(sys.executable, spill(tmp_path / "a.csv", "label\n1\n2\n"))["format"] == "CSV"
    assert look(sys.executable, spill(tmp_path / "a.txt", "label\n1\n2\n"))["format"] == "TEXT"


def test_rows_behind_those_that_are_looked_at_are_counted(tmp_path):
    # More than MOST_CELLS cells, and a row of two lines among those that are only counted.
    lines = 'a,b\n' + "1,2\n" * 1100000 + '"x\ny",2\n' + "\n" + "1,2\n"
    data = look(sys.executable, spill(tmp_path / "t", lines))
    assert (data["rows"], columns(data)) == (1100002, {"a": ("int", 0), "b": ("int", 0)})


@pytest.mark.parametrize(
    "text, rows, types",
    [
        ('[{"a": 1, "b": "x"}, {"a": null, "b": "y"}]', 2, {"a": ("int", 1), "b": ("str", 0)}),
        ('{"a": [1, 2.5], "b": [true, false]}', 2, {"a": ("float", 0), "b": ("bool", 0)}),
        ('{"a": {"0": 1, "1": 2}}', 2, {"a": ("int", 0)}),
        ('{"columns": ["a"], "index": [0], "data": [["x"]]}', 1, {"a": ("str", 0)}),
        ('{"accuracy": 0.9, "classes": ["a"]}', None, {"accuracy": ("float", 0), "classes": ("list", 0)}),
        ("[1, 2, 3]", 3, {}),
        ('[{"a": 1}, {"a": "x"}, {"c": NaN}]', 3, {"a": ("mixed", 1), "c": ("null", 3)}),
        ("{}", None, {}),
    ],
)
def test_json_in_the_forms_of_tables(tmp_path, text, rows, types):
    data = look(sys.executable, spill(tmp_path / "t", text))
    assert (data["format"], data["rows"], data["problem"], columns(data)) == ("JSON", rows, "", types)


def test_json_lines(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t.json", '{"a": 1}\n\n{"a": 2, "b": "x"}\n'))
    assert (data["format"], data["rows"], columns(data)) == ("JSONL", 2, {"a": ("int", 0), "b": ("str", 1)})
    broken = look(sys.executable, spill(tmp_path / "broken", '{"a": 1}\n{"a": 2}\n{"a": \n'))
    assert broken["format"] == "JSONL" and "can't be read" in broken["problem"]


def test_json_that_is_none(tmp_path):
    assert look(sys.executable, spill(tmp_path / "deep.json", "[" * 200000))["problem"] == "is nested too deep"
    broken = look(sys.executable, spill(tmp_path / "t.json", '{"a": '))
    assert broken["format"] == "JSON" and "Expecting value" in broken["problem"]
    assert look(sys.executable, spill(tmp_path / "t.txt", "[section]\nkey = 1\n"))["format"] == "TEXT"


@pytest.mark.parametrize(
    "content, format",
    [(b"", "EMPTY"), (b"Hello, world.\nThis is prose\n", "TEXT"), (b"\x7fELF\2\1\1\0", "BINARY"), (bytes(range(256)) * 9, "BINARY")],
)
def test_what_is_no_table(tmp_path, content, format):
    data = look(sys.executable, spill(tmp_path / "t", content))
    assert (data["format"], data["columns"], data["rows"], data["problem"]) == (format, [], None, "")


def test_what_is_missing_or_no_file(tmp_path):
    assert look(sys.executable, tmp_path / "nothing")["format"] == "MISSING"
    os.mkfifo(tmp_path / "fifo")
    assert look(sys.executable, tmp_path / "fifo")["problem"] == "is neither a file nor a directory"
    os.symlink("nowhere", tmp_path / "link")
    assert look(sys.executable, tmp_path / "link")["format"] == "MISSING"
    (tmp_path / "empty").mkdir()
    assert look(sys.executable, tmp_path / "empty")["format"] == "EMPTY"


def test_archives(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("model.json"))
    data = look(sys.executable, spill(tmp_path / "model.tar.gz", packed.getvalue()))
    assert (data["format"], data["compression"], data["bytes"]) == ("TAR", "gzip", len(packed.getvalue()))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert look(sys.executable, tmp_path / "z.zip")["problem"] == "a zip archive of 1 files"
    assert look(sys.executable, spill(tmp_path / "cut.gz", gzip.compress(TABLE.encode())[:20]))["problem"].startswith("can't be read: EOFError")


def test_a_directory_of_parts_is_one_table(tmp_path):
    for at in range(3):
        spill(tmp_path / "d" / ("part-%d.csv" % at), TABLE)
    spill(tmp_path / "d" / "_SUCCESS", "")
    data = look(sys.executable, tmp_path / "d")
    assert (data["format"], data["rows"], data["files"], data["bytes"]) == ("CSV", 12, 3, 3 * len(TABLE))
    assert columns(data)["part"] == ("int", 3)
    assert data["path"] == str(tmp_path / "d") and data["members"] == []


def test_a_directory_of_one_file_is_that_file(tmp_path):
    spill(tmp_path / "d" / "output.csv", TABLE)
    data = look(sys.executable, tmp_path / "d")
    assert (data["format"], data["rows"], data["files"], columns(data)) == ("CSV", 4, 1, TYPES)


def test_a_directory_of_different_files_has_members(tmp_path):
    spill(tmp_path / "d" / "a.csv", TABLE)
    spill(tmp_path / "d" / "sub" / "m.json", '{"a": 1}')
    data = look(sys.executable, tmp_path / "d")
    assert (data["format"], data["files"], data["rows"]) == ("DIRECTORY", 2, None)
    assert [(member["name"], member["format"]) for member in data["members"]] == [("a.csv", "CSV"), ("sub/m.json", "JSON")]


def test_members_are_bounded(tmp_path):
    for at in range(1100):
        spill(tmp_path / "d" / ("%04d" % at), "{\"a%d\": 1}" % at)
    data = look(sys.executable, tmp_path / "d")
    assert (len(data["members"]), data["files"]) == (100, 1100)
    assert data["problem"] == "only the first 1000 of 1100 files were looked at"


def test_columns_and_names_are_bounded(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t", ",".join("c%d" % at for at in range(12000)) + "\n" + ",".join(["1"] * 12000) + "\n"))
    assert (len(data["columns"]), data["rows"], data["problem"]) == (10000, 1, "only the first 10000 of its columns were looked at")
    long = look(sys.executable, spill(tmp_path / "long.csv", "a" * 50000 + ",b\n1,2\n"))
    assert len(long["columns"][0]["name"]) == 200


def test_hostile_names_are_json(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\n.csv"
    with open(path, "wb") as file:
        file.write("a\x1b[2J,b\n1,2\n2,3\n".encode())
    data = look(sys.executable, tmp_path)
    assert data["format"] in ("CSV", "BINARY") and json.dumps(data)
    assert look(sys.executable, os.fsdecode(path))["path"].isprintable() is False


@both
def test_pickles(python, tmp_path):
    data = look(python, spill(tmp_path / "t", pickle.dumps([{"a": 1, "b": None}, {"a": 2.5, "b": "x"}])))
    assert (data["format"], data["rows"], columns(data)) == ("PICKLE", 2, {"a": ("float", 0), "b": ("str", 1)})
    object_ = look(python, spill(tmp_path / "o", pickle.dumps(io.BytesIO())))
    assert [(c["type"], c["dtype"]) for c in object_["columns"]] == [("other", "_io.BytesIO")]
    missing = look(python, spill(tmp_path / "m", b"\x80\x04cnowhere_at_all\nModel\n."))
    assert missing["format"] == "PICKLE" and missing["problem"] == "nowhere_at_all is not there"
    ends = look(python, spill(tmp_path / "e", b"\x80\x04cbuiltins\nexit\n(K\x03tR."))
    assert ends["format"] == "PICKLE" and "can't be read: " in ends["problem"]
    assert "can't be read" in look(python, spill(tmp_path / "cut", b"\x80\x04"))["problem"]


def npy(descr, shape):
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def test_numpy_files_without_numpy(tmp_path):
    data = look(sys.executable, spill(tmp_path / "a", npy("<f8", (7, 3))))
    assert (data["format"], data["rows"], columns(data)) == ("NPY", 7, {"0": ("float", 0), "1": ("float", 0), "2": ("float", 0)})
    named = look(sys.executable, spill(tmp_path / "b", npy([("x", "<i8"), ("y", "<U3")], (2,))))
    assert columns(named) == {"x": ("int", 0), "y": ("str", 0)}
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("first.npy", npy("<i4", (5,)))
    packed = look(sys.executable, tmp_path / "z")
    assert (packed["format"], [(m["name"], m["rows"]) for m in packed["members"]]) == ("NPZ", [("first", 5)])
    assert "can't be read" in look(sys.executable, spill(tmp_path / "bad", b"\x93NUMPY\x01\x00\x02\x00x("))["problem"]


def test_parquet_without_pyarrow_is_known_by_its_magic(tmp_path):
    data = look(sys.executable, spill(tmp_path / "t", b"PAR1....PAR1"))
    assert (data["format"], data["problem"]) == ("PARQUET", "pyarrow is not there")
    assert look(sys.executable, spill(tmp_path / "f", b"ARROW1\0\0"))["problem"] == "pyarrow is not there"


MAKE = """
import sys, os, numpy, pandas
from sklearn.linear_model import LogisticRegression
os.chdir(sys.argv[1])
frame = pandas.DataFrame({"i": [1, 2, 3], "f": [0.5, None, 1.5], "s": ["a", None, "c"], "b": [True, False, True],
                          "d": pandas.to_datetime(["2024-01-01"] * 3), "c": pandas.Categorical(["x", "y", "x"]), "l": [[1], [2], [3]]})
frame.to_parquet("parquet"); frame.to_feather("feather"); frame.to_pickle("pickle")
frame["s"].to_pickle("series"); numpy.save("array.npy", frame[["i", "f"]].to_numpy()); frame["i"].to_numpy().dump("array")
frame.to_pickle("packed.gz"); frame.drop(columns="l").to_csv("csv", index=False); frame.to_json("lines", orient="records", lines=True)
frame.drop(columns="l").to_json("records", orient="records"); frame.drop(columns="l").to_json("split", orient="split")
frame.drop(columns="l").to_json("columns")
pandas.to_pickle(LogisticRegression(), "model")
frame.iloc[:0].to_parquet("none")
"""
FRAME = {"i": ("int", 0), "f": ("float", 1), "s": ("str", 1), "b": ("bool", 0), "d": ("datetime", 0), "c": ("str", 0), "l": ("list", 0)}


@needs_pandas
def test_what_pandas_writes(tmp_path):
    subprocess.run([WITH_PACKAGES, "-c", MAKE, str(tmp_path)], check=True, timeout=300)
    names = sorted(os.listdir(tmp_path))
    found = dict(zip(names, looks(WITH_PACKAGES, [tmp_path / name for name in names])))
    assert {name: data["problem"] for name, data in found.items() if data["problem"]} == {}
    for name, format in [("parquet", "PARQUET"), ("feather", "FEATHER"), ("pickle", "PICKLE"), ("packed.gz", "PICKLE")]:
        data = found[name]
        assert (data["format"], data["rows"], columns(data)) == (format, 3, FRAME), name
    assert found["packed.gz"]["compression"] == "gzip"
    assert (found["series"]["rows"], columns(found["series"])) == (3, {"s": ("str", 1)})
    assert (found["array.npy"]["format"], found["array.npy"]["rows"]) == ("NPY", 3)
    assert (found["array"]["format"], found["array"]["rows"], columns(found["array"])) == ("PICKLE", 3, {"0": ("int", 0)})
    assert found["model"]["columns"][0]["dtype"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert (found["none"]["rows"], found["none"]["format"]) == (0, "PARQUET")
    assert (found["lines"]["format"], found["lines"]["rows"]) == ("JSONL", 3)
    assert columns(found["csv"]) == {name: type_ for name, type_ in FRAME.items() if name != "l"}
    for name in ("records", "split", "columns"):
        assert (found[name]["format"], found[name]["rows"], list(columns(found[name]))) == ("JSON", 3, list("ifsbdc")), name


@needs_pandas
def test_damaged_files_are_a_problem_with_a_format(tmp_path):
    for name, content, format in [("p", b"PAR1" + b"x" * 100 + b"PAR1", "PARQUET"), ("f", b"ARROW1\0\0" + b"x" * 100, "FEATHER")]:
        data = look(WITH_PACKAGES, spill(tmp_path / name, content))
        assert data["format"] == format and data["problem"].startswith("can't be read: ")
        assert "\n" not in data["problem"]
