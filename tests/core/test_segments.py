"""The table of segments, against a model that knows each good byte by itself."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.served import Served, damaged
from unspool.core.checksum import crc32c
from unspool.core.model import Span
from unspool.core.segments import MAX_SEGMENTS, SEGMENT_SIZE, Segment, SegmentTable, segment_size_for

LARGEST = 60


@dataclass(frozen=True)
class Record:
    """A run of the file was written."""

    start: int
    stop: int


@dataclass(frozen=True)
class Append:
    """A run was written where the good part of a segment ends."""

    number: int
    length: int


@dataclass(frozen=True)
class Forget:
    """A segment turned out not to be good."""

    number: int


@dataclass(frozen=True)
class ForgetWithin:
    """Bytes are going to be written over."""

    start: int
    stop: int


Step: TypeAlias = Record | Append | Forget | ForgetWithin

offsets = st.integers(0, LARGEST)
spans = st.tuples(offsets, offsets).map(sorted)
steps = st.one_of(
    spans.map(lambda ends: Record(*ends)),
    st.builds(Append, st.integers(0, 10), st.integers(1, 20)),
    st.builds(Append, st.integers(0, 10), st.integers(1, 20)),
    st.integers(0, 10).map(Forget),
    spans.map(lambda ends: ForgetWithin(*ends)),
)


class Model:
    """A set of good bytes."""

    def __init__(self, segment_size: int) -> None:
        self.segment_size = segment_size
        self.good: set[int] = set()

    def record(self, start: int, stop: int) -> bool:
        """Note a run: each byte becomes good if all before it in its segment are; return whether a segment became full."""
        completed = False
        for number, run in itertools.groupby(range(start, stop), lambda at: at // self.segment_size):
            first = number * self.segment_size
            part = list(run)
            if part[0] not in self.good and self.good.issuperset(range(first, part[0])):
                self.good.update(part)
                completed |= self.good.issuperset(range(first, first + self.segment_size))
        return completed

    def forget(self, number: int) -> None:
        """Forget a segment."""
        self.good.difference_update(range(number * self.segment_size, (number + 1) * self.segment_size))

    def forget_within(self, start: int, stop: int) -> None:
        """Forget every segment of which a good byte is among these."""
        for number in {at // self.segment_size for at in self.good & set(range(start, stop))}:
            self.forget(number)

    def gaps(self, size: int) -> list[Span]:
        """Return the runs that are not good."""
        missing = [at for at in range(size) if at not in self.good]
        starts = [at for at in missing if at - 1 not in missing]
        stops = [at + 1 for at in missing if at + 1 not in missing]
        return [Span(start, stop) for start, stop in zip(starts, stops, strict=True)]


@settings(max_examples=3 * settings().max_examples)
@given(st.binary(min_size=LARGEST, max_size=LARGEST), st.integers(1, 16), st.lists(steps, max_size=20), st.integers(0, LARGEST))
def test_the_table_knows_what_a_set_of_bytes_would_know(data: bytes, segment_size: int, todo: list[Step], size: int) -> None:
    """After blocks of any size in any order, and forgetting: the same good bytes, gaps and checksums as byte by byte."""
    file = Served(data)
    table, model = SegmentTable(segment_size), Model(segment_size)
    for step in todo:
        match step:
            case Record(start, stop):
                assert table.record(file.block(start, stop)) == model.record(start, stop)
            case Append(number, length):
                start = min(table.span_of(number).stop, LARGEST)
                stop = min(start + length, LARGEST)
                assert table.record(file.block(start, stop)) == model.record(start, stop)
            case Forget(number):
                table.forget(number)
                model.forget(number)
            case ForgetWithin(start, stop):
                table.forget_within(Span(start, stop))
                model.forget_within(start, stop)
        claimed = {at for number in table.segments for at in range(table.span_of(number).start, table.span_of(number).stop)}
        assert claimed == model.good
        assert table.good_bytes == len(model.good)
    for number, segment in table.segments.items():
        span = table.span_of(number)
        assert segment == Segment(span.length, crc32c(data[span.start : span.stop]))
    gaps = model.gaps(size)
    assert list(table.gaps(size)) == gaps
    assert table.first_gap(size) == next(iter(gaps), None)
    unbroken = next(at for at in itertools.count() if at not in model.good)
    assert table.first_gap(None) == Span(unbroken, unbroken)
    # A segment that is good beyond the size says nothing about the checksum up to it.
    beyond = size % segment_size and size in model.good
    assert table.checksum(size) == (None if gaps or beyond else crc32c(data[:size]))


def test_a_damaged_block_over_an_edge_does_not_spread_its_checksum() -> None:
    """A block over a segment's edge is summed again in parts: each segment's checksum is of its own bytes."""
    file = Served(bytes(range(32)))
    table = SegmentTable(16)
    assert table.record(file.block(0, 20))
    assert table.segments == {0: Segment(16, crc32c(file.data[:16])), 1: Segment(4, crc32c(file.data[16:20]))}


@pytest.mark.parametrize("length", [10, 16])
def test_the_checksum_of_a_block_within_a_segment_is_believed(length: int) -> None:
    """No byte is summed twice: the table uses the checksum of a block that lies within one segment."""
    table = SegmentTable(16)
    block = Served().block(0, length)
    table.record(damaged(block))
    assert table.segments == {0: Segment(length, block.crc32c)}


def test_an_empty_block_records_nothing() -> None:
    """No segment has a good part of length 0: there is a journal's rule against it."""
    table = SegmentTable(16)
    assert not table.record(Served().block(0, 0))
    assert table.segments == {}


def test_the_tables_copy_is_a_copy() -> None:
    """What the table gave or was given can be changed without changing it."""
    given_segments = {0: Segment(1, 2)}
    table = SegmentTable(16, given_segments)
    given_segments.clear()
    table.segments.clear()
    assert table.segments == {0: Segment(1, 2)}
    assert table.good_bytes == 1


@given(st.integers(0, 2**63 - 1))
def test_the_segment_size_is_the_smallest_that_keeps_the_table_small(size: int) -> None:
    """A power of two of at least 16 MiB, no larger than is needed for 4096 segments."""
    segment_size = segment_size_for(size)
    assert segment_size.bit_count() == 1
    assert segment_size >= SEGMENT_SIZE
    assert size <= segment_size * MAX_SEGMENTS
    assert segment_size == SEGMENT_SIZE or size > segment_size // 2 * MAX_SEGMENTS


@pytest.mark.parametrize(
    ("size", "segment_size"),
    [(None, 16 << 20), (0, 16 << 20), (64 << 30, 16 << 20), ((64 << 30) + 1, 32 << 20), (2**63 - 1, 1 << 51)],
)
def test_the_segment_sizes_at_the_edges(size: int | None, segment_size: int) -> None:
    """16 MiB up to 64 GiB of file, and if the size is not known; then it doubles."""
    assert segment_size_for(size) == segment_size


def test_a_good_part_is_found_by_where_its_segment_begins() -> None:
    """`good_at` finds the good part of the segment that begins there, and nothing anywhere else."""
    table = SegmentTable(10, {1: Segment(4, 7)})
    assert table.good_at(10) == Segment(4, 7)
    assert table.good_at(0) is table.good_at(12) is table.good_at(20) is None


@pytest.mark.timeout(10)
def test_a_size_or_span_that_no_disk_has_is_no_work() -> None:
    """The other side chooses sizes and spans: those near 2^63 are answered at once, and rightly."""
    table = SegmentTable(16, {0: Segment(16, 1), 3: Segment(4, 2)})
    assert list(table.gaps(2**63 - 1)) == [Span(16, 48), Span(52, 2**63 - 1)]
    assert table.first_gap(2**63 - 1) == Span(16, 48)
    assert table.checksum(2**63 - 1) is None
    assert not table.covers(Span(0, 2**63 - 1))
    table.forget_within(Span(16, 2**63 - 1))
    assert table.segments == {0: Segment(16, 1)}
