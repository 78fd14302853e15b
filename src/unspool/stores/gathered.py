"""Requests that are made at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def gathered(works: Iterable[Awaitable[T]]) -> list[T]:
    """Await all at the same time, and return their results in order.

    If one fails, or the caller is cancelled, the others are cancelled and awaited.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
