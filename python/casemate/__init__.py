"""casemate: every test, script or command in its own fresh micro-container, at fork speed.

Names are loaded when they are first used, so that ``import casemate`` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

    from ._casemate import version as __version__
    from ._data import (
        Change,
        ChangeKind,
        FileType,
        Job,
        JobResult,
        Leftover,
        Limits,
        Mount,
        MountKind,
        Network,
        Outcome,
        OutcomeKind,
        Output,
        Profile,
        Resources,
        Stream,
    )
    from ._engine import Engine, JobHandle
    from ._errors import Cancelled, Corrupt, Error, Exhausted, InternalError, InvalidInput, NotFound, NotSupported, Refused, SystemFailure
    from ._job import default_host_paths, default_limits, job

__all__ = [
    "Cancelled",
    "Change",
    "ChangeKind",
    "Corrupt",
    "Engine",
    "Error",
    "Exhausted",
    "FileType",
    "InternalError",
    "InvalidInput",
    "Job",
    "JobHandle",
    "JobResult",
    "Leftover",
    "Limits",
    "Mount",
    "MountKind",
    "Network",
    "NotFound",
    "NotSupported",
    "Outcome",
    "OutcomeKind",
    "Output",
    "Profile",
    "Refused",
    "Resources",
    "Stream",
    "SystemFailure",
    "__version__",
    "default_host_paths",
    "default_limits",
    "job",
]

_ERRORS = "Cancelled Corrupt Error Exhausted InternalError InvalidInput NotFound NotSupported Refused SystemFailure"
_HOMES = dict.fromkeys(_ERRORS.split(), "_errors")
_HOMES.update(Engine="_engine", JobHandle="_engine", job="_job", default_limits="_job", default_host_paths="_job")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'casemate' has no attribute {name!r}")
    from importlib import import_module

    if name == "__version__":
        value = import_module("casemate._casemate").version
    else:
        value = getattr(import_module("casemate." + _HOMES.get(name, "_data")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
