"""Engines and the jobs they run."""

import os
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, Generator, Iterable, Iterator, Optional, Tuple, Type

from . import _casemate
from ._data import Job, JobResult, Stream
from ._errors import InvalidInput

if TYPE_CHECKING:
    import asyncio

__all__ = ["Engine", "JobHandle"]

OnOutput = Callable[[Stream, bytes], object]

_STREAMS = {1: Stream.out, 2: Stream.err}


class JobHandle:
    """A job that was submitted: wait for it with `result()` or ``await``. Safe from threads.

    Letting go of it does not end the job: `cancel()` does, or the engine's end.
    """

    __module__ = "casemate"

    def __init__(self, job: Job, run: "_casemate.Run", on_output: Optional[OnOutput]) -> None:
        """Engines make these."""
        self._job = job
        self._run = run
        self._on_output = on_output
        self._result: Optional[JobResult] = None
        self._delivery = threading.Lock()

    @property
    def job(self) -> Job:
        """The job, as it was given."""
        return self._job

    def done(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self._run.done()

    def cancel(self) -> None:
        """Ends the job with the outcome ``cancelled``, soon; one that has ended stays what it is."""
        self._run.cancel()

    def result(self, timeout: Optional[float] = None) -> JobResult:
        """Waits for the job's end, without the GIL.

        `TimeoutError` after so many seconds: the job goes on. KeyboardInterrupt, or whatever else a signal's handler or ``on_output``
        raises, cancels the job and is passed on when it has ended. `InvalidInput` and its like: the job made no sense, nothing was run.
        """
        if self._result is None and not self._wait(timeout):
            raise TimeoutError(f"the job has not ended after {timeout:g} s")
        return self._take()

    def __await__(self) -> Generator[Any, None, JobResult]:
        """The job's result. Cancelling the task that waits cancels the job; ``on_output`` is called in the event loop's thread."""
        if self._result is not None:
            return self._take()
        from ._asyncio import wait

        yield from wait(self).__await__()
        return self._take()

    def _take(self) -> JobResult:
        if self._result is None:
            self._result = self._run.result()
        return self._result

    def _hear(self) -> bool:
        """Passes on what came of output. True: all of it, the job has ended."""
        done = self._run.done()
        if self._on_output is not None:
            with self._delivery:
                for stream, data in self._run.take_output():
                    self._on_output(_STREAMS[stream], data)
        return done

    def _wait(self, timeout: Optional[float]) -> bool:
        until = None if timeout is None else time.monotonic() + timeout
        mailbox = _casemate.Mailbox()
        self._run.subscribe(mailbox, 0)
        try:
            while not self._hear():
                left = -1.0 if until is None else max(0.0, until - time.monotonic())
                if not mailbox.wait(left):
                    return False
                mailbox.take()
            return True
        except BaseException:
            self._abandon(mailbox)
            raise
        finally:
            self._run.unsubscribe(mailbox, 0)

    def _abandon(self, mailbox: "_casemate.Mailbox") -> None:
        """Cancels the job and waits until nothing of it is left."""
        self._run.stop_listening()
        self._run.cancel()
        while not self._run.done():
            mailbox.wait(-1.0)
            mailbox.take()


class Engine:
    """Runs jobs, each in a cell of its own, ``slots`` at a time. Safe from any number of threads.

    One engine serves a whole program: it has a thread, and makes cells ahead while jobs wait. Use it as a context manager, or `close()` it;
    at the interpreter's exit that is done for you, and nothing stays behind. In a child of ``os.fork()`` all calls but `close()` raise
    `NotSupported`: make another engine there.
    """

    __module__ = "casemate"

    def __init__(self, slots: int = 0) -> None:
        """Raises `NotSupported` where this host can't make cells; the text says what is missing.

        slots: jobs at a time; 0: as many as this process may use CPUs.
        """
        if not isinstance(slots, int) or not 0 <= slots <= 100_000:
            raise InvalidInput(f"Engine: slots is a number from 0 to 100000, not {slots!r}")
        self._slots = slots or len(os.sched_getaffinity(0))
        self._engine = _casemate.Engine(self._slots)

    @property
    def slots(self) -> int:
        """How many jobs run at a time."""
        return self._slots

    def submit(self, job: Job, *, on_output: Optional[OnOutput] = None) -> JobHandle:
        """Queues a job and returns at once. Jobs start in the order of submission.

        on_output: called with each piece of output, raw bytes, by the thread that waits for the handle (in its event loop, if it awaits).
        While nobody waits, or the function takes long, a job that has written 1 MiB more waits too, as in a shell's pipe.

        Raises `InvalidInput` for a value of a wrong type; whether the job makes sense the handle's result says.
        """
        if not isinstance(job, Job):
            raise InvalidInput(f"a casemate.Job is wanted, not {type(job).__name__}: casemate.job(['sh', '-c', 'echo hi']) makes one")
        return JobHandle(job, self._engine.submit(job, on_output is not None), on_output)

    def run(self, job: Job, *, on_output: Optional[OnOutput] = None) -> JobResult:
        """Runs a job to its end and returns what became of it: `submit`, then `JobHandle.result`.

        A job that fails is no exception: look at ``outcome``. An exception means that it made no sense, or could not be run at all.
        """
        return self.submit(job, on_output=on_output).result()

    async def run_async(self, job: Job, *, on_output: Optional[OnOutput] = None) -> JobResult:
        """`run` for event loops: ``await engine.run_async(job)``, or ``await engine.submit(job)``."""
        return await self.submit(job, on_output=on_output)

    def run_many(self, jobs: Iterable[Job]) -> Iterator[Tuple[Job, JobResult]]:
        """Runs jobs side by side and gives each with its result as it ends, in the order of their ends.

        ``jobs`` may be endless: it is asked for the next one when one has ended. Leaving the loop, or an exception in it, cancels what runs.
        A job that makes no sense raises, as `run` does.
        """
        mailbox = _casemate.Mailbox()
        running: Dict[int, JobHandle] = {}
        source = enumerate(jobs)
        more = True
        try:
            while True:
                while more and len(running) < 2 * self._slots + 2:  # those that wait let the engine make cells ahead
                    number, job = next(source, (-1, None))
                    if job is None:
                        more = False
                    else:
                        running[number] = self.submit(job)
                        running[number]._run.subscribe(mailbox, number)
                if not running:
                    return
                mailbox.wait(-1.0)
                for number in mailbox.take():
                    handle = running.get(number)
                    if handle is not None and handle.done():
                        del running[number]
                        yield handle.job, handle.result()
        finally:
            for handle in running.values():
                handle.cancel()
            for handle in running.values():
                handle._wait(None)

    def close(self) -> None:
        """Ends all jobs as ``cancelled``, and the engine. The second time it does nothing."""
        self._engine.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException], traceback: Optional[TracebackType]) -> None:
        self.close()
