"""Worker threads, and what they use: the parts of a store whose system calls wait.

Rule 1: what a thread is using is let go of when the thread has left it, never under its hands: the number of a closed
        descriptor is soon another file's.
Rule 2: nobody is kept waiting in vain: work that was taken is done, and work that comes too late is refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from unspool.errors import ServerError

T = TypeVar("T")


class Use:
    """Who uses a thing: threads, inside a `with`. When it is no longer wanted it is let go of, by the last to leave.

    Args:
        let_go: called once.
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
        """Let nobody in any more. Calling it twice is fine."""
        with self._lock:
            last = not self._ended and not self._users
            self._ended = True
        if last:
            self._let_go()


class Threads:
    """Where a store's waiting is done, until the store is closed.

    Args:
        count: how many threads there are at most.
    """

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="unspool-store")
        self._closed = False

    def check(self) -> None:
        """Raise ServerError if the store is closed."""
        if self._closed:
            raise _closed()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have a thread do the work. Raises ServerError if the store is closed."""
        try:
            return self._pool.submit(work)
        except RuntimeError as error:
            raise _closed() from error

    async def run(self, work: Callable[[], T]) -> T:
        """Have a thread do the work, and wait for it."""
        return await asyncio.wrap_future(self.submit(work))

    def let_go(self, use: Use) -> None:
        """End the use of something, without waiting: closing a file can take the file system long."""
        try:
            self._pool.submit(use.end)
        except RuntimeError:
            use.end()

    def close(self) -> None:
        """Take no more work, and wait for none. What was submitted is done, so that nobody waits for it in vain."""
        self._closed = True
        self._pool.shutdown(wait=False)


def _closed() -> ServerError:
    return ServerError("the store was closed meanwhile")
