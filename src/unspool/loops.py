"""What unspool's own programs set for their process: the event loop and the memory allocator."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_KEPT = 32 << 20  # glibc's limit for this threshold on 64 bits
_MOST_KEPT = 64 << 20

_GIVEN_BACK_EVERY = 10.0
"""Seconds. Returning 190 MiB in 7,000 pieces took 20 ms, and 1 ms when there was nothing to return. At worst, a busy server
takes 64 MiB from the kernel again each time, in about 10 ms."""

_CHANGED = 0.1
"""Garbage is collected when Python has a tenth more objects, or fewer, than after the last time: when a flood ends, much of
what is left is garbage. A full collection of 30,000 objects, as a server has, takes 30 ms, in which no call is answered."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's if it is installed (measured: 10 % faster), else asyncio's."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop, as `asyncio.run` does, and return its result."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def keep_freed_memory() -> None:
    """Make glibc keep up to 64 MiB of freed memory for the next allocations. Other C libraries are left as they are.

    By default glibc returns allocations as large as our blocks to the kernel as soon as they are freed. Every new block then
    costs page faults: two thirds of a server's processor time, measured (docs/measurements.md).

    The setting applies to the whole process, so the library does not change it. The commands call this when they start, and an
    application may call it too.
    """
    if (mallopt := _of_glibc("mallopt")) is None:
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)


def use_one_heap() -> None:
    """Make glibc serve all threads from one heap, if no other thread has allocated yet. Other C libraries are left as they are.

    By default glibc makes a heap for each of the first threads, up to eight times the number of processors. What a flood of
    calls frees is spread over all of them, and less of it makes whole pages that can go back to the kernel. One heap costs a
    server no speed (measured, decision 0011), because one thread at a time runs Python.
    """
    if (mallopt := _of_glibc("mallopt")) is not None:
        mallopt(_M_ARENA_MAX, 1)


@asynccontextmanager
async def giving_back_memory(every: float = _GIVEN_BACK_EVERY) -> AsyncGenerator[None, None]:
    """While the block runs, return unused memory to the kernel from time to time, if the C library is glibc.

    Calls that ended in an error leave objects in cycles, and Python looks for those only when there are many new objects. glibc
    returns only what is free at the end of its heap: after many small allocations, as for the calls of a flood, hardly anything
    is. So the process would keep its largest size for ever.

    Args:
        every: seconds between two returns.
    """
    if (trim := _of_glibc("malloc_trim")) is None:
        yield
        return
    giving = asyncio.ensure_future(_repeat(trim, every))
    try:
        yield
    finally:
        giving.cancel()
        with suppress(asyncio.CancelledError):
            await giving


async def _repeat(trim: Callable[[int], int], every: float) -> None:
    kept = sys.getallocatedblocks()
    while True:
        await asyncio.sleep(every)
        if abs(sys.getallocatedblocks() - kept) > _CHANGED * kept:
            gc.collect()
            kept = sys.getallocatedblocks()
        await asyncio.to_thread(trim, 0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library, or None if it has none of this name."""
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return function
