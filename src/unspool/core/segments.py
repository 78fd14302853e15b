"""Which bytes of a file are good: a table of segments, each with the length and the CRC32C of its good part.

Rule 1: the good part of a segment begins at the segment's start and has no hole.
Rule 2: segments may fill in any order (parallel streams, repairs), but the bytes within a segment must arrive in order. A run
        that does not continue the good part is not recorded: it is always safe to know less.
Rule 3: the checksum of the whole file is combined from those of the segments; no byte is summed twice.
"""

from __future__ import annotations

from collections.abc import Iterator

from unspool.core.checksum import combine, crc32c
from unspool.core.model import Block, Span
from unspool.core.value import value

SEGMENT_SIZE = 16 << 20
"""Smallest segment, in bytes: the most that a kill may cost. Checking it again on resume takes 8 ms at 2 GB/s."""

MAX_SEGMENTS = 4096
"""Most segments of a file of known size: keeps the journal of a file of up to 16 TiB below 128 KiB (at most 3 ms to write)."""


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
        segment_size: bytes per segment; the last segment of the file may be shorter.
        segments: the known good parts, by segment number.
    """

    def __init__(self, segment_size: int, segments: dict[int, Segment] | None = None) -> None:
        self.segment_size = segment_size
        self._segments = dict(segments or {})
        # Kept as a running total, because it is read for every block, and from another thread than the one that records.
        self._good_bytes = sum(segment.length for segment in self._segments.values())

    @property
    def segments(self) -> dict[int, Segment]:
        """A copy of the table: the good part of each segment, by segment number."""
        return dict(self._segments)

    @property
    def good_bytes(self) -> int:
        """Number of bytes that are known to be good."""
        return self._good_bytes

    def span_of(self, number: int) -> Span:
        """Return the span of the good part of segment `number`."""
        start = number * self.segment_size
        known = self._segments.get(number)
        return Span(start, start + (known.length if known else 0))

    def good_at(self, position: int) -> Segment | None:
        """Return the good part of the segment that begins at `position`; None if none does, or if it has no good part."""
        number, within = divmod(position, self.segment_size)
        return None if within else self._segments.get(number)

    def record(self, block: Block) -> bool:
        """Record a verified block; return whether it completed a segment.

        The block's checksum is not computed again, unless the block crosses the edge of a segment: then each part is summed.
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
        """Mark a segment as not good."""
        known = self._segments.pop(number, None)
        if known is not None:
            self._good_bytes -= known.length

    def restore(self, number: int, segment: Segment) -> None:
        """Say what is good of a segment, instead of what was known of it."""
        self.forget(number)
        self._segments[number] = segment
        self._good_bytes += segment.length

    def forget_within(self, span: Span) -> None:
        """Mark as not good every segment whose good part overlaps `span`. The other side may choose the span: see `gaps`."""
        within = range(span.start // self.segment_size, -(-span.stop // self.segment_size))
        some = within if len(within) <= len(self._segments) else [number for number in self._segments if number in within]
        for number in some:
            if span.length and span.start < self.span_of(number).stop:
                self.forget(number)

    def covers(self, span: Span) -> bool:
        """Whether all bytes of a span, which is not empty, are known to be good."""
        size = self.segment_size
        return all(
            self.span_of(number).stop >= min(span.stop, (number + 1) * size)
            for number in range(span.start // size, -(-span.stop // size))
        )

    def gaps(self, size: int) -> Iterator[Span]:
        """Yield, in order, the spans of a file of `size` bytes that are not known to be good. Adjacent spans are merged.

        The other side may choose `size`, so the work depends on how many segments there are, not on how many there could be.
        """
        position = 0
        for number in sorted(self._segments):
            good = self.span_of(number)
            if good.start >= size:
                break
            if position < good.start:
                yield Span(position, good.start)
            position = max(position, good.stop)
        if position < size:
            yield Span(position, size)

    def first_gap(self, size: int | None) -> Span | None:
        """Return the first span that is not known to be good, or None.

        If `size` is None (unknown), the span is empty and lies where the good bytes from the file's start end.
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
        """Return the CRC32C of the file of `size` bytes; None if a gap is left, or if the last segment goes beyond `size`."""
        if self.first_gap(size) is not None:
            return None
        whole = length = 0
        for number in range(-(-size // self.segment_size)):
            segment = self._segments[number]
            whole = combine(whole, segment.crc32c, segment.length)
            length += segment.length
        return whole if length == size else None
