"""The data of runtime tests: specs, configuration, results. Plain values; what they may hold is checked by the library when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Optional, Type, TypeVar, Union

from . import _casemate
from ._data import Outcome, OutcomeKind
from ._plain import with_sentences

_Model = TypeVar("_Model", bound="_Plain")


class _Plain:
    """What all models have in common: their form as plain data, which the library reads and writes."""

    def to_dict(self) -> Dict[str, Any]:
        """Everything in it as plain data: dict, list, str, int, float, bool, None."""
        return _casemate.runtime_to_plain(type(self).__name__, self._plain())

    @classmethod
    def from_dict(cls: Type[_Model], data: Mapping[str, Any]) -> _Model:
        """The reverse of to_dict(). Keys that may be missing may be missing, unknown ones are passed over; casemate.InvalidInput (a ValueError)
        names a key whose value makes no sense."""
        return cls._of(_casemate.runtime_to_plain(cls.__name__, data))

    def _plain(self) -> Dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _of(cls: Type[_Model], plain: Mapping[str, Any]) -> _Model:
        raise NotImplementedError


def _chosen(cls: Type[Any], plain: Mapping[str, Any]) -> Dict[str, Any]:
    """What of `plain` a dataclass has fields for."""
    return {each.name: plain[each.name] for each in fields(cls) if each.init and each.name in plain}


def _namespace_as_dict(arguments: Any) -> Any:
    """job_args as a mapping; argparse.Namespace, and whatever else keeps its values as attributes, by these."""
    return dict(vars(arguments)) if hasattr(arguments, "__dict__") and not isinstance(arguments, Mapping) else arguments


@dataclass
class ScriptExecutionSpec(_Plain):
    """How one script is run: a node of a pipeline."""

    script_name: str
    step_name: str = ""
    input_paths: Dict[str, str] = field(default_factory=dict)
    output_paths: Dict[str, str] = field(default_factory=dict)
    environ_vars: Dict[str, str] = field(default_factory=dict)
    job_args: Dict[str, Any] = field(default_factory=dict)
    script_path: Optional[str] = None
    last_updated: Optional[str] = None
    user_notes: Optional[str] = None

    def save_to_file(self, specs_dir: str) -> str:
        """Writes `{specs_dir}/{script_name}_runtime_test_spec.json`, whole or not at all; makes the directory, sets last_updated. Gives the
        path."""
        path, plain = _casemate.runtime_save("ScriptExecutionSpec", self._plain(), specs_dir)
        self.last_updated = plain["last_updated"]
        return path

    @classmethod
    def load_from_file(cls, script_name: str, specs_dir: str) -> ScriptExecutionSpec:
        """What save_to_file() wrote. casemate.NotFound (a FileNotFoundError): "ScriptExecutionSpec file not found: PATH"."""
        return cls._of(_casemate.runtime_load("ScriptExecutionSpec", script_name, specs_dir))

    @classmethod
    def create_default(cls, script_name: str, step_name: str = "", test_data_dir: str = "test/integration/runtime") -> ScriptExecutionSpec:
        """One with input and output below `test_data_dir`, LABEL_FIELD=label and job_type=testing."""
        return cls._of(_casemate.runtime_default_spec(script_name, step_name, test_data_dir))

    def _plain(self) -> Dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["job_args"] = _namespace_as_dict(self.job_args)
        return plain

    @classmethod
    def _of(cls, plain: Mapping[str, Any]) -> ScriptExecutionSpec:
        return cls(**_chosen(cls, plain))


@dataclass
class PipelineTestingSpec(_Plain):
    """A pipeline: its scripts, and what flows between them."""

    pipeline_name: str = "pipeline"
    script_specs: Union[List[ScriptExecutionSpec], Dict[str, ScriptExecutionSpec]] = field(default_factory=list)
    data_flow_specs: List[Dict[str, Any]] = field(default_factory=list)
    dag: Optional[Dict[str, Any]] = None
    test_workspace_root: Optional[str] = None
    last_updated: Optional[str] = None

    def save_to_file(self, specs_dir: str) -> str:
        """Writes `{specs_dir}/{pipeline_name}_pipeline_test_spec.json`, whole or not at all; makes the directory, sets last_updated. Gives the
        path."""
        path, plain = _casemate.runtime_save("PipelineTestingSpec", self._plain(), specs_dir)
        self.last_updated = plain["last_updated"]
        return path

    @classmethod
    def load_from_file(cls, pipeline_name: str, specs_dir: str) -> PipelineTestingSpec:
        """What save_to_file() wrote. casemate.NotFound (a FileNotFoundError) where there is none."""
        return cls._of(_casemate.runtime_load("PipelineTestingSpec", pipeline_name, specs_dir))

    def _plain(self) -> Dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        specs = self.script_specs
        plain["script_specs"] = (
            {node: _plain_of(spec) for node, spec in specs.items()} if isinstance(specs, Mapping) else [_plain_of(spec) for spec in specs]
        )
        plain["dag"] = _plain_dag(self.dag)
        return plain

    @classmethod
    def _of(cls, plain: Mapping[str, Any]) -> PipelineTestingSpec:
        chosen = _chosen(cls, plain)
        specs = chosen.get("script_specs", [])
        chosen["script_specs"] = (
            {node: ScriptExecutionSpec._of(spec) for node, spec in specs.items()}
            if isinstance(specs, Mapping)
            else [ScriptExecutionSpec._of(spec) for spec in specs]
        )
        return cls(**chosen)


def _plain_of(model: Any) -> Any:
    return model._plain() if isinstance(model, _Plain) else model


def _plain_dag(dag: Any) -> Any:
    """A mapping as it is; an object with `nodes` and `edges` (cursus's PipelineDAG) by these."""
    if dag is None or isinstance(dag, Mapping) or not hasattr(dag, "nodes"):
        return dag
    return {"nodes": list(dag.nodes), "edges": [list(edge) for edge in getattr(dag, "edges", [])]}


@dataclass
class RuntimeTestingConfiguration(_Plain):
    """How a RuntimeTester behaves."""

    workspace_dir: str = "./test_workspace"
    timeout_seconds: float = 300
    enable_logging: bool = True
    log_level: str = "INFO"
    cleanup_after_test: bool = True
    preserve_outputs: bool = False
    pipeline_spec: Optional[PipelineTestingSpec] = None
    test_individual_scripts: bool = True
    test_data_compatibility: bool = True
    test_pipeline_flow: bool = True
    script_directories: List[str] = field(default_factory=list)
    """Where scripts are looked for before the usual places."""
    memory_bytes: Optional[int] = None
    """Of each script; 4 GiB if None."""
    python: Optional[str] = None
    """An interpreter in place of this one."""
    requirements: Optional[str] = None
    """A requirements file: scripts see its packages, and none of the interpreter's own."""
    image: Optional[str] = None
    """An OCI image in place of this host."""
    slots: int = 0
    """Scripts at a time; 0: as many as there are CPUs."""

    def _plain(self) -> Dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["pipeline_spec"] = _plain_of(self.pipeline_spec)
        return plain

    @classmethod
    def _of(cls, plain: Mapping[str, Any]) -> RuntimeTestingConfiguration:
        chosen = _chosen(cls, plain)
        if chosen.get("pipeline_spec") is not None:
            chosen["pipeline_spec"] = PipelineTestingSpec._of(chosen["pipeline_spec"])
        return cls(**chosen)


@dataclass
class ScriptTestResult(_Plain):
    """How a script's test came out. str() of it is what `cursus runtime test-script` prints."""

    script_name: str
    """Without .py."""
    success: bool
    """Whether main() was called and came to its end."""
    execution_time: float
    """Seconds, of the script alone."""
    has_main_function: bool
    """Whether there is a main(), whatever it takes."""
    error_message: Optional[str] = None
    """What went wrong, in a line; None: nothing."""
    step_name: str = ""
    """In a pipeline: its step."""
    skipped: Optional[str] = None
    """In a pipeline: why it did not run."""
    traceback: str = ""
    """The whole of what it raised; may be empty."""
    standard_output: str = ""
    """What it printed."""
    standard_error: str = ""
    """What it printed there."""
    outcome: Outcome = field(default_factory=lambda: Outcome(OutcomeKind.lost))
    """How its process ended; str() of it has that in words: "exited 0", "timed out", "out of memory"."""
    peak_memory_bytes: Optional[int] = None
    """The most memory that its cell added to the parent's; None: this host can't tell."""
    outputs: List[str] = field(default_factory=list)
    """Files that it wrote below its output paths. Without a spec they go with the test's directory, unless preserve_outputs is set."""
    notes: List[str] = field(default_factory=list)
    """What else is worth knowing: processes that it left, files of others beside its outputs."""

    def __str__(self) -> str:
        return _casemate.runtime_text("ScriptTestResult", self._plain())

    def _plain(self) -> Dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["outcome"] = self.outcome.to_dict()
        return plain

    @classmethod
    def _of(cls, plain: Mapping[str, Any]) -> ScriptTestResult:
        chosen = _chosen(cls, plain)
        if chosen.get("outcome") is not None:
            chosen["outcome"] = Outcome(**_chosen(Outcome, {**chosen["outcome"], "kind": OutcomeKind(chosen["outcome"]["kind"])}))
        return cls(**chosen)


@dataclass
class DataCompatibilityResult(_Plain):
    """Whether what script A writes is what script B can read. str() of it is what `cursus runtime test-compatibility` prints."""

    script_a: str
    """Who writes."""
    script_b: str
    """Who reads."""
    compatible: bool
    """Whether B came to its end with what A wrote."""
    data_format_a: Optional[str] = None
    """Of what A wrote, by its content: CSV, PARQUET, ..."""
    data_format_b: Optional[str] = None
    """Of what B takes."""
    compatibility_issues: List[str] = field(default_factory=list)
    """What is in the way, a line each."""
    data_a: List[Dict[str, Any]] = field(default_factory=list)
    """What A wrote: format, columns, types, rows, nulls."""
    data_b: List[Dict[str, Any]] = field(default_factory=list)
    """What B is known to take."""
    result_a: Optional[ScriptTestResult] = None
    """A's own test."""
    result_b: Optional[ScriptTestResult] = None
    """B's; None: it was not run."""

    def __str__(self) -> str:
        return _casemate.runtime_text("DataCompatibilityResult", self._plain())

    def explain(self) -> str:
        """Both schemas beside each other, for people."""
        return _casemate.runtime_text("explanation", self._plain())

    def _plain(self) -> Dict[str, Any]:
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        plain["result_a"] = _plain_of(self.result_a)
        plain["result_b"] = _plain_of(self.result_b)
        return plain

    @classmethod
    def _of(cls, plain: Mapping[str, Any]) -> DataCompatibilityResult:
        chosen = _chosen(cls, plain)
        for name in ("result_a", "result_b"):
            if chosen.get(name) is not None:
                chosen[name] = ScriptTestResult._of(chosen[name])
        return cls(**chosen)


for _model in (ScriptExecutionSpec, PipelineTestingSpec, RuntimeTestingConfiguration, ScriptTestResult, DataCompatibilityResult):
    with_sentences(_model, __name__)
