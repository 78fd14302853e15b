"""The block size that a client asks for: the server's choice, unless a block of that size would not arrive within the timeout.

A block counts only when all of it has arrived. On a slow connection a block of the usual size takes longer than the idle
timeout, so every attempt stalls and its bytes are lost. The server does not notice, because buffers on the way take its blocks;
only the client sees what arrives.

Rule 1: a block should take an eighth of the idle timeout. If the largest so far took more than a quarter, the client asks for
        smaller blocks at once. That loses few bytes in flight, because the connection is slow.
Rule 2: after a stall the client asks for smaller blocks. The size follows from the bytes that had arrived; if there were none,
        it is an eighth of the size before.
Rule 3: when the connection turns out to be much faster, the client asks for larger blocks. So a stall on a fast connection, as
        when the server restarts, costs only a quarter of a second of small blocks.
"""

from __future__ import annotations

SMALLEST = 1024
"""Bytes. In smaller blocks the overhead dominates. Within 30 s, one block of this size arrives even at 34 bytes a second."""

USUAL = 1 << 20
"""Bytes. Servers send blocks of this size, so from here on the client leaves the size to the server again."""

_FIRST = 64 * 1024
"""Bytes. The first block that a server sends by default, so what is missing if a stream stalls before any block arrives."""

_SURE = 0.25
"""Seconds that the client must have waited for blocks before it trusts a high rate and asks for larger ones."""


class BlockSizing:
    """Chooses the block size to ask for, from the blocks that arrive.

    Args:
        most: upper limit of the block size; None leaves it to the server.
        idle_timeout: seconds within which a block must arrive.

    Attributes:
        size: the largest block to ask for now; None leaves it to the server.
    """

    def __init__(self, most: int | None, idle_timeout: float) -> None:
        self.size = most
        self._most = most
        self._idle_timeout = idle_timeout
        self.begin()

    @property
    def small(self) -> bool:
        """Whether the size is below the limit, because the connection is slow."""
        return self.size != self._most

    def begin(self) -> None:
        """Begin to measure anew."""
        self._waited = 0.0
        self._bytes = self._largest = 0

    def received(self, size: int, waited: float) -> bool:
        """Record a block of `size` bytes that took `waited` seconds; return whether to make a new request with another size."""
        self._waited += waited
        self._bytes += size
        self._largest = max(self._largest, size)
        in_time = self._bytes * self._idle_timeout  # divided by the seconds waited: bytes that arrive within the timeout
        if self._largest * self._waited > in_time / 4:
            return self._shrink(in_time / self._waited / 8)
        if self.size is not None and self.small and self._waited >= _SURE and in_time / self._waited / 8 >= 8 * self.size:
            return self._grow(in_time / self._waited / 8)
        if self._waited > self._idle_timeout / 4:
            self.begin()  # the rate may have changed, so forget old measurements
        return False

    def stalled(self) -> None:
        """Record that no block arrived within the idle timeout."""
        if self._bytes:
            self._shrink(self._bytes * self._idle_timeout / (self._waited + self._idle_timeout) / 8)
        else:
            self._shrink((self.size or _FIRST) / 8)
        self.begin()

    def _shrink(self, size: float) -> bool:
        smaller = max(power_of_two(size), SMALLEST)
        if smaller >= (USUAL if self.size is None else self.size):
            return False
        self.size = smaller
        return True

    def _grow(self, size: float) -> bool:
        larger = power_of_two(size)
        self.size = self._most if larger >= (self._most or USUAL) else larger
        return True


def power_of_two(size: float) -> int:
    """Return the largest power of two that is not above `size`. Segment sizes are powers of two, too."""
    return 1 << max(int(size), 1).bit_length() - 1
