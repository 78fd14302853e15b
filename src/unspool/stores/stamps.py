"""Time stamps of a file, and how long a further write may leave them as they are."""

from __future__ import annotations

import time

TICK_NS = 20_000_000
"""After this many nanoseconds a change gets another time stamp than the one before it. Linux before 6.13 stamps files with the
time of the last timer tick, up to 10 ms ago."""

_SECOND_NS = 1_000_000_000

COARSEST_NS = 2 * _SECOND_NS
"""The longest step between two time stamps: that of FAT. Ext3, HFS+ and ext4 with inodes of 128 bytes have whole seconds."""


def seconds_until_a_write_shows(changed_ns: int) -> float:
    """Return how long to wait until a write gives a file another change time than this one; nearly always not at all.

    Until then a write could leave no trace, so what is read before may be of two versions. The file system's clock may be ahead
    of ours, as a file server's can be: from any look at the time stamp on, a step and a tick are enough.
    """
    age = time.time_ns() - changed_ns
    if age >= COARSEST_NS + TICK_NS:
        return 0.0
    until_another = _step_ns(changed_ns) + TICK_NS
    return min(until_another - age, until_another) / 1e9 if age < until_another else 0.0


def _step_ns(changed_ns: int) -> int:
    """Return how far the next time stamp may be from this one.

    No call tells how fine a file system's time stamps are. One that is not a whole second shows that they are finer. One that
    is comes from a coarse file system, or by a chance of one in a billion from a fine one: that costs a wait, and no more.
    """
    if changed_ns % _SECOND_NS:
        return 0
    return _SECOND_NS if changed_ns % COARSEST_NS else COARSEST_NS
