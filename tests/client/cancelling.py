"""A coroutine that is cancelled at the n-th place where it or a task of its waits, and a look at what it leaves behind."""

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
    """Counts how often a task and those it starts wait, and cancels the task the n-th time.

    Args:
        place: which time, from 0.
        late: cancel when what was waited for is there already, but has not been handed over yet: the other moment at which a
            cancel can come.

    Attributes:
        waits: how often they waited so far.
        task: what is cancelled.
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
                # Called before the task is woken up, which is by a callback that is added after this one.
                waited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        self.waits += 1


class Stepped(Generic[T]):
    """Awaits a coroutine, telling a Stepping whenever it waits."""

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
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the coroutine's
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, answer)


_STEPPING: ContextVar[Stepping | None] = ContextVar("stepping", default=None)
"""Of the tasks that were started by a stepped one; a server that runs in the same loop has none."""


_OURS = str(Path(unspool.__file__).parent)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    stepping = _STEPPING.get()
    if stepping is None or not coroutine.cr_code.co_filename.startswith(_OURS):  # gRPC's own are not ours to look into
        return asyncio.Task(coroutine, loop=loop, **options)
    return _stepped_task(coroutine, stepping, loop=loop, **options)


def _stepped_task(coroutine: Any, stepping: Stepping, **options: Any) -> asyncio.Task[Any]:
    async def main() -> Any:
        return await Stepped(coroutine, stepping)

    task = asyncio.Task(main(), **options)
    task.add_done_callback(lambda _: coroutine.close())  # also of a task that was cancelled before it began
    return task


async def cancelling(coroutine: Coroutine[Any, Any, T], place: int, *, late: bool) -> tuple[asyncio.Task[T], int]:
    """Run a coroutine to its end in a task of its own that is cancelled; return the task and how often it waited."""
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
    """Do the same; return how often it waited, and whether it was cancelled. Raises what it raised."""
    task, waits = await cancelling(coroutine, place, late=late)
    if task.cancelled():
        return waits, True
    task.result()
    return waits, False


def open_files() -> list[str]:
    """Return the files that this process has open. Sockets and pipes are gRPC's, which closes them in its own time."""
    files = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as the one is that listed them
            files.append(str(descriptor.readlink()))
    return sorted(file for file in files if file.startswith("/") and not file.startswith(("/dev/", "/proc/")))


def disk_threads() -> list[str]:
    """Return the threads of downloads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("unspool-disk")]


@contextmanager
def nothing_left() -> Iterator[None]:
    """Check that what happens inside leaves no task, open file, thread or half-run generator behind."""
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
