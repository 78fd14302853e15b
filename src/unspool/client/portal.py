"""The portal: an event loop in a thread of its own that runs the coroutines of blocking calls.

Rule 1: a process has one portal, created at its first use. Any thread may call it, even one that runs an event loop.
Rule 2: when a caller is interrupted (KeyboardInterrupt), its coroutine is cancelled, and the caller waits for the clean-up, so
        that progress is kept. A second interrupt does not wait.
Rule 3: a forked child creates its own portal. Idle connections are closed before a fork, because gRPC does not survive a fork
        while it is in use.
Rule 4: the thread ends with the interpreter and does not delay it by more than the time for clean-up.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeVar, cast
from weakref import WeakSet

from unspool.errors import InvalidRequestError
from unspool.loops import new_event_loop
from unspool.rpc import forks

T = TypeVar("T")

_SLICE = 1.0
"""Seconds per wait. A signal that arrives just before a wait begins does not interrupt it, so waits are short (fsspec: 1)."""

_ENDING = 2.0
"""Seconds that coroutines may take to clean up when the interpreter ends."""


class Portal:
    """An event loop in a daemon thread. Use `portal()`, which returns the process's shared one.

    Attributes:
        loop: the loop.
        ended: whether the interpreter is ending.
        resting: objects that hold connections open between calls. They are closed before a fork.
    """

    def __init__(self) -> None:
        self.resting: WeakSet[Resting] = WeakSet()
        self._pid = os.getpid()
        self.loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name="unspool", daemon=True)
        self.ended = False
        try:
            self._thread.start()
        except RuntimeError as error:  # Python starts no threads when it is about to end
            self.loop.close()
            raise InvalidRequestError("the interpreter is ending: no call is possible any more") from error
        atexit.register(self._end)

    @property
    def is_here(self) -> bool:
        """Whether the portal belongs to this process, not to the parent that this process was forked from."""
        return self._pid == os.getpid()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the portal; return its result or raise its error.

        Raises:
            InvalidRequestError: called in the portal's own thread, in a forked child, or while the interpreter is ending.
        """
        if not self.is_here:
            raise InvalidRequestError("this was opened before the process was forked: open it again in this process")
        if self.ended:
            raise InvalidRequestError("the interpreter is ending: no call is possible any more")
        if threading.current_thread() is self._thread:
            raise InvalidRequestError("a blocking call in an observer or a progress function would wait for itself for ever")
        call = _Call(self, work)
        try:
            return call.result()
        finally:
            del call  # otherwise a traceback would keep the call's result in memory

    def dismiss(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine that closes something, from any thread. Its errors are ignored."""
        if not self.is_here or self.ended:
            return
        if threading.current_thread() is self._thread:  # the garbage collector runs in any thread
            task = self.loop.create_task(work())
            _dismissed.add(task)
            task.add_done_callback(_dismissed.discard)
            return
        with suppress(Exception):
            self.call(work)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit):  # raised by one call's callback, and set as its error; other calls go on
                continue
            return

    def _end(self) -> None:
        """End the thread after running coroutines have cleaned up, or after a timeout."""
        if not self.is_here or self.ended:
            return
        self.ended = True
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(lambda: _dismissed.add(self.loop.create_task(self._clean_up())))
        self._thread.join(2 * _ENDING)

    async def _clean_up(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_ENDING)
        # Generators are closed in any order. One whose inner generator is closed first reports an error, which does no harm.
        self.loop.set_exception_handler(lambda _loop, _context: None)
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDING):
                await self.loop.shutdown_asyncgens()
        self.loop.stop()


class Resting(Protocol):
    """An object that holds something open between calls."""

    def rest(self) -> None:
        """Close it, unless it is in use. It is opened again when needed."""
        ...


class _Call(Generic[T]):
    """One coroutine in the loop, and the caller that waits for it.

    An interrupt may hit the caller between any two steps of Python. So it waits for a bare lock: it would leave the lock inside
    of a `Future` or an `Event` locked, and then the loop would wait for it for ever.
    """

    def __init__(self, portal: Portal, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._portal = portal
        self._loop = portal.loop
        self._work = work
        self._running = threading.Lock()
        self._running.acquire()
        self._ended = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._given_up = False

    def result(self) -> T:
        """Wait for the coroutine to end; return its result or raise its error."""
        try:
            # In the caller's context, so that the coroutine sees its context variables.
            self._loop.call_soon_threadsafe(self._begin, context=copy_context())
            self._wait()
        except BaseException:
            if not self._ended:  # the caller was interrupted, not the coroutine
                self._loop.call_soon_threadsafe(self._give_up)
                self._wait()
            raise
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame
        return cast("T", self._result)

    def _wait(self) -> None:
        while not self._running.acquire(timeout=_SLICE):
            pass

    def _end(self, error: BaseException | None = None) -> None:
        if not self._ended:
            self._error = error
            self._ended = True
            self._running.release()

    def _begin(self) -> None:
        if self._given_up:
            return
        self._task = self._loop.create_task(self._finish())
        self._task.add_done_callback(self._cancelled_early)

    def _cancelled_early(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and not self._portal.ended:
            self._end(CancelledError())

    async def _finish(self) -> None:
        try:
            self._result = await self._work()
        except BaseException as error:  # noqa: BLE001 - any error is raised in the caller
            # While the interpreter ends, only daemon threads still wait. They end with it, so nothing is raised in them.
            if not self._portal.ended:
                self._end(error)
        else:
            self._end()

    def _give_up(self) -> None:
        self._given_up = True
        if self._task is None:
            self._end(CancelledError())
        else:
            self._task.cancel()


_dismissed: set[asyncio.Task[None]] = set()
_lock = threading.Lock()
_shared: Portal | None = None
_parents: list[Portal] = []
"""Portals inherited through forks. They are kept, because a child cannot close its parent's loop."""


def portal() -> Portal:
    """Return the portal that this process shares."""
    global _shared  # noqa: PLW0603 - there is one for the process
    with _lock:
        if _shared is None:
            _shared = Portal()
        return _shared


def _rest() -> None:
    if _shared is not None and _shared.is_here:
        for one in list(_shared.resting):
            one.rest()


def _after_fork() -> None:
    global _lock, _shared  # noqa: PLW0603 - as above
    _lock = threading.Lock()  # another thread of the parent may have held the old lock
    if _shared is not None:
        _parents.append(_shared)
        _shared = None


forks.before_fork(_rest)
os.register_at_fork(after_in_child=_after_fork)
