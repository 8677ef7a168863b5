"""Cleans a table and splits it: raw.csv -> train.parquet, test.parquet."""
import os

import pandas as pd


def main(input_paths, output_paths, environ_vars, job_args):
    label = os.environ["LABEL_FIELD"]
    table = pd.read_csv(input_paths["data_input"])
    table = table.dropna().drop_duplicates("id")
    table["ratio"] = table["amount"] / table["count"]
    table = pd.get_dummies(table, columns=["kind"], dtype="int8").rename(columns={label: "label"})
    test = table.sample(frac=job_args.test_fraction, random_state=job_args.seed)
    train = table.drop(test.index)
    for name, part in (("train", train), ("test", test)):
        part.to_parquet(os.path.join(output_paths["data_output"], name + ".parquet"), index=False)
    print(len(train), "rows to train with,", len(test), "to test with")
