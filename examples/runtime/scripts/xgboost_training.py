"""Learns, for each feature, on which side of its mean the label is 1; as small as training can be."""

import json
import os

import tables


def main(input_paths, output_paths, environ_vars, job_args):
    rows = tables.read(input_paths["data_input"])
    label = environ_vars.get("LABEL_FIELD") or list(rows[0])[-1]
    features = [name for name in rows[0] if name != label]
    model = {}
    for name in features:
        values = [float(row[name]) for row in rows]
        mean = sum(values) / len(values)
        above = [int(row[label]) for row, value in zip(rows, values) if value > mean]
        model[name] = {"mean": mean, "above": round(sum(above) / len(above)) if above else 0}
    predictions = []
    for row in rows:
        votes = [rule["above"] if float(row[name]) > rule["mean"] else 1 - rule["above"] for name, rule in model.items()]
        predictions.append({"label": row[label], "prediction": round(sum(votes) / len(votes))})
    for directory in output_paths.values():
        tables.write(directory, "predictions.csv", predictions)
        with open(os.path.join(directory, "model.json"), "w") as stream:
            json.dump(model, stream, indent=2)
