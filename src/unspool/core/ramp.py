"""How many streams are enough: found out by trying.

Nothing tells beforehand whether one stream fills the way to the server: a long link, a busy core or an object store behind it
may hold back each stream and not their sum. So one stream begins; while there is much left, another is tried, and stays if
the whole has become faster by it. The first try that brings nothing is taken back, and the last.
"""

from __future__ import annotations

MOST_STREAMS = 8
"""Most streams it will try: half of aria2's and rclone's upper limits, twice their usual 4."""

_TRIAL = 1.0
"""Seconds after which a number of streams is judged: some round trips of a long link, and its congestion window has grown."""

_WORTH = 15.0
"""Seconds that the rest must take, at the present speed, for another stream to be worth its trial, which costs what is on the
way to it when it is ended: 0.3 s on a link of 100 ms and 1 Gbit/s that one stream fills, measured."""

_GAIN = 1.15
"""How much faster the whole must have become by one stream more: above what measurements on a busy machine differ by."""


class Ramp:
    """Decides, while bytes arrive, how many streams there should be.

    Args:
        wanted: how many the user wants; None finds out.
        now: the time, in seconds on any clock that does not go back.

    Attributes:
        streams: how many there should be now.
    """

    def __init__(self, wanted: int | None, now: float) -> None:
        self.streams = wanted or 1
        self._trying = wanted is None
        self._since = now
        self._received = 0
        self._rate = 0.0

    def advance(self, now: float, received: int, left: int | None) -> None:
        """Take note of the bytes received so far and left to fetch (None: unknown)."""
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
