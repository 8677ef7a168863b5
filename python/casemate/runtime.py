"""The runtime tester: tests the scripts of a pipeline by running them, each in a cell of its own.

    from casemate.runtime import RuntimeTester

    tester = RuntimeTester("./test_workspace")
    print(tester.test_script("tabular_preprocessing"))

docs/guide/runtime.md is its guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Type, Union

from . import _casemate
from ._models import (
    DataCompatibilityResult,
    PipelineTestingSpec,
    RuntimeTestingConfiguration,
    ScriptExecutionSpec,
    ScriptTestResult,
    _namespace_as_dict,
    _plain_dag,
    _plain_of,
)

__all__ = [
    "DataCompatibilityResult",
    "PipelineTestingSpec",
    "PipelineTestingSpecBuilder",
    "RuntimeTester",
    "RuntimeTestingConfiguration",
    "ScriptExecutionSpec",
    "ScriptTestResult",
]


def _plain_parameters(parameters: Mapping[str, Any]) -> Dict[str, Any]:
    plain = dict(parameters)
    plain["job_args"] = _namespace_as_dict(plain.get("job_args") or {})
    return plain


def _parameters_of(plain: Mapping[str, Any]) -> Dict[str, Any]:
    """What main() is called with, as Python has it."""
    from argparse import Namespace  # takes as long as all the rest of the package

    return {**plain, "job_args": Namespace(**plain["job_args"])}


def _script(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a script is named by a str, such as 'tabular_preprocessing' for tabular_preprocessing.py, not {type(name).__name__}")
    return name


def _logger(config: RuntimeTestingConfiguration) -> Optional[Callable[[str, str], None]]:
    """Hears (level, line) from the library; passes it to the logger "casemate.runtime"."""
    if not config.enable_logging:
        return None
    import logging

    logger = logging.getLogger("casemate.runtime")
    return lambda level, line: logger.log(getattr(logging, level, logging.INFO), "%s", line)


class RuntimeTester:
    """Tests scripts by running them. Safe from several threads, as long as they test scripts of different names.

    The interpreters that scripts are forked from live as long as it does, so keep one for many scripts. close() (or a `with` block, or the end of
    the program) ends them.
    """

    def __init__(self, config_or_workspace_dir: Union[str, RuntimeTestingConfiguration, Any], **more: Any) -> None:
        """With a configuration, or the path of a workspace, which is made; `more` are fields of RuntimeTestingConfiguration, for the latter."""
        if isinstance(config_or_workspace_dir, RuntimeTestingConfiguration):
            if more:
                raise TypeError("give a configuration, or a workspace and its fields")
            config = config_or_workspace_dir
        else:
            import os

            config = RuntimeTestingConfiguration(workspace_dir=os.fspath(config_or_workspace_dir), **more)
        self.config = config
        self.pipeline_spec = config.pipeline_spec
        plain = config._plain()
        if plain["python"] is None and plain["requirements"] is None and plain["image"] is None:
            import sys

            plain["python"] = sys.executable or None
        self._tester = _casemate.RuntimeTester(plain, _logger(config))

    @property
    def workspace_dir(self) -> str:
        """Where tests take place."""
        return self.config.workspace_dir

    def test_script(self, script_name: str, sample_data: Optional[Mapping[str, Any]] = None) -> ScriptTestResult:
        """Runs one script with sample data in a directory of the workspace. casemate.NotFound (a FileNotFoundError): there is no such script.

        script_name: without .py.
        sample_data: a table, {column: [values]}, with None for missing values (of a DataFrame: ``df.to_dict("list")``), or a schema.
        """
        sample = self._generate_sample_data() if sample_data is None else sample_data
        return ScriptTestResult._of(self._tester.test_script(_script(script_name), sample))

    def test_script_with_spec(self, spec: ScriptExecutionSpec, main_params: Optional[Mapping[str, Any]] = None) -> ScriptTestResult:
        """Runs a script as its spec says; `main_params` is what main() gets, by default what the spec says of that."""
        return ScriptTestResult._of(self._tester.test_script_with_spec(_plain_of(spec), self._main_params(main_params)))

    def test_data_compatibility(
        self, script_a: str, script_b: str, sample_data: Optional[Mapping[str, Any]] = None
    ) -> DataCompatibilityResult:
        """Runs A with sample data, then B with what A wrote."""
        sample = self._generate_sample_data() if sample_data is None else sample_data
        return DataCompatibilityResult._of(self._tester.test_data_compatibility(_script(script_a), _script(script_b), sample))

    def test_data_compatibility_with_specs(
        self,
        spec_a: ScriptExecutionSpec,
        spec_b: ScriptExecutionSpec,
        main_params_a: Optional[Mapping[str, Any]] = None,
        main_params_b: Optional[Mapping[str, Any]] = None,
    ) -> DataCompatibilityResult:
        """The same, as their specs say."""
        return DataCompatibilityResult._of(
            self._tester.test_data_compatibility_with_specs(
                _plain_of(spec_a), _plain_of(spec_b), self._main_params(main_params_a), self._main_params(main_params_b)
            )
        )

    def test_pipeline_flow(self, pipeline_config: Mapping[str, Any]) -> Dict[str, Any]:
        """Runs the scripts of {"steps": {name: {"script": ...}}}, each once, with what those before it wrote.

        Gives {"pipeline_success": bool, "script_results": {step: ScriptTestResult}, "data_flow_results": {"a->b": DataCompatibilityResult},
        "errors": [str]}.
        """
        return self._flow(self._tester.test_pipeline_flow(pipeline_config))

    def test_pipeline_flow_with_spec(self, pipeline_spec: Optional[PipelineTestingSpec] = None) -> Dict[str, Any]:
        """The same for a spec, by default the configuration's."""
        spec = self.pipeline_spec if pipeline_spec is None else pipeline_spec
        if spec is None:
            raise TypeError("there is no pipeline_spec, here or in the configuration")
        return self._flow(self._tester.test_pipeline_flow_with_spec(_plain_of(spec)))

    def close(self) -> None:
        """Ends the interpreters, and what runs, as cancelled. It can't be used after that."""
        self._tester.close()

    def __enter__(self) -> RuntimeTester:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def _generate_sample_data(self) -> Dict[str, Any]:
        """The default sample: a table as {column: [values]}."""
        return _casemate.runtime_default_sample()

    def _find_script_path(self, script_name: str) -> str:
        """Where a script lies. casemate.NotFound (a FileNotFoundError): "Script not found: NAME"."""
        return self._tester.find_script_path(_script(script_name))

    def _setup_test_environment(self, script_name: str) -> Dict[str, Any]:
        """Makes `{workspace}/test_{script_name}` anew, with sample data. Gives test_dir and what main() would get."""
        plain = self._tester.setup_test_environment(_script(script_name))
        return {"test_dir": plain["test_dir"], **_parameters_of(plain["parameters"])}

    def _cleanup_test_environment(self, test_dir: str) -> None:
        """Removes such a directory; casemate.Refused (a PermissionError) for one that is none."""
        self._tester.cleanup_test_environment(test_dir)

    @staticmethod
    def _main_params(given: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
        return None if given is None else _plain_parameters(given)

    @staticmethod
    def _flow(plain: Mapping[str, Any]) -> Dict[str, Any]:
        return {
            "pipeline_success": plain["pipeline_success"],
            "script_results": {step: ScriptTestResult._of(one) for step, one in plain["script_results"].items()},
            "data_flow_results": {flow: DataCompatibilityResult._of(one) for flow, one in plain["data_flow_results"].items()},
            "errors": list(plain["errors"]),
        }


class PipelineTestingSpecBuilder:
    """Makes specs from a pipeline's description, and keeps them in files."""

    def __init__(self, test_data_dir: str = "test/integration/runtime") -> None:
        """Specs are kept in `{test_data_dir}/.specs`."""
        import os

        self.test_data_dir = os.fspath(test_data_dir)
        self.specs_dir = os.path.join(self.test_data_dir, ".specs")

    def create_script_specs_from_dag(self, dag_config: Any) -> List[ScriptExecutionSpec]:
        """One a step, in the pipeline's order. What a step does not say comes from its saved spec, else from ScriptExecutionSpec.create_default()."""
        made = _casemate.runtime_specs_from_dag(_plain_dag(dag_config), self.specs_dir, self.test_data_dir)
        return [ScriptExecutionSpec._of(spec) for spec in made]

    def create_pipeline_spec_from_dag(self, pipeline_name: str, dag_config: Any) -> PipelineTestingSpec:
        """The whole pipeline."""
        made = _casemate.runtime_pipeline_from_dag(pipeline_name, _plain_dag(dag_config), self.specs_dir, self.test_data_dir)
        return PipelineTestingSpec._of(made)

    def build_from_dag(self, dag: Any, validate: bool = True, pipeline_name: str = "pipeline") -> PipelineTestingSpec:
        """The same; with `validate`, casemate.InvalidInput (a ValueError) names the specs that are not valid."""
        spec = self.create_pipeline_spec_from_dag(pipeline_name, dag)
        if validate:
            specs = list(spec.script_specs.values()) if isinstance(spec.script_specs, Mapping) else spec.script_specs
            problems = [f"{one.step_name or one.script_name}: {error}" for one in specs for error in self.validate_spec(one)["errors"]]
            if problems:
                from . import InvalidInput

                raise InvalidInput("; ".join(problems))
        return spec

    def get_script_main_params(self, spec: ScriptExecutionSpec) -> Dict[str, Any]:
        """What main() is called with: input_paths, output_paths, environ_vars, and job_args as an argparse.Namespace."""
        return _parameters_of(_casemate.runtime_main_parameters(_plain_of(spec)))

    def validate_spec(self, spec: ScriptExecutionSpec) -> Dict[str, Any]:
        """{"valid": bool, "errors": [str]}: names, paths, inputs that do not exist, a script that is not there."""
        errors = _casemate.runtime_problems(_plain_of(spec))
        return {"valid": not errors, "errors": errors}

    def save_script_spec(self, spec: ScriptExecutionSpec) -> str:
        """Keeps it; gives the path."""
        return spec.save_to_file(self.specs_dir)

    def list_saved_specs(self) -> List[str]:
        """Names of the scripts whose specs are kept."""
        return list(_casemate.runtime_saved_specs(self.specs_dir))

    def get_script_spec_by_name(self, script_name: str) -> Optional[ScriptExecutionSpec]:
        """The one that is kept; None: there is none."""
        if script_name not in self.list_saved_specs():
            return None
        return ScriptExecutionSpec.load_from_file(script_name, self.specs_dir)

    def match_step_to_spec(self, step_name: str, available_specs: List[str]) -> Optional[str]:
        """The name among `available_specs` that a step means: equal, else equal but for case and "-" or "_", else the only one that is part of it
        or has it as a part."""
        found: Optional[str] = _casemate.runtime_match_step(step_name, list(available_specs))
        return found
