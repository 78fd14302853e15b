"""The worker thread for one download's disk operations. It runs one call at a time, in the order of submission."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """An object with a `close` method."""

    def close(self) -> None:
        """Release its resources."""
        ...


C = TypeVar("C", bound=Closable)


class Disk:
    """A worker thread, so that a slow disk does not block the event loop, heartbeats or Ctrl-C."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="unspool-disk")

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` in the thread; return a future."""
        return self._thread.submit(work)

    async def do(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread, and wait for its result."""
        return await asyncio.wrap_future(self.submit(work))

    async def open(self, work: Callable[[], C]) -> C:
        """Run `work`, which opens something, and wait for its result. If the caller is cancelled, the result is closed."""
        opening = self.submit(work)
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    def close(self) -> None:
        """Block until all submitted work is done, and end the thread."""
        self._thread.shutdown(wait=True)


class Outcome(Generic[T]):
    """What a thread returns or raises, to be awaited. If it is done by then, the event loop is not woken for it."""

    __slots__ = ("_future",)

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, T]:
        if not self._future.done():
            yield from asyncio.wrap_future(self._future)
        return self._future.result()


def _close_unwanted(opening: Future[C]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
