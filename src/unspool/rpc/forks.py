"""Forks. gRPC does not survive one while it is in use: its threads are missing in the child, which would wait for ever.

Rule 1: before a fork, what is only held open for later is closed, and gRPC has a moment to end its threads.
Rule 2: a child that was forked while gRPC was in use is told so when it asks for something.
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
"""What grpc.aio calls its thread. It is there as long as anything of grpc.aio is in use, whoever uses it."""

_NATIVE = ("event_engine", "grpc_global", "lifeguard")
"""How the names of the threads begin that gRPC's core has. They are seen where there is /proc, and end a little later."""

_TASKS = Path("/proc/self/task")

_PATIENCE = 0.5
"""Seconds that all of them may take to end once nothing is in use any more: they take up to 0.05, measured."""

_STEP = 0.002

_alive: WeakSet[object] = WeakSet()
"""Channels and servers of gRPC's that were made here and may still be in use."""

_closers: list[Callable[[], None]] = []
_may_end = False
"""Whether threads that run may be left from something of ours, and about to end; others are not waited for at every fork."""

_in_use = False
_cut_off = False


def note(thing: object) -> None:
    """Remember a channel or a server for as long as it is there."""
    global _may_end  # noqa: PLW0603 - it is a state of the process
    _alive.add(thing)
    _may_end = True


def before_fork(close: Callable[[], None]) -> None:
    """Have something called before every fork, which closes what can be opened again."""
    _closers.append(close)


def check() -> None:
    """Refuse to begin where gRPC does not work.

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
    """Whether there are threads of gRPC's."""
    if any(_POLLER in thread.name for thread in threading.enumerate()):
        return True
    with suppress(OSError):  # there is no /proc
        for task in os.listdir(_TASKS):  # noqa: PTH208 - names are enough
            with suppress(OSError):  # it has ended
                if (_TASKS / task / "comm").read_text().startswith(_NATIVE):
                    return True
    return False


os.register_at_fork(before=_before, after_in_child=_after_in_child)
