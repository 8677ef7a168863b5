"""What the scripts of this example share: tables as CSV, without any package."""

import csv
import os


def files(path):
    """The CSV files at `path`, a file or a directory."""
    if os.path.isfile(path):
        return [path]
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".csv")]


def read(path):
    """All rows of the CSV files at `path`, as dicts."""
    rows = []
    for file in files(path):
        with open(file, newline="", encoding="utf-8") as stream:
            rows.extend(csv.DictReader(stream))
    if not rows:
        raise ValueError("no rows in " + path)
    return rows


def write(directory, name, rows):
    """Rows of the same columns as `directory`/`name`."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, name), "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
