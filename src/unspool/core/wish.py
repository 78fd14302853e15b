"""How large the blocks are to be that a client asks for: as large as the server likes, as long as each of them comes in time.

A block counts when all of it is here. On a slow way one of the usual size takes longer than a stall does, and comes again and
again in vain; and whatever stands in buffers on the way hides that from the server. Only the client sees what arrives.

Rule 1: a block should take an eighth of the idle timeout, and if the largest so far took more than a quarter, smaller ones are
        asked for at once: what is on its way by then is little, for the way is slow.
Rule 2: after a stall, smaller ones are asked for: as what had arrived suggests, or an eighth if nothing had.
Rule 3: when the way turns out to carry much more, larger ones are asked for. A stall on a fast way, of a server that was
        restarted, say, costs a quarter of a second of small blocks.
"""

from __future__ import annotations

SMALLEST = 1024
"""Bytes. Below it a block is hardly more than what is around it; with 30 s for each, it comes over 34 bytes a second."""

USUAL = 1 << 20
"""Bytes. From here on it is left to the server again, for that is what servers send."""

_FIRST = 64 * 1024
"""Bytes of the first block of a server that is not told: what did not come, if nothing did."""

_SURE = 0.25
"""Seconds of waiting after which a speed is believed that asks for larger blocks."""


class BlockWish:
    """Watches what arrives, and decides how large the blocks are to be that are asked for.

    Args:
        most: the largest that is wanted in any case; None leaves it to the server.
        idle_timeout: seconds within which a block must come.

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
        """Whether smaller blocks are asked for than is wanted."""
        return self.size != self._most

    def begin(self) -> None:
        """Take note that blocks of that size are asked for now."""
        self._waited = 0.0
        self._bytes = self._largest = 0

    def received(self, size: int, waited: float) -> bool:
        """Take note of a block, and of the seconds it was waited for; return whether to ask anew, for other sizes."""
        self._waited += waited
        self._bytes += size
        self._largest = max(self._largest, size)
        in_time = self._bytes * self._idle_timeout  # over the seconds waited: what comes within a timeout
        if self._largest * self._waited > in_time / 4:
            return self._shrink(in_time / self._waited / 8)
        if self.size is not None and self.small and self._waited >= _SURE and in_time / self._waited / 8 >= 8 * self.size:
            return self._grow(in_time / self._waited / 8)
        if self._waited > self._idle_timeout / 4:
            self.begin()  # what was long ago says little of now
        return False

    def stalled(self) -> None:
        """Take note that nothing came for as long as is waited."""
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
    """Return the power of two at or below a size, as segments are."""
    return 1 << max(int(size), 1).bit_length() - 1
