"""File descriptors: the limit of this process, and how many streams and connections it allows.

A process that runs out of file descriptors fails unpredictably: gRPC often aborts. So commands raise the soft limit to the hard
limit, and report at the start if that is not enough.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from unspool.errors import LocalFileError

if TYPE_CHECKING:
    from unspool.options import LimitOptions

_STANDARD = 3
"""Descriptors below this are standard input, output and error, and must never be anything else."""

_LEAST = 64
"""Descriptors that a command needs. gRPC, the event loop, a connection, a file and its journal take 24 (measured)."""

_RESERVE = 128
"""Descriptors that a server reserves for gRPC, the event loop, and the directories that its 64 threads have open."""

_NO_LIMIT = 1 << 20

_PER_STREAM = 2
"""A connection and a file. Streams that share a connection need less."""


def fill_standard() -> None:
    """Open /dev/null in place of closed standard descriptors. Otherwise the next file opened would get such a number.

    If standard output was closed, `sys.stdout` stays None, so that it can be reported. Standard error is discarded.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - it takes no keywords
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def raise_limit() -> None:
    """Raise the soft limit of open files to the hard limit.

    Raises:
        LocalFileError: the hard limit is too low to begin.
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
    """Return `limits`, lowered if there are not enough descriptors for them.

    Args:
        limits: the limits wanted.
        free: how many descriptors may be opened.
    """
    most = max((free - _RESERVE) // _PER_STREAM, 1)
    return replace(limits, streams=min(limits.streams, most), connections=min(limits.connections, most))
