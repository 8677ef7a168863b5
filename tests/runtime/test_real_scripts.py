"""Scripts as people have them: pandas to prepare, xgboost and scikit-learn to train, an evaluation; and data that does not fit."""

import json
import random
import re

import pytest
from conftest import HERE

SCRIPTS = ["--scripts-dir", HERE / "scripts"]


def raw_table(rows=400):
    draw = random.Random(11)
    lines = ["id,amount,count,kind,bought"]
    for number in range(rows):
        amount, count, kind = draw.uniform(1, 100), draw.randint(1, 9), draw.choice("abc")
        lines.append("%d,%s,%d,%s,%d" % (number, "" if number % 50 == 0 else "%.2f" % amount, count, kind, amount / count > 12))
    return "\n".join(lines) + "\n"


def pipeline():
    return {
        "steps": {
            "tabular_preprocessing": {
                "inputs": {"data_input": "raw.csv"},
                "outputs": {"data_output": "out/prepared"},
                "environ_vars": {"LABEL_FIELD": "bought"},
                "job_args": {"test_fraction": 0.25, "seed": 3},
            },
            "xgboost_training": {
                "inputs": {"data_output": "out/prepared"},
                "outputs": {"model_output": "out/model"},
                "job_args": {"max_depth": 3, "rounds": 12},
            },
            "sklearn_training": {"inputs": {"data_output": "out/prepared"}, "outputs": {"sklearn_model": "out/sklearn"}},
            "model_evaluation": {
                "inputs": {"data_output": "out/prepared", "model_output": "out/model"},
                "outputs": {"metrics": "out/metrics.json"},
            },
        }
    }


@pytest.fixture(scope="module")
def trained(shared_project):
    """The pipeline, run."""
    shared_project.file("raw.csv", raw_table())
    shared_project.file("pipeline.json", pipeline())
    return shared_project, shared_project.json("test-pipeline", "pipeline.json", *SCRIPTS, "--junit-xml", "junit.xml")


def test_a_training_pipeline_runs(trained):
    project, result = trained
    assert result["errors"] == []
    assert result["pipeline_success"] is True
    steps = result["script_results"]
    assert all(step["success"] and step["has_main_function"] for step in steps.values())
    assert steps["tabular_preprocessing"]["standard_output"] == "294 rows to train with, 98 to test with\n"
    assert steps["sklearn_training"]["standard_output"] == "steps: ['standardscaler', 'logisticregression']\n"
    assert steps["tabular_preprocessing"]["outputs"] == ["out/prepared/test.parquet", "out/prepared/train.parquet"]
    assert steps["sklearn_training"]["outputs"] == ["out/sklearn/model.joblib"]
    metrics = json.loads((project.directory / "out" / "metrics.json").read_text())
    assert metrics["rows"] == 98 and metrics["auc"] > 0.9, metrics
    assert json.loads((project.directory / "out" / "model" / "features.json").read_text())[-1] == "kind_c"
    assert not list(project.directory.rglob(".casemate-output-*"))


def test_what_flows_in_it_is_looked_at(trained):
    flows = trained[1]["data_flow_results"]
    prepared = {"tabular_preprocessing->" + name for name in ("xgboost_training", "sklearn_training", "model_evaluation")}
    assert set(flows) == prepared | {"xgboost_training->model_evaluation"}
    assert all(flow["compatible"] and flow["compatibility_issues"] == [] for flow in flows.values())
    for name in prepared:
        assert (flows[name]["data_format_a"], flows[name]["data_format_b"]) == ("PARQUET", "PARQUET")
    assert "JSON" in flows["xgboost_training->model_evaluation"]["data_format_a"]


def test_it_is_a_junit_report_too(trained):
    report = (trained[0].directory / "junit.xml").read_text()
    assert re.search(r'tests="[4-9]"', report) and 'failures="0"' in report, report


def test_a_failed_step_skips_what_depends_on_it_by_name(project):
    project.file("raw.csv", raw_table(60))
    broken = pipeline()
    broken["steps"]["xgboost_training"]["job_args"] = {"max_depth": 3}
    project.file("pipeline.json", broken)
    result = project.json("test-pipeline", "pipeline.json", *SCRIPTS, status=1)
    steps = result["script_results"]
    assert steps["xgboost_training"]["error_message"] == "AttributeError: 'Namespace' object has no attribute 'rounds'"
    assert steps["model_evaluation"]["error_message"] == "Skipped: step 'xgboost_training' failed"
    assert steps["sklearn_training"]["success"], "it does not depend on that one"
    assert "Step model_evaluation was skipped: step 'xgboost_training' failed" in result["errors"]
    assert not (project.directory / "out" / "metrics.json").exists()


SAMPLE = {"label": [0, 1, 0, 1], "amount": [1.5, 2.5, 3.5, 4.5]}


def test_a_missing_column_is_named(project):
    project.file("sample.json", SAMPLE)
    done = project.run("test-compatibility", "without_label", "sums_by_label", "--sample", "sample.json", "--explain", *SCRIPTS, status=1)
    assert "Script B failed with script A output: KeyError: 'label'" in done.stdout
    assert "column `label` is missing" in done.stdout
    # Both schemas are shown.
    assert "\n  label   -                int (int64)\n  amount  float (float64)  float (float64)\n" in done.stdout, done.stdout


def test_a_changed_type_is_named(project):
    project.file("sample.json", SAMPLE)
    result = project.json("test-compatibility", "amount_as_text", "sums_by_label", "--sample", "sample.json", *SCRIPTS, status=1)
    assert result["compatible"] is False
    assert "`amount` is str, was float" in result["compatibility_issues"], result["compatibility_issues"]
    assert (result["data_format_a"], result["data_format_b"]) == ("CSV", "CSV")


def test_what_fits_is_compatible(project):
    project.file("sample.json", SAMPLE)
    result = project.json("test-compatibility", "sums_by_label", "sums_by_label", "--sample", "sample.json", *SCRIPTS)
    # It writes means.csv where it reads data.csv.
    assert result["compatible"] is False and "FileNotFoundError" in result["compatibility_issues"][0]
    project.script("hands_on", (HERE / "scripts" / "without_label.py").read_text().replace('.drop(columns=["label"])', ""))
    done = project.run("test-compatibility", "hands_on", "sums_by_label", "--sample", "sample.json", *SCRIPTS, status=0)
    assert "COMPATIBLE" in done.stdout
