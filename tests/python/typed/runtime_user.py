"""What a user of casemate.runtime writes, as mypy --strict reads it."""

from __future__ import annotations

from casemate.runtime import PipelineTestingSpec, PipelineTestingSpecBuilder, RuntimeTester, RuntimeTestingConfiguration, ScriptExecutionSpec

config = RuntimeTestingConfiguration(workspace_dir="w", timeout_seconds=60, log_level="DEBUG")
RuntimeTestingConfiguration(workspace=1)  # mypy: Unexpected keyword argument "workspace" for "RuntimeTestingConfiguration"; did you mean "workspace_dir"?
spec = ScriptExecutionSpec("x", input_paths={"a": "b"}, job_args={"n": 1})
spec.environ_vars["A"] = 1  # mypy: Incompatible types in assignment (expression has type "int", target has type "str")
pipeline = PipelineTestingSpec("p", [spec], dag={"nodes": ["x"], "edges": []})

with RuntimeTester(config) as tester:
    result = tester.test_script("x")
    print(result.execution_time + 1, (result.error_message or "").upper(), result.outcome.code)
    result.error_message.upper()  # mypy: Item "None" of "str | None" has no attribute "upper"
    fits = tester.test_data_compatibility("a", "b", tester._generate_sample_data())
    print([issue.upper() for issue in fits.compatibility_issues], fits.explain())
    print(tester.test_pipeline_flow({"steps": {}})["errors"], tester.test_pipeline_flow_with_spec(pipeline))
    tester.test_script(3)  # mypy: Argument 1 to "test_script" of "RuntimeTester" has incompatible type "int"; expected "str"

builder = PipelineTestingSpecBuilder("w")
print(builder.get_script_main_params(spec)["job_args"], builder.validate_spec(spec)["valid"])
