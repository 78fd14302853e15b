"""Which bytes are asked for: laws over all readers and spans."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.spans import merge_spans, resolve
from unspool.filesystem.ahead import Ahead

SPANS = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)))


@given(SPANS, st.integers(0, 50), st.integers(1, 200))
def test_spans_fetched_together_have_every_span_once(spans: list[tuple[int, int]], gap: int, longest: int) -> None:
    """Each span that has bytes is in one request, which has all of it; gaps and lengths are as allowed."""
    merged = merge_spans(spans, gap, longest)
    assert sorted(index for one in merged for index in one.members) == [
        index for index, (start, stop) in enumerate(spans) if start < stop
    ]
    for one in merged:
        members = [spans[index] for index in one.members]
        assert (one.start, one.stop) == (min(start for start, _ in members), max(stop for _, stop in members))
        assert one.stop - one.start <= max(longest, *(stop - start for start, stop in members))
        wasted = set(range(one.start, one.stop)) - {byte for start, stop in members for byte in range(start, stop)}
        assert len(wasted) <= gap * (len(members) - 1)


@given(st.none() | st.integers(-20, 20), st.none() | st.integers(-20, 20), st.integers(0, 15))
def test_spans_mean_what_slices_mean(start: int | None, end: int | None, size: int) -> None:
    """A resolved span has the bytes that the same slice of the file's bytes has."""
    data = bytes(range(size))
    first, last = resolve(start, end, size)
    assert 0 <= first <= last <= max(size, first)
    assert data[first:last] == data[start:end]


class Fetched:
    """A file of 1000 bytes that counts what is fetched of it."""

    data = bytes(number % 251 for number in range(1000))

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def fetch(self, start: int, stop: int) -> bytes:
        """Return bytes of the file."""
        assert 0 <= start < stop <= len(self.data)
        self.spans.append((start, stop))
        return self.data[start:stop]


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 300))), st.integers(1, 200))
def test_reading_ahead_gives_the_right_bytes_and_little_more(reads: list[tuple[int, int]], most: int) -> None:
    """Whatever is read in whatever order, the bytes are right, with at most one request each, of at most `most` bytes more."""
    file = Fetched()
    ahead = Ahead(file.fetch, 1000, most)
    for start, length in reads:
        stop = min(start + length, 1000)
        before = len(file.spans)
        assert ahead.read(start, stop) == file.data[start:stop]
        assert len(file.spans) <= before + 1
        assert all(last - first <= length + most for first, last in file.spans[before:])


@given(st.lists(st.integers(1, 300), min_size=1), st.integers(1, 200))
def test_reads_apart_are_exact(lengths: list[int], most: int) -> None:
    """Reads that do not go on where the last one was fetch their bytes and no more."""
    file = Fetched()
    ahead = Ahead(file.fetch, 1000, most)
    for number, length in enumerate(lengths):
        start = (0, 500)[number % 2]
        ahead.read(start, start + length)
        assert file.spans[-1] == (start, start + length)


@given(st.integers(1, 50), st.integers(1, 2000))
def test_a_sequence_takes_few_fetches(step: int, most: int) -> None:
    """Small reads in sequence double what is fetched: their number grows with the logarithm of the file, then with `most`."""
    file = Fetched()
    ahead = Ahead(file.fetch, 1000, most)
    for start in range(0, 1000, step):
        ahead.read(start, min(start + step, 1000))
    assert sum(last - first for first, last in file.spans) == 1000
    if step < most:
        assert len(file.spans) <= 12 + 1000 / most
