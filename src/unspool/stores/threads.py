"""Worker threads for a store's blocking system calls, and the resources that they share.

Rule 1: a resource is released only after the last thread has stopped using it, because the number of a closed descriptor is
        soon reused for another file.
Rule 2: no caller waits for ever. Work that was submitted is done; work submitted after the close is refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from unspool.errors import ServerError

T = TypeVar("T")


class Use:
    """Counts the threads that use a resource, each inside a `with`. After `end`, the last of them releases it.

    Args:
        let_go: releases the resource; called once.
    """

    def __init__(self, let_go: Callable[[], object]) -> None:
        self._let_go = let_go
        self._lock = threading.Lock()
        self._users = 0
        self._ended = False

    def __enter__(self) -> None:
        with self._lock:
            if self._ended:
                raise ServerError("the file or its store was closed meanwhile")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            last = self._ended and not self._users
        if last:
            self._let_go()

    def end(self) -> None:
        """Refuse new users, and release the resource when the last one leaves. Calling it twice is fine."""
        with self._lock:
            last = not self._ended and not self._users
            self._ended = True
        if last:
            self._let_go()


class Threads:
    """The worker threads of a store, until the store is closed.

    Args:
        count: most threads.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="unspool-store")
        self._closed = False

    def check(self) -> None:
        """Raise ServerError if the store is closed."""
        if self._closed:
            raise _closed_error()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run the work in a thread. Raises ServerError if the store is closed."""
        try:
            return self._pool.submit(work)
        except RuntimeError as error:
            raise _closed_error() from error

    async def run(self, work: Callable[[], T]) -> T:
        """Run the work in a thread and wait for its result."""
        return await asyncio.wrap_future(self.submit(work))

    async def open(self, work: Callable[[], T], close: Callable[[T], object]) -> T:
        """Run work that opens something, and wait for its result. If the caller is cancelled, `close` gets the result."""
        opening = self.submit(work)
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(partial(_close_unwanted, close))  # the thread may still open it
            raise

    def let_go(self, use: Use) -> None:
        """Call `use.end` in a thread, without waiting, because closing a file can take long."""
        try:
            self._pool.submit(use.end)
        except RuntimeError:
            use.end()

    def close(self) -> None:
        """Refuse further work, without waiting. Submitted work is still done."""
        self._closed = True
        self._pool.shutdown(wait=False)


def _close_unwanted(close: Callable[[T], object], opening: Future[T]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        close(opening.result())


def _closed_error() -> ServerError:
    return ServerError("the store was closed meanwhile")
