"""Needs a column `label`, and numbers in `amount`."""
import os

import pandas as pd


def main(input_paths, output_paths, environ_vars, job_args):
    table = pd.read_csv(os.path.join(input_paths["data_input"], "data.csv"))
    means = table.groupby("label")["amount"].mean()
    means.to_csv(os.path.join(output_paths["data_output"], "means.csv"))
