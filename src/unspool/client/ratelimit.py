"""How fast a client takes bytes, limited by itself.

A client that takes no bytes from a stream for a while holds up the server by HTTP/2's flow control, so nothing has to be agreed
upon with the server.
"""

from __future__ import annotations

import math

from unspool.core.limits import Pace
from unspool.core.wish import SMALLEST, USUAL, power_of_two
from unspool.errors import InvalidRequestError

_BURST = 0.25
"""Seconds' worth that may be taken at once after a pause; as the server's own limits have it."""

_BLOCKS = 4
"""Blocks a second, at least: what is taken comes in steps of a block, and progress should be seen."""


class RateLimit:
    """At most so many bytes a second, in all, for everything that has this object: streams, files, clients.

    Args:
        rate: bytes per second.

    Attributes:
        block_size: the largest block to ask for at this rate, bytes; None leaves it to the server.

    Raises:
        InvalidRequestError: `rate` is not a positive number.
    """

    def __init__(self, rate: float) -> None:
        if not 0 < rate < math.inf:
            raise InvalidRequestError(f"a rate of {rate} bytes a second makes no sense: it must be greater than 0")
        self._pace = Pace(rate, burst=rate * _BURST)
        size = power_of_two(rate / _BLOCKS)
        self.block_size = None if size >= USUAL else max(size, SMALLEST)

    def take(self, size: int, now: float) -> float:
        """Take bytes that have arrived at that time, in seconds; return the seconds to wait before taking more."""
        return self._pace.take(size, now)
