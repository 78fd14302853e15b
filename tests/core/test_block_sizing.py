"""How large blocks are asked for: what holds on every way there is, slow or fast."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.blocksizing import BlockSizing

KIB = 1 << 10
MIB = 1 << 20
IDLE = 30.0

FIRST = 64 * KIB
"""The first block of a server that is not told otherwise; each next one is twice as long, to a mebibyte."""


@dataclass
class Way:
    """A way to a server: so many bytes a second, and nothing that comes in pieces counts before all of it is here.

    Attributes:
        stalls: how often nothing came within the idle timeout.
        asked: how often blocks of another size were asked for in the middle of a stream.
        sizes: those that were asked for.
        lost: bytes that came in vain.
    """

    rate: float
    stalls: int = 0
    asked: int = 0
    lost: float = 0

    def carry(self, size: int, sizing: BlockSizing) -> None:
        """Have so many bytes come."""
        self.sizes = [sizing.size]
        while size:
            size = self._attempt(size, sizing)
            self.sizes.append(sizing.size)

    def _attempt(self, size: int, sizing: BlockSizing) -> int:
        sizing.begin()
        block = FIRST
        while size:
            length = min(block, sizing.size or MIB, size)
            if length / self.rate > IDLE:
                self.stalls += 1
                self.lost += IDLE * self.rate
                sizing.stalled()
                return size
            size -= length
            if sizing.received(length, length / self.rate) and size:
                self.asked += 1
                return size
            block = min(block * 2, MIB)
        return 0


@given(st.floats(50, 1e6), st.integers(1, 20 * MIB))
def test_everything_comes_on_any_way(rate: float, size: int) -> None:
    """At 50 bytes a second or more: at most three stalls, a few more requests, and few lost bytes."""
    way = Way(rate)
    way.carry(size, BlockSizing(None, IDLE))
    assert way.stalls <= 3
    assert way.asked <= 4
    assert way.lost <= 3 * FIRST


@given(st.floats(300e3, 1e10), st.integers(1, 50 * MIB))
def test_a_fast_way_is_left_alone(rate: float, size: int) -> None:
    """If a mebibyte arrives within a few seconds, no request is ever repeated."""
    way = Way(rate)
    way.carry(size, BlockSizing(None, IDLE))
    assert (way.stalls, way.asked, way.sizes) == (0, 0, [None, None])


@given(st.integers(1, 5), st.floats(1e6, 1e8))
def test_a_stall_costs_a_fast_way_little(stalls: int, rate: float) -> None:
    """A server that is silent, however often, and then fast again: a quarter of a second of small blocks, then as before."""
    sizing = BlockSizing(None, IDLE)
    for _ in range(stalls):
        sizing.stalled()
    way = Way(rate)
    small = rate / 4 + 2 * FIRST  # bytes within that time
    way.carry(int(10 * small), sizing)
    assert sizing.size is None
    assert not sizing.small
    assert (way.stalls, way.asked) == (0, 1)


@given(st.integers(1 * KIB, 2 * MIB), st.lists(st.floats(50, 1e9), min_size=1, max_size=6))
def test_never_more_than_wanted_is_asked_for(most: int, rates: list[float]) -> None:
    """A client with a block size limit never asks for larger blocks, whatever the rate."""
    sizing = BlockSizing(most, IDLE)
    for rate in rates:
        way = Way(rate)
        way.carry(MIB, sizing)
        assert all(size is not None and size <= most for size in way.sizes)


@given(st.floats(50, 1e5), st.floats(1e6, 1e7))
def test_a_way_that_becomes_fast_is_used_as_such(slow: float, fast: float) -> None:
    """What was learned on a slow way is forgotten on a fast one."""
    sizing = BlockSizing(None, IDLE)
    Way(slow).carry(200 * KIB, sizing)
    Way(fast).carry(int(20 * fast), sizing)
    assert sizing.size is None
