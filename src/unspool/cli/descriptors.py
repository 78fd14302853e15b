"""File descriptors: how many this process may have, and what follows for what it does at once.

A server or client that runs out of them fails in ways nobody foresaw: half of gRPC ends in an abort. So the limit is raised as
far as the process may do that itself, and what is not enough is told before anything begins.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import replace

from unspool.errors import LocalFileError
from unspool.options import LimitOptions

_STANDARD = 3
"""Descriptors below this are standard input, output and error, and nothing else may ever be."""

_LEAST = 64
"""What a command needs: gRPC, the event loop, a connection, a file and its journal take 24, measured."""

_RESERVE = 128
"""What a server keeps for itself: gRPC, the event loop, and the directories that its 64 threads are on their way through."""

_NO_LIMIT = 1 << 20

_PER_STREAM = 2
"""A connection and a file. Streams that share a connection need less."""


def fill_standard() -> None:
    """Put /dev/null in place of a standard descriptor that is closed: what is opened next would be taken for it.

    `sys.stdout` stays None then, by which who needs it can tell; standard error just goes nowhere.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keywords
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def raise_limit() -> None:
    """Raise the limit to what the process may have without being asked.

    Raises:
        LocalFileError: that is not enough to begin with.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if (left := free()) < _LEAST:
        raise LocalFileError(f"only {left} more files may be open, and {_LEAST} are needed: allow more (`ulimit -n`)")


def free() -> int:
    """Return how many more descriptors this process may open now."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _NO_LIMIT
    try:
        return limit - len(os.listdir("/dev/fd"))  # noqa: PTH208 - names are enough
    except OSError:
        return limit - _STANDARD


def affordable(limits: LimitOptions, free: int) -> LimitOptions:
    """Return limits that so many descriptors are enough for.

    Args:
        limits: what is wished.
        free: how many may be opened.
    """
    most = max((free - _RESERVE) // _PER_STREAM, 1)
    return replace(limits, streams=min(limits.streams, most), connections=min(limits.connections, most))
