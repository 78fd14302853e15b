"""The client's rate limit.

When the client pauses reading a stream, HTTP/2 flow control makes the server wait. So the limit needs no help from the server.
"""

from __future__ import annotations

import math

from unspool.core.blocksizing import SMALLEST, USUAL, power_of_two
from unspool.core.limits import Pace
from unspool.errors import InvalidRequestError

_BURST = 0.25
"""The burst after a pause, in seconds' worth of bytes. The server's limits use the same."""

_BLOCKS = 4
"""The least number of blocks per second. Bytes arrive in whole blocks, so smaller blocks keep progress visible at low rates."""


class RateLimit:
    """Limits the bytes per second of all streams, files and clients that share this object, taken together.

    Args:
        rate: bytes per second.

    Attributes:
        rate: as given.
        block_size: the largest block to request at this rate, in bytes; None leaves it to the server.

    Raises:
        InvalidRequestError: `rate` is not a positive number.
    """

    def __init__(self, rate: float) -> None:
        if not 0 < rate < math.inf:
            raise InvalidRequestError(f"a rate of {rate} bytes a second makes no sense: it must be greater than 0")
        self.rate = rate
        self._pace = Pace(rate, burst=rate * _BURST)
        size = power_of_two(rate / _BLOCKS)
        self.block_size = None if size >= USUAL else max(size, SMALLEST)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.rate:g})"

    def take(self, size: int, now: float) -> float:
        """Count `size` bytes that arrived at time `now` (seconds); return the seconds to wait before reading more."""
        return self._pace.take(size, now)
