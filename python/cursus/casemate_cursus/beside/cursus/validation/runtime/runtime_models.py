"""Specs, configuration and results; see casemate.runtime."""

from casemate.runtime import DataCompatibilityResult, PipelineTestingSpec, RuntimeTestingConfiguration, ScriptExecutionSpec, ScriptTestResult

__all__ = ["DataCompatibilityResult", "PipelineTestingSpec", "RuntimeTestingConfiguration", "ScriptExecutionSpec", "ScriptTestResult"]
