"""Trains a booster on train.parquet: model.json, and the names of its features."""
import json
import os

import pandas as pd
import xgboost


def main(input_paths, output_paths, environ_vars, job_args):
    table = pd.read_parquet(os.path.join(input_paths["data_output"], "train.parquet"))
    features = [name for name in table.columns if name not in ("id", "label")]
    settings = {"objective": "binary:logistic", "max_depth": job_args.max_depth, "seed": 7, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(table[features], label=table["label"]), num_boost_round=job_args.rounds)
    directory = output_paths["model_output"]
    booster.save_model(os.path.join(directory, "model.json"))
    with open(os.path.join(directory, "features.json"), "w") as file:
        json.dump(features, file)
