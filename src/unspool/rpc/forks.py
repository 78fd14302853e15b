"""Handles forks. gRPC does not survive a fork while it is in use: the child lacks its threads and would wait for ever.

Rule 1: before a fork, connections that are kept open only for later use are closed, and gRPC gets a moment to end its threads.
Rule 2: in a child that was forked while gRPC was in use, every attempt to use gRPC raises an error.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from unspool.errors import InvalidRequestError

_POLLER = "_poll_wrapper"
"""The name of grpc.aio's thread. The thread exists while anything in the process uses grpc.aio."""

_NATIVE = ("event_engine", "grpc_global", "lifeguard")
"""Prefixes of the names of the threads of gRPC's core. They are visible only in /proc, and end a little after that thread."""

_TASKS = Path("/proc/self/task")

_PATIENCE = 0.5
"""Seconds to wait for these threads to end once gRPC is not in use any more. Measured: they take up to 0.05."""

_STEP = 0.002

_alive: WeakSet[object] = WeakSet()
"""gRPC channels and servers made by unspool that may still be in use."""

_closers: list[Callable[[], None]] = []
_may_end = False
"""Whether running threads may belong to a closed channel or server of unspool, and so be about to end. If not, they belong to
other code, and a fork does not wait for them."""

_in_use = False
_cut_off = False


def note(thing: object) -> None:
    """Register a channel or a server. It counts as in use until it is garbage-collected."""
    global _may_end  # noqa: PLW0603 - it is a state of the process
    _alive.add(thing)
    _may_end = True


def before_fork(close: Callable[[], None]) -> None:
    """Register a function to be called before every fork. It closes connections that can be opened again later."""
    _closers.append(close)


def check() -> None:
    """Check that gRPC works in this process.

    Raises:
        InvalidRequestError: this process was forked while gRPC was in use.
    """
    if _cut_off:
        raise InvalidRequestError(
            "this process was forked while a client or server of its parent was open, and gRPC does not work here: "
            "close them before the fork, or start processes by 'spawn' or 'forkserver'"
        )


def _before() -> None:
    global _in_use, _may_end  # noqa: PLW0603 - as above
    for close in _closers:
        close()
    _in_use = _threads_run()
    if _in_use and _may_end:
        if _closers:  # what they closed may be garbage that still refers to a channel
            gc.collect()
        deadline = time.monotonic() + _PATIENCE
        while _in_use and not _alive and time.monotonic() < deadline:
            time.sleep(_STEP)
            _in_use = _threads_run()
        _may_end = bool(_alive)


def _after_in_child() -> None:
    global _cut_off  # noqa: PLW0603 - as above
    _cut_off = _cut_off or _in_use


def _threads_run() -> bool:
    """Whether any threads of gRPC run."""
    if any(_POLLER in thread.name for thread in threading.enumerate()):
        return True
    with suppress(OSError):  # there is no /proc
        for task in os.listdir(_TASKS):  # noqa: PTH208 - names are enough
            with suppress(OSError):  # it has ended
                if (_TASKS / task / "comm").read_text().startswith(_NATIVE):
                    return True
    return False


os.register_at_fork(before=_before, after_in_child=_after_in_child)
