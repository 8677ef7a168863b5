"""A scikit-learn model of the same data, beside the booster: model.joblib."""
import os

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(input_paths, output_paths, environ_vars, job_args):
    table = pd.read_parquet(os.path.join(input_paths["data_output"], "train.parquet"))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(table.drop(columns=["id", "label"]), table["label"])
    joblib.dump(model, os.path.join(output_paths["sklearn_model"], "model.joblib"))
    print("steps:", list(model.named_steps))
