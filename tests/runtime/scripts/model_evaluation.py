"""How good a model is on test.parquet: metrics.json."""
import json
import os

import pandas as pd
import xgboost
from sklearn.metrics import accuracy_score, roc_auc_score


def main(input_paths, output_paths, environ_vars, job_args):
    model = input_paths["model_output"]
    with open(os.path.join(model, "features.json")) as file:
        features = json.load(file)
    booster = xgboost.Booster(model_file=os.path.join(model, "model.json"))
    table = pd.read_parquet(os.path.join(input_paths["data_output"], "test.parquet"))
    scores = booster.predict(xgboost.DMatrix(table[features]))
    metrics = {"auc": float(roc_auc_score(table["label"], scores)), "accuracy": float(accuracy_score(table["label"], scores > 0.5)), "rows": len(table)}
    with open(output_paths["metrics"], "w") as file:
        json.dump(metrics, file)
