"""PipelineTestingSpecBuilder; see casemate.runtime."""

from casemate.runtime import PipelineTestingSpec, PipelineTestingSpecBuilder, ScriptExecutionSpec

__all__ = ["PipelineTestingSpec", "PipelineTestingSpecBuilder", "ScriptExecutionSpec"]
