"""How many streams to use for a file, found by trial.

It cannot be known in advance whether one stream uses all the bandwidth: a long link, a busy core or an object store behind the
server may limit each stream but not their sum. So a download begins with one stream. While much is left to fetch, it adds one
more stream, and keeps it if the total rate has risen. The first stream that gains nothing is removed, and the trials end.
"""

from __future__ import annotations

MOST_STREAMS = 8
"""Most streams to try: half of aria2's and rclone's upper limits, and twice their usual 4."""

_TRIAL = 1.0
"""Seconds of each trial: several round trips of a long link, so that the congestion window has time to grow."""

_WORTH = 15.0
"""Seconds that the rest must take at the present rate to justify a trial. A failed trial wastes the bytes in flight when its
stream ends: measured, 0.3 s on a link of 100 ms and 1 Gbit/s that one stream fills."""

_GAIN = 1.15
"""Factor by which one more stream must raise the total rate: above the noise of measurements on a busy machine."""


class Ramp:
    """Decides, while bytes arrive, how many streams there should be.

    Args:
        wanted: how many streams the user wants; None finds the number by trial.
        now: the time in seconds, on any monotonic clock.

    Attributes:
        streams: how many streams there should be now.
    """

    def __init__(self, wanted: int | None, now: float) -> None:
        self.streams = wanted or 1
        self._trying = wanted is None
        self._since = now
        self._received = 0
        self._rate = 0.0

    def advance(self, now: float, received: int, left: int | None) -> None:
        """Update `streams`, from the bytes received so far and the bytes left to fetch (None: unknown)."""
        if not self._trying or now - self._since < _TRIAL:
            return
        rate = (received - self._received) / (now - self._since)
        self._since, self._received = now, received
        if left is None or left < rate * _WORTH or self.streams == MOST_STREAMS:
            self._trying = False
        elif rate >= self._rate * _GAIN:
            self._rate = rate
            self.streams += 1
        else:
            self._trying = False
            self.streams -= 1
