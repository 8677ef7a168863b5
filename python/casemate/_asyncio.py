"""Handles in event loops. Apart from the rest because asyncio takes long to import."""

import asyncio
import itertools
from typing import TYPE_CHECKING, Dict, Tuple
from weakref import WeakKeyDictionary

from . import _casemate

if TYPE_CHECKING:
    from ._engine import JobHandle

__all__ = ["wait"]


class _Post:
    """All that one event loop waits for, with one descriptor; it is watched only while there is something."""

    def __init__(self) -> None:
        self._mailbox = _casemate.Mailbox()
        self._waiting: Dict[int, "Tuple[JobHandle, asyncio.Future[None]]"] = {}
        self._keys = itertools.count()

    async def wait(self, handle: "JobHandle") -> None:
        """Returns when the job has ended and its output was passed on; raises what on_output raised."""
        loop = asyncio.get_running_loop()
        future: "asyncio.Future[None]" = loop.create_future()
        key = next(self._keys)
        if not self._waiting:
            loop.add_reader(self._mailbox.fileno(), self._news)
        self._waiting[key] = handle, future
        handle._run.subscribe(self._mailbox, key)
        try:
            await future
        finally:
            handle._run.unsubscribe(self._mailbox, key)
            del self._waiting[key]
            if not self._waiting:
                loop.remove_reader(self._mailbox.fileno())

    def _news(self) -> None:
        for key in self._mailbox.take():
            if key not in self._waiting:
                continue
            handle, future = self._waiting[key]
            try:
                done = handle._hear()
            except Exception as problem:
                if not future.done():
                    future.set_exception(problem)
            else:
                if done and not future.done():
                    future.set_result(None)


_posts: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Post]" = WeakKeyDictionary()


async def wait(handle: "JobHandle") -> None:
    """Waits in the running loop. Cancelled, or when on_output raises: cancels the job, and passes that on when nothing of it is left."""
    loop = asyncio.get_running_loop()
    post = _posts.get(loop)
    if post is None:
        post = _posts[loop] = _Post()
    try:
        await post.wait(handle)
    except GeneratorExit:  # the loop has gone: there is nothing to wait with
        handle._run.stop_listening()
        handle.cancel()
        raise
    except BaseException:
        handle._run.stop_listening()
        handle.cancel()
        await post.wait(handle)
        raise
