"""A user's program, for mypy --strict. A line that must be an error says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import casemate
from casemate import Engine, Job, JobResult, Limits, Mount, Network, OutcomeKind, Stream


def heard(stream: Stream, data: bytes) -> None:
    print(stream.value, data.decode())


def print_all(pieces: list[bytes]) -> None:
    print(pieces)


def blocking() -> list[str]:
    with Engine(slots=2) as engine:
        job = casemate.job(["python3", Path("x.py")], env={"A": "b"}, show=["/data"], timeout=3, limits=Limits(pids=3))
        job.mounts.append(Mount(target="/x", source="/y"))
        result: JobResult = engine.run(job, on_output=heard)
        if result.outcome.kind is OutcomeKind.timed_out:
            peak: int = result.resources.peak_memory_bytes  # mypy: Incompatible types in assignment (expression has type "int | None", variable has type "int")
            print(peak)
        handle = engine.submit(Job(argv=["true"], network=Network.none))
        handle.result(timeout=1.5).exit_status
        engine.run("ls")  # mypy: Argument 1 to "run" of "Engine" has incompatible type "str"; expected "Job"
        engine.run(job, on_output=print_all)  # mypy: Argument "on_output" to "run" of "Engine" has incompatible type "Callable[[list[bytes]], None]"; expected "Callable[[Stream, bytes], object] | None"
        return [done.stdout for _, done in engine.run_many([job])]


async def awaiting() -> JobResult:
    with casemate.Engine() as engine:
        first, second = await asyncio.gather(engine.run_async(Job(["true"])), engine.submit(Job(argv=["false"])))
        print(first.succeeded, second.output.out.decode())
        try:
            return await engine.submit(Job.from_dict({"argv": ["x"]}))
        except casemate.InvalidInput as error:
            print(error, error.errno_value + 1)
            raise


print(casemate.__version__.upper(), casemate.default_limits().pids, [path.upper() for path in casemate.default_host_paths()])
asyncio.run(awaiting())
