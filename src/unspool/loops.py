"""How unspool's own programs run: which event loop, and how their memory is kept."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_KEPT = 32 << 20  # glibc's limit for this threshold on 64 bits
_MOST_KEPT = 64 << 20


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new loop: uvloop's where there is one (measured: +10 %), else asyncio's."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new loop, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def keep_freed_memory() -> None:
    """Have the C library keep freed blocks for the next ones, up to 64 MiB.

    glibc returns what is as large as our blocks to the kernel as soon as it is freed, and every new block is then paid for in
    page faults: two thirds of a server's processor time, measured (docs/benchmarks.md). Other C libraries are left alone.

    It is a setting of the whole process. The commands call this when they start; the library does not, for the process is its
    user's, who may.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
