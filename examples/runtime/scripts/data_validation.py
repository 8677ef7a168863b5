"""Refuses tables with empty fields."""

import tables


def main(input_paths, output_paths, environ_vars, job_args):
    rows = tables.read(input_paths["data_input"])
    for number, row in enumerate(rows, 2):
        empty = [name for name, value in row.items() if value == ""]
        if empty:
            raise ValueError(f"line {number}: {', '.join(empty)} is empty")
    tables.write(output_paths["data_output"], "validated.csv", rows)
