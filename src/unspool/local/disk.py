"""The thread in which one download's local disk works, one call at a time, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """What has to be closed."""

    def close(self) -> None:
        """Let go of it."""
        ...


C = TypeVar("C", bound=Closable)


class Disk:
    """A thread of its own: a slow disk keeps neither heartbeats nor Ctrl-C waiting."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unspool-disk")

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have something done."""
        return self._thread.submit(work)

    async def do(self, work: Callable[[], T]) -> T:
        """Have something done, and wait for it."""
        return await asyncio.wrap_future(self.submit(work))

    async def open(self, work: Callable[[], C]) -> C:
        """Have something opened, and wait for it. What nobody waits for any more is closed."""
        opening = self.submit(work)
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    def close(self) -> None:
        """Block until all is done, so that nothing is left running."""
        self._thread.shutdown(wait=True)


def _close_unwanted(opening: Future[C]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
