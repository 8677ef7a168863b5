"""Jobs with defaults that fit."""

import os
import sys
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from . import _casemate
from ._data import Job, Limits, Mount, Network, Profile
from ._errors import InvalidInput

__all__ = ["default_host_paths", "default_limits", "job"]

Path = Union[str, "os.PathLike[str]"]
_W = TypeVar("_W", Network, Profile)

_interpreters: Dict[str, Tuple[str, str, List[Mount]]] = {}


def default_limits() -> Limits:
    """The limits that `casemate.job` and ``casemate run`` hold when nothing is asked.

    512 MiB of memory, 256 processes, 256 MiB and 32,768 files a writable layer, 1,024 open files. Output and times are unbounded.
    """
    return _casemate.default_limits()


def default_host_paths() -> List[str]:
    """What image "host" shows when a job does not say: /usr and the links into it, /etc, /opt."""
    return _casemate.default_host_paths()


def _interpreter(python: Union[bool, Path]) -> Tuple[str, str, List[Mount]]:
    wanted = (sys.executable or "") if python is True else os.fspath(python) if python else ""
    found = _interpreters.get(wanted)
    if found is None:
        found = _interpreters[wanted] = _casemate.active_python(wanted)
    return found


def _shown(path: Path, writable: bool) -> Mount:
    place = os.path.abspath(os.fspath(path))
    return Mount(target=place, source=place, writable=writable, owned=True)


def _one_of(words: Type[_W], value: Union[_W, str], what: str) -> _W:
    try:
        return words(value)
    except ValueError:
        choices = ", ".join(repr(word.value) for word in words)
        raise InvalidInput(f"job: {what} is one of {choices}, not {value!r:.80}") from None


def job(
    argv: Sequence[Path],
    *,
    name: str = "",
    env: Optional[Mapping[str, str]] = None,
    cwd: Optional[Path] = None,
    show: Iterable[Path] = (),
    writable: Iterable[Path] = (),
    mounts: Iterable[Mount] = (),
    python: Union[bool, Path] = True,
    limits: Optional[Limits] = None,
    timeout: Optional[float] = None,
    network: Union[Network, str] = Network.none,
    profile: Union[Profile, str] = Profile.standard,
    stdin: Union[bytes, str, None] = None,
) -> Job:
    """A job as ``casemate run`` makes it, which also sees the interpreter that runs this program.

    argv: the command. ``python`` and ``python3`` are the interpreter that is shown; what lies beside it is found first.
    env: variables besides PATH, HOME=/root and LANG=C.UTF-8 (or in their place). Nothing of this process's environment is passed on.
    cwd: the working directory. Default: /app, which is empty and can be written. One that was not shown is made, where that is possible.
    show: paths of the host that the job sees at the same place, read-only.
    writable: the same, but the job may write there, for good.
    mounts: any others.
    python: the interpreter to show with its packages: True: this program's own; a path: that one; False: none but what /usr has.
        It is asked once a process what it needs (some ten milliseconds).
    limits: default: `default_limits()`.
    timeout: seconds; sets ``limits.wall_seconds``.
    stdin: what the job reads; a str as UTF-8. Default: nothing.

    Relative paths are this process's. Raises `InvalidInput` for a value that is none of the choices, `NotFound` and `InvalidInput` for an
    interpreter that can't be had.
    """
    if isinstance(argv, (str, bytes)):
        raise InvalidInput(f"job: argv is a list of words; write {str(argv).split()!r}, or ['sh', '-c', {argv!r}]")
    variables = {"PATH": _casemate.default_path, "HOME": "/root", "LANG": "C.UTF-8"}
    binds: List[Mount] = []
    words = [os.fspath(word) for word in argv]
    if python is not False:
        program, _, binds = _interpreter(python)
        if words[:1] in (["python"], ["python3"]):
            words[0] = program
        variables["PATH"] = os.path.dirname(program) + ":" + variables["PATH"]
    variables.update(env or {})
    bounds = default_limits() if limits is None else Limits.from_dict(limits.to_dict())
    if timeout is not None:
        bounds.wall_seconds = timeout
    places = [_shown(path, False) for path in show] + [_shown(path, True) for path in writable]
    return Job(
        argv=words,
        env=variables,
        name=name,
        cwd="/app" if cwd is None else os.path.abspath(os.fspath(cwd)),
        mounts=[Mount.from_dict(bind.to_dict()) for bind in binds] + places + list(mounts),
        limits=bounds,
        network=_one_of(Network, network, "network"),
        profile=_one_of(Profile, profile, "profile"),
        stdin=stdin.encode() if isinstance(stdin, str) else stdin,
    )
