"""What is known of a file's bytes: a table of segments, each with how much of it is good and the CRC32C of that much.

Rule 1: a segment is good from its own start, without a hole; its length says how far.
Rule 2: runs may arrive in any order of segments (parallel parts, repairs), but within one segment in order. What cannot be
        joined to its segment is not recorded: knowing less is always safe.
Rule 3: the checksum of the whole is combined from the segments; no byte is summed twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from unspool.core.checksum import combine, crc32c
from unspool.core.model import Block, Span
from unspool.core.value import value

SEGMENT_SIZE = 16 << 20
"""Smallest segment: what a kill may cost at most, and (at 2 GB/s) 8 ms to check again on resume."""

MAX_SEGMENTS = 4096
"""Most segments of a file of known size: keeps its journal below 128 KiB up to 16 TiB of file (3 ms to write anew, at most)."""


def segment_size_for(size: int | None) -> int:
    """Return the segment size for a file of `size` bytes (None: unknown): a power of two, 16 MiB up to 64 GiB of file."""
    segment_size = SEGMENT_SIZE
    while size is not None and size > segment_size * MAX_SEGMENTS:
        segment_size *= 2
    return segment_size


@value
class Segment:
    """The good part of a segment: its length in bytes from the segment's start (never 0) and its CRC32C."""

    length: int
    crc32c: int


class SegmentTable:
    """The good bytes of one file.

    Args:
        segment_size: bytes per segment; the last one of the file may be shorter.
        segments: what is known already, by segment number.
    """

    def __init__(self, segment_size: int, segments: dict[int, Segment] | None = None) -> None:
        self.segment_size = segment_size
        self._segments = dict(segments or {})
        # Counted along: it is asked for with every block, and from another thread than the one that records.
        self._good_bytes = sum(segment.length for segment in self._segments.values())

    @property
    def segments(self) -> dict[int, Segment]:
        """A copy of the table: segment number to its good part."""
        return dict(self._segments)

    @property
    def good_bytes(self) -> int:
        """How many bytes are known to be good."""
        return self._good_bytes

    def span_of(self, number: int) -> Span:
        """Return the bytes of the file that are the good part of segment `number`."""
        start = number * self.segment_size
        known = self._segments.get(number)
        return Span(start, start + (known.length if known else 0))

    def record(self, block: Block) -> bool:
        """Note a run of good bytes; return whether it completed a segment.

        The block's checksum is believed. A block that reaches over a segment's edge is summed again in parts.
        """
        number, within = divmod(block.offset, self.segment_size)
        if within + len(block.data) <= self.segment_size:
            return self._extend(number, within, len(block.data), block.crc32c)
        completed = False
        data = memoryview(block.data)
        while data:
            part = data[: self.segment_size - within]
            completed |= self._extend(number, within, len(part), crc32c(part))
            data = data[len(part) :]
            number, within = number + 1, 0
        return completed

    def _extend(self, number: int, within: int, length: int, checksum: int) -> bool:
        known = self._segments.get(number)
        good = known.length if known else 0
        if within != good or not length:
            return False
        self._segments[number] = Segment(good + length, combine(known.crc32c if known else 0, checksum, length))
        self._good_bytes += length
        return good + length == self.segment_size

    def forget(self, number: int) -> None:
        """Take a segment for not good after all."""
        known = self._segments.pop(number, None)
        if known is not None:
            self._good_bytes -= known.length

    def forget_within(self, span: Span) -> None:
        """Take for not good every segment whose good part reaches into `span`."""
        for number in range(span.start // self.segment_size, -(-span.stop // self.segment_size)):
            if span.length and span.start < self.span_of(number).stop:
                self.forget(number)

    def gaps(self, size: int) -> Iterator[Span]:
        """Yield, in order, the spans of a file of `size` bytes that are not known to be good; neighbours are joined."""
        start = None
        position = 0
        number = 0
        while position < size:
            stop = min(position + self.segment_size, size)
            known = self._segments.get(number)
            good_to = min(position + known.length, stop) if known else position
            if good_to > position and start is not None:
                yield Span(start, position)
                start = None
            if good_to < stop and start is None:
                start = good_to
            position, number = stop, number + 1
        if start is not None:
            yield Span(start, size)

    def first_gap(self, size: int | None) -> Span | None:
        """Return the first span that is not known to be good, or None.

        With `size` None (unknown) the span is empty and marks where the unbroken good bytes from the file's start end.
        """
        if size is not None:
            return next(self.gaps(size), None)
        position = number = 0
        while (known := self._segments.get(number)) is not None:
            position += known.length
            if known.length < self.segment_size:
                break
            number += 1
        return Span(position, position)

    def checksum(self, size: int) -> int | None:
        """Return the CRC32C of the whole file of `size` bytes; None while a gap is left, or if the last segment goes beyond."""
        if self.first_gap(size) is not None:
            return None
        whole = length = 0
        for number in range(-(-size // self.segment_size)):
            segment = self._segments[number]
            whole = combine(whole, segment.crc32c, segment.length)
            length += segment.length
        return whole if length == size else None
