"""A coroutine that is cancelled at the n-th place where it waits, and a look at what it leaves behind."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class CancelledAt(Generic[T]):
    """Awaits a coroutine in the current task, and cancels the task where the coroutine waits for the n-th time.

    Args:
        coroutine: what to await.
        place: which time, from 0.
        late: cancel when what was waited for is there already, but has not been handed over yet: the other moment at which a
            cancel can come.

    Attributes:
        waits: how often the coroutine waited so far.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], place: int, *, late: bool) -> None:
        self.waits = 0
        self._coroutine = coroutine
        self._place = place
        self._late = late

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        resume: Callable[[], Any] = partial(next, steps)
        while True:
            try:
                waited = resume()
            except StopIteration as end:
                result: T = end.value
                return result
            if self.waits == self._place:
                self._cancel(waited)
            self.waits += 1
            try:
                answer = yield waited
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the coroutine's
                resume = partial(steps.throw, error)
            else:
                resume = partial(steps.send, answer)

    def _cancel(self, waited: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._late and isinstance(waited, asyncio.Future):
            # Called before the task is woken up, which is by a callback that is added after this one.
            waited.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


async def cancelled_at(coroutine: Coroutine[Any, Any, T], place: int, *, late: bool) -> tuple[int, bool]:
    """Run a coroutine in a task of its own; return how often it waited, and whether it was cancelled."""
    stepping = CancelledAt(coroutine, place, late=late)

    async def main() -> T:
        return await stepping

    task = asyncio.create_task(main())
    await asyncio.wait([task])
    if task.cancelled():
        return stepping.waits, True
    task.result()  # raises what it raised
    return stepping.waits, False


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
