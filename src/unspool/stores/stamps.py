"""The resolution of a file's time stamps: how long a further write may leave the change time as it is."""

from __future__ import annotations

import time

TICK_NS = 20_000_000
"""Two changes that are at least this many nanoseconds apart get different time stamps. Linux before 6.13 stamps files with the
time of the last timer tick, up to 10 ms ago."""

_SECOND_NS = 1_000_000_000

COARSEST_NS = 2 * _SECOND_NS
"""The coarsest resolution of time stamps, that of FAT. Ext3, HFS+ and ext4 with inodes of 128 bytes have whole seconds."""


def seconds_until_a_write_shows(changed_ns: int) -> float:
    """Return how long to wait until any write gives a file another change time than this one. It is nearly always 0.

    Until then a write may leave the change time as it is, so a read could return bytes of two versions unnoticed. The clock of
    the file system may be ahead of ours, for example on a file server. So the wait is never longer than one step of the time
    stamp and a tick, which is enough whatever the clocks say.
    """
    age = time.time_ns() - changed_ns
    if age >= COARSEST_NS + TICK_NS:
        return 0.0
    until_another = _step_ns(changed_ns) + TICK_NS
    return min(until_another - age, until_another) / 1e9 if age < until_another else 0.0


def _step_ns(changed_ns: int) -> int:
    """Return the largest possible step to the next time stamp.

    No system call returns the resolution of time stamps. A time stamp that is not a whole second shows a fine resolution. One
    that is comes from a coarse file system or, with a chance of one in a billion, from a fine one; then the wait is needless
    but harmless.
    """
    if changed_ns % _SECOND_NS:
        return 0
    return _SECOND_NS if changed_ns % COARSEST_NS else COARSEST_NS
