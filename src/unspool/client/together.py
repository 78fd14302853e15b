"""Runs several tasks until all are done, or one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any


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
