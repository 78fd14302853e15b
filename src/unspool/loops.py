"""How unspool's own programs run: which event loop, and how their memory is kept."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Coroutine
from typing import Any, TypeVar

from unspool.errors import InvalidRequestError

T = TypeVar("T")

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_KEPT = 32 << 20  # glibc's limit for this threshold on 64 bits
_MOST_KEPT = 64 << 20


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new loop: uvloop's where there is one (measured: +10 %), else asyncio's.

    Raises:
        InvalidRequestError: a loop is running in this thread already.
    """
    if _is_running():
        main.close()
        raise InvalidRequestError("an event loop is running here already: use unspool.Client, and await it")
    keep_freed_memory()
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def _is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def keep_freed_memory() -> None:
    """Have the C library keep freed blocks for the next ones, up to 64 MiB.

    glibc returns what is as large as our blocks to the kernel as soon as it is freed, and every new block is then paid for in
    page faults: two thirds of a server's processor time, measured (docs/benchmarks.md). Other C libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT)
