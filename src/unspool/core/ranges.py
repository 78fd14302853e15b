"""Divides the missing bytes of one file into ranges, one for each stream.

Rule 1: a range belongs to one stream at a time, and no byte belongs to two ranges.
Rule 2: an idle stream takes the first waiting range. If none is waiting, it takes the second half of the range with the most
        bytes left.
Rule 3: a range is divided at the edge of a segment, so that the journal can say how far each range is good. It is divided only
        if both halves are at least a segment long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from unspool.core.checksum import crc32c
from unspool.core.model import Block


@dataclass(slots=True, eq=False)
class Range:
    """The bytes that one stream fetches. `stop` moves down while the stream runs if another stream takes the second half.

    Attributes:
        position: the next byte wanted; the fetching code advances it.
        stop: one past the last byte wanted; None while the file's size is unknown.
    """

    position: int
    stop: int | None

    @property
    def done(self) -> bool:
        """Whether the whole range was fetched."""
        return self.position == self.stop

    def cut(self, block: Block) -> Block:
        """Return the part of a verified block before `stop`, which may have moved since the block was requested."""
        if self.stop is None or block.end <= self.stop:
            return block
        data = memoryview(block.data)[: self.stop - block.offset]
        return Block(block.offset, data, crc32c(data))


class Ranges:
    """The ranges of one file.

    Args:
        missing: the missing spans, as pairs of the first byte and one past the last, or None if the end is not known yet.
        segment_size: ranges are divided at multiples of it.
    """

    def __init__(self, missing: Iterable[tuple[int, int | None]], segment_size: int) -> None:
        self._segment_size = segment_size
        self._waiting = [Range(start, stop) for start, stop in missing]
        self._assigned: list[Range] = []

    def known_to_end_at(self, size: int, segment_size: int) -> None:
        """Set the file's size, and the segment size that follows from it."""
        self._segment_size = segment_size
        for each in (*self._waiting, *self._assigned):
            if each.stop is None:
                each.stop = size

    @property
    def left(self) -> int | None:
        """Number of bytes still to be fetched; None if the file's size is unknown."""
        total = 0
        for each in (*self._waiting, *self._assigned):
            if each.stop is None:
                return None
            total += each.stop - each.position
        return total

    def take(self) -> Range | None:
        """Return a range for an idle stream, or None if no range is waiting or long enough to divide."""
        mine: Range | None
        if self._waiting:
            mine = self._waiting.pop(0)
        else:
            busiest = max(self._assigned, key=_length, default=None)
            mine = self._half(busiest) if busiest is not None else None
        if mine is not None:
            self._assigned.append(mine)
        return mine

    def give_back(self, assigned: Range) -> None:
        """Return a range. If it is not done, the rest of it waits for another stream."""
        self._assigned.remove(assigned)
        if not assigned.done:
            self._waiting.append(assigned)

    def _half(self, of: Range) -> Range | None:
        """Cut off the second half of a range and return it, if both halves are at least a segment long."""
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
