"""Scales every feature to 0..1; rows without a label are left out."""

import os

import tables


def main(input_paths, output_paths, environ_vars, job_args):
    label = os.environ["LABEL_FIELD"]
    rows = [row for row in tables.read(input_paths["data_input"]) if row[label] != ""]
    features = [name for name in rows[0] if name != label]
    for name in features:
        values = [float(row[name]) for row in rows]
        least, most = min(values), max(values)
        for row, value in zip(rows, values):
            row[name] = round((value - least) / (most - least), 6) if most > least else 0.0
    tables.write(output_paths["data_output"], "processed.csv", rows)
    print("job_type", job_args.job_type, "kept", len(rows), "rows")
