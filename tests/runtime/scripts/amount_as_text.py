"""Hands its table on, with numbers as money."""
import os

import pandas as pd


def main(input_paths, output_paths, environ_vars, job_args):
    table = pd.read_csv(os.path.join(input_paths["data_input"], "data.csv"))
    table["amount"] = table["amount"].map("{:.2f} EUR".format)
    table.to_csv(os.path.join(output_paths["data_output"], "data.csv"), index=False)
