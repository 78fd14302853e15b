"""Runs several tasks until all are done, or one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

from unspool.client.seams import Seams

W = TypeVar("W")

JOBS = 4
"""Default number of batches and large files in progress at the same time (rclone: 4). While some end, others keep the network
and the server busy: measured, a tenth faster than 1 or 2 on loopback."""


async def all_done(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for all tasks. If one fails, or the caller is cancelled, the others are cancelled and awaited.

    Not a TaskGroup, for the reason given in `unspool.client.fetch`.

    Raises:
        Exception: the error of a task that failed.
    """
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION) if tasks else ((), ())
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def workers(
    count: int, queue: asyncio.Queue[W | None], do: Callable[[W, Seams], Awaitable[None]], seams: Seams
) -> Iterator[Coroutine[Any, Any, None]]:
    """Yield so many workers, each of which does what it takes from a queue until it takes None.

    Every worker but the first has its own connection, which is made when it has something to do.
    """

    async def work(*, first: bool) -> None:
        one = await queue.get()
        if one is None:
            return
        async with nullcontext(seams) if first else seams.another() as own:
            while one is not None:
                await do(one, own)
                one = await queue.get()

    for number in range(count):
        yield work(first=not number)
