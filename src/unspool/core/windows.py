"""How many bytes a connection may receive ahead of its readers, in a process in which many calls run.

gRPC receives ahead what keeps the network busy, which it measures. In a process with many readers near a fast server it
measures its own delay, and receives more and more: 256 readers took 5.6 GiB (docs/measurements.md). A quota of memory would
bound that, but gRPC in Python cannot set one.

Rule 1: while few calls run, gRPC decides.
Rule 2: while more run, a call that begins may receive its share of a fixed amount ahead.
Rule 3: a connection is used again if its window is about right, because another one costs time.
"""

from __future__ import annotations

FEW = 4
"""Calls that leave the window to gRPC."""

SHARED = 32 << 20
"""Bytes that all calls may receive ahead together: enough for 2.5 Gbit/s with a round trip of 100 ms."""

LEAST = 256 << 10
"""Bytes that a call may receive ahead in any case: a thousand calls 256 MiB."""


def window(running: int, present: int | None) -> int | None:
    """Return the window for a call that begins, in bytes; None leaves it to gRPC.

    Args:
        running: how many calls run in the process.
        present: the window of the connection that could be used.
    """
    if running < FEW:
        return None if running < FEW // 2 else present
    share = max(SHARED // (running + 1), LEAST)
    return present if present is not None and share // 2 <= present <= 2 * share else share
