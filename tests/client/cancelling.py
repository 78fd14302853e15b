"""Cancels a coroutine at the n-th place where it or one of its tasks waits, and checks what it leaves behind."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any, Generic, TypeVar, cast

import unspool

T = TypeVar("T")


class Stepping:
    """Counts the waits of a task and of the tasks it starts, and cancels the task at the n-th wait.

    Args:
        place: the number of the wait at which to cancel, from 0.
        late: cancel when the awaited result is there already, but has not been delivered yet: the other moment at which a
            cancellation can come.

    Attributes:
        waits: the number of waits so far.
        task: the task to cancel.
    """

    def __init__(self, place: int, *, late: bool) -> None:
        self.waits = 0
        self.task: asyncio.Task[Any] | None = None
        self._place = place
        self._late = late

    def wait(self, waited: object) -> None:
        """Count one wait."""
        if self.waits == self._place:
            task = self.task
            assert task is not None
            if self._late and isinstance(waited, asyncio.Future):
                # Called before the task is woken up, because the callback that wakes it is added after this one.
                waited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        self.waits += 1


class Stepped(Generic[T]):
    """Awaits a coroutine, and tells a Stepping about each wait."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], stepping: Stepping) -> None:
        self._coroutine = coroutine
        self._stepping = stepping

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                waited = resume()
            except StopIteration as end:
                result: T = end.value
                return result
            self._stepping.wait(waited)
            try:
                answer = yield waited
            except BaseException as error:  # noqa: BLE001 - any error is raised again
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, answer)


_STEPPING: ContextVar[Stepping | None] = ContextVar("stepping", default=None)
"""Counts the waits of the tasks that a stepped task starts; not those of a server in the same loop."""


_OURS = str(Path(unspool.__file__).parent)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    stepping = _STEPPING.get()
    if stepping is None or not coroutine.cr_code.co_filename.startswith(_OURS):  # gRPC's own tasks are not counted
        return asyncio.Task(coroutine, loop=loop, **options)
    return _stepped_task(coroutine, stepping, loop=loop, **options)


def _stepped_task(coroutine: Any, stepping: Stepping, **options: Any) -> asyncio.Task[Any]:
    async def main() -> Any:
        return await Stepped(coroutine, stepping)

    task = asyncio.Task(main(), **options)
    task.add_done_callback(lambda _: coroutine.close())  # also of a task that was cancelled before it began
    return task


async def cancelling(coroutine: Coroutine[Any, Any, T], place: int, *, late: bool) -> tuple[asyncio.Task[T], int]:
    """Run a coroutine in a task of its own and cancel it at a place; return the task and the number of waits."""
    stepping = Stepping(place, late=late)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(_make_task)
    token = _STEPPING.set(stepping)
    try:
        task = stepping.task = _stepped_task(coroutine, stepping)
    finally:
        _STEPPING.reset(token)
    await asyncio.wait([task])
    loop.set_task_factory(None)
    return task, stepping.waits


async def cancelled_at(coroutine: Coroutine[Any, Any, T], place: int, *, late: bool) -> tuple[int, bool]:
    """Do the same; return the number of waits, and whether it was cancelled. Raises the coroutine's error."""
    task, waits = await cancelling(coroutine, place, late=late)
    if task.cancelled():
        return waits, True
    task.result()
    return waits, False


def open_files() -> list[str]:
    """Return the files that this process has open. Sockets and pipes are left out, because gRPC closes them later."""
    files = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, like the descriptor of the directory itself
            files.append(str(descriptor.readlink()))
    return sorted(file for file in files if file.startswith("/") and not file.startswith(("/dev/", "/proc/")))


def disk_threads() -> list[str]:
    """Return the running threads of downloads."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("unspool-disk")]


@contextmanager
def nothing_left() -> Iterator[None]:
    """Check that the code inside leaves no task, open file, thread or unfinished generator behind."""
    generators: list[AsyncGenerator[Any, Any]] = []
    before, tasks, files = sys.get_asyncgen_hooks(), asyncio.all_tasks(), open_files()

    def begun(generator: AsyncGenerator[Any, Any]) -> None:
        generators.append(generator)
        if before.firstiter is not None:
            before.firstiter(generator)

    sys.set_asyncgen_hooks(firstiter=begun)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*before)
    assert [generator for generator in generators if cast("AsyncGeneratorType[Any, Any]", generator).ag_frame] == []
    assert asyncio.all_tasks() == tasks
    assert disk_threads() == []
    assert open_files() == files
