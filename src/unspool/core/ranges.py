"""Who fetches what: the missing bytes of one file, divided among streams.

Rule 1: a range belongs to one stream at a time, and no byte to two ranges.
Rule 2: who has nothing left gets the first that nobody has; if there is none, the second half of the one with the most left.
Rule 3: a range is divided at the edge of a segment, and only if both halves are worth a stream: so that of every range the
        journal can say how far it is good.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unspool.core.checksum import crc32c
from unspool.core.model import Block


@dataclass(slots=True, eq=False)
class Range:
    """What one stream is to fetch. Its end may move towards its start while it runs, when somebody takes half of it.

    Attributes:
        position: the next byte wanted; whoever fetches moves it on.
        stop: one past the last byte wanted; None while nobody knows where the file ends.
    """

    position: int
    stop: int | None

    @property
    def done(self) -> bool:
        """Whether all of it was fetched."""
        return self.position == self.stop

    def cut(self, block: Block) -> Block:
        """Return as much of a verified block as lies before the end, which may have moved while it came."""
        if self.stop is None or block.end <= self.stop:
            return block
        data = memoryview(block.data)[: self.stop - block.offset]
        return Block(block.offset, data, crc32c(data))


class Ranges:
    """The ranges of one file.

    Args:
        missing: what is missing, as pairs of the first byte and one past the last; None for where nobody knows the end yet.
        segment_size: where ranges are divided: at its multiples.
    """

    def __init__(self, missing: Iterable[tuple[int, int | None]], segment_size: int) -> None:
        self._segment_size = segment_size
        self._waiting = [Range(start, stop) for start, stop in missing]
        self._taken: list[Range] = []

    def known_to_end_at(self, size: int, segment_size: int) -> None:
        """Take note of the file's size, and of the size of the segments that follows from it."""
        self._segment_size = segment_size
        for each in (*self._waiting, *self._taken):
            if each.stop is None:
                each.stop = size

    @property
    def left(self) -> int | None:
        """How many bytes are still to be fetched; None if nobody knows."""
        total = 0
        for each in (*self._waiting, *self._taken):
            if each.stop is None:
                return None
            total += each.stop - each.position
        return total

    def take(self) -> Range | None:
        """Return a range for a stream that has none, or None if there is none worth it."""
        mine: Range | None
        if self._waiting:
            mine = self._waiting.pop(0)
        else:
            busiest = max(self._taken, key=_length, default=None)
            mine = self._half(busiest) if busiest is not None else None
        if mine is not None:
            self._taken.append(mine)
        return mine

    def give_back(self, taken: Range) -> None:
        """Let go of a range: what is left of it is for others."""
        self._taken.remove(taken)
        if not taken.done:
            self._waiting.append(taken)

    def _half(self, of: Range) -> Range | None:
        """Take the second half of a range, if it and what stays are a segment each at least."""
        if of.stop is None:
            return None
        size = self._segment_size
        middle = (of.position + of.stop) // 2
        edge = (middle + size // 2) // size * size
        if edge - of.position < size or of.stop - edge < size:
            return None
        half = Range(edge, of.stop)
        of.stop = edge
        return half


def _length(of: Range) -> float:
    return float("inf") if of.stop is None else of.stop - of.position
