"""The portal: one event loop in one thread, in which blocking calls have their coroutines run.

Rule 1: there is one for the process, made when it is first wanted. Callers may be in any thread, whether or not an event loop
        runs there.
Rule 2: a caller that is interrupted (KeyboardInterrupt) cancels its own coroutine and waits until that has cleaned up, so that
        progress is kept. A second interrupt does not wait.
Rule 3: a forked child makes a portal of its own. Before a fork, what is only held open for later is closed, because gRPC does
        not survive a fork while it is in use.
Rule 4: the thread ends with the interpreter, and keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakSet

from unspool.errors import InvalidRequestError
from unspool.loops import new_event_loop
from unspool.rpc import forks

T = TypeVar("T")

_SLICE = 1.0
"""Seconds of waiting in one piece: a signal that comes just before the wait begins does not end it (fsspec: 1)."""

_ENDING = 2.0
"""Seconds that coroutines may take to clean up when the interpreter ends."""


class Portal:
    """An event loop in a daemon thread. Use `portal()`, which returns the one that everybody shares.

    Attributes:
        loop: the loop.
        ended: whether the interpreter is ending.
        resting: what is held open between calls, to be closed before a fork.
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
            raise InvalidRequestError("the interpreter is ending: nothing more can be asked") from error
        atexit.register(self._end)

    @property
    def is_here(self) -> bool:
        """Whether it is of this process, and not of the one that this one was forked from."""
        return self._pid == os.getpid()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have a coroutine run, and return what it returns or raise what it raises.

        Raises:
            InvalidRequestError: it is called where it would wait for itself, or after its end.
        """
        if not self.is_here:
            raise InvalidRequestError("this was begun in the process that this one was forked from: begin it again here")
        if self.ended:
            raise InvalidRequestError("the interpreter is ending: nothing more can be asked")
        if threading.current_thread() is self._thread:
            raise InvalidRequestError("a blocking call in an observer or a progress function would wait for itself for ever")
        call = _Call(self, work)
        try:
            return call.result()
        finally:
            del call  # or a traceback would hold what the call held

    def dismiss(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have something closed that nobody needs any more, from wherever that is noticed; errors are of no interest."""
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
            except (KeyboardInterrupt, SystemExit):  # raised by a callback of a caller, who is told; others go on
                continue
            return

    def _end(self) -> None:
        """End the thread, once what runs has cleaned up or the time is up."""
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
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDING):
                await self.loop.shutdown_asyncgens()
        self.loop.stop()


class Resting(Protocol):
    """What is held open between calls."""

    def rest(self) -> None:
        """Close what can be opened again, unless it is being used."""
        ...


class _Call(Generic[T]):
    """One coroutine in the loop, and who waits for it outside."""

    def __init__(self, portal: Portal, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._portal = portal
        self._loop = portal.loop
        self._work = work
        self._done: Future[T] = Future()
        self._task: asyncio.Task[None] | None = None
        self._given_up = False

    def result(self) -> T:
        """Wait for its end."""
        try:
            # In the caller's context, so that what it has set there (for its log, say) is known inside.
            self._loop.call_soon_threadsafe(self._begin, context=copy_context())
            self._wait()
            return self._done.result()
        except BaseException:
            if not self._done.done():  # it is the caller who was interrupted
                self._loop.call_soon_threadsafe(self._give_up)
                self._wait()
            raise

    def _wait(self) -> None:
        while not wait([self._done], _SLICE).done:
            pass

    def _begin(self) -> None:
        if self._given_up:
            return
        self._task = self._loop.create_task(self._finish())
        self._task.add_done_callback(self._cancelled_early)

    def _cancelled_early(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and not self._portal.ended:
            self._done.cancel()

    async def _finish(self) -> None:
        try:
            result = await self._work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the call was made
            # When the interpreter ends, only daemon threads still wait, and they end with it: nothing is raised in them.
            if not self._portal.ended:
                self._done.set_exception(error)
        else:
            self._done.set_result(result)

    def _give_up(self) -> None:
        self._given_up = True
        if self._task is None:
            self._done.cancel()
        else:
            self._task.cancel()


_dismissed: set[asyncio.Task[None]] = set()
_lock = threading.Lock()
_shared: Portal | None = None
_parents: list[Portal] = []
"""Portals of the processes that this one was forked from. They are kept: their loops cannot be closed here."""


def portal() -> Portal:
    """Return this process's portal, which everybody shares."""
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
    _lock = threading.Lock()  # somebody else may have held the other one
    if _shared is not None:
        _parents.append(_shared)
        _shared = None


forks.before_fork(_rest)
os.register_at_fork(after_in_child=_after_fork)
