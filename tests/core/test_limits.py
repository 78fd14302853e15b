"""The server's limits: rates, slots and block sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.limits import BlockSizes, Pace, Paces, Slots

MIB = 1 << 20


@given(
    rate=st.floats(0.5, 1e9),
    burst=st.floats(0, 1e9),
    takes=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1e9)), max_size=30),
)
def test_no_more_than_rate_and_burst_gets_through(rate: float, burst: float, takes: list[tuple[float, float]]) -> None:
    """A caller that waits as told never gets more than the burst plus the rate times the elapsed time."""
    pace = Pace(rate, burst)
    now = taken = 0.0
    for pause, amount in takes:
        now += pause
        now += pace.take(amount, now)
        taken += amount
        assert taken <= (burst + rate * now) * (1 + 1e-6) + 1e-6


@given(rate=st.floats(0.5, 1e6), amount=st.floats(0, 1e6), now=st.floats(0, 1e6))
def test_asking_takes_nothing(rate: float, amount: float, now: float) -> None:
    """`wait_for` returns what `take` would return, and changes nothing."""
    pace = Pace(rate, rate)
    asked = pace.wait_for(amount, now)
    assert pace.wait_for(amount, now) == asked
    assert pace.take(amount, now) == asked


def test_a_rest_is_worth_the_burst_and_no_more() -> None:
    """After any rest a burst goes through at once, and what exceeds it waits."""
    pace = Pace(rate=10, burst=20)
    assert pace.take(20, now=1000.0) == 0
    assert pace.take(10, now=1000.0) == 1.0
    assert pace.take(20, now=2000.0) == 0


def test_peers_do_not_share_a_pace() -> None:
    """Each peer has its own debt, and the peers that were used least recently are forgotten."""
    paces = Paces(rate=1, burst=1, most=2)
    assert paces.of("a").take(5, now=0.0) == 4
    assert paces.of("b").take(1, now=0.0) == 0
    assert paces.of("a").wait_for(1, now=0.0) == 5
    paces.of("c")  # forgets b, then a is the older one
    assert paces.of("a").wait_for(1, now=0.0) == 5
    assert paces.of("b").take(1, now=0.0) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_slots_are_never_exceeded_and_all_come_back(steps: list[tuple[str, bool]]) -> None:
    """Never more slots are used than allowed, in all or by one peer; a released slot can be used again."""
    slots = Slots(in_all=4, per_peer=2)
    held: list[str] = []
    for peer, take in steps:
        if take and slots.full_for(peer) is None:
            slots.take(peer)
            held.append(peer)
        elif not take and peer in held:
            slots.give_back(peer)
            held.remove(peer)
        assert slots.used == len(held) <= 4
        assert all(held.count(one) <= 2 for one in "abc")
        assert (slots.full_for(peer) is None) == (len(held) < 4 and held.count(peer) < 2)
    for peer in held:
        slots.give_back(peer)
    assert slots.full_for("a") is None


@given(
    budget=st.integers(MIB, 1 << 30),
    readers=st.lists(st.floats(0, 10), min_size=1, max_size=300),
)
def test_blocks_stay_within_the_budget_however_readers_behave(budget: int, readers: list[float]) -> None:
    """Whatever the readers do, a block is at most as large as its share of the budget, or has the smallest size."""
    sizes = BlockSizes(budget)
    streams = len(readers)
    for seconds in readers:
        size = sizes.first(MIB, streams, length=1 << 40)
        for _ in range(12):
            assert 1 <= size <= max(budget // BlockSizes.COPIES // streams, BlockSizes.SMALLEST)
            size = sizes.next(size, seconds, MIB, streams)


def test_a_prompt_reader_soon_gets_large_blocks_and_a_slow_one_never_does() -> None:
    """Blocks double for a reader that accepts them at once, and shrink to the smallest size for one that does not."""
    sizes = BlockSizes(64 * MIB)
    size = sizes.first(MIB, 1, length=1 << 40)
    assert size == 64 * 1024
    for _ in range(4):
        size = sizes.next(size, 0.001, MIB, 1)
    assert size == MIB
    for _ in range(10):
        size = sizes.next(size, 5.0, MIB, 1)
    assert size == BlockSizes.SMALLEST


@given(budget=st.integers(MIB, 1 << 30), streams=st.integers(0, 2000))
def test_the_largest_blocks_fit_into_segments(budget: int, streams: int) -> None:
    """The largest block size is a power of two for any number of streams, so no block crosses the edge of a segment."""
    assert BlockSizes(budget).largest(streams).bit_count() == 1


def test_many_streams_that_take_turns_get_large_blocks_all_the_same() -> None:
    """Waiting for the turn of other streams does not count as the reader's delay; not reading does."""
    sizes = BlockSizes(256 * MIB)
    size = sizes.first(MIB, 256, length=1 << 40)
    for _ in range(4):
        size = sizes.next(size, 0.05, MIB, 256)
    assert size == 256 * 1024
    for _ in range(10):
        size = sizes.next(size, 5.0, MIB, 256)
    assert size == BlockSizes.SMALLEST


def test_a_small_file_is_one_block() -> None:
    """A span that fits into one block is sent in one block, even to a reader whose speed is unknown."""
    assert BlockSizes(64 * MIB).first(MIB, 1, length=1_000_000) == 1_000_000
    assert BlockSizes(64 * MIB).first(MIB, 1, length=0) == 1


def test_a_client_may_ask_for_smaller_blocks_than_the_smallest() -> None:
    """If a client requests small blocks, every block is small."""
    sizes = BlockSizes(64 * MIB)
    size = sizes.first(1000, 1, length=1 << 40)
    assert size == 1000
    assert sizes.next(size, 0.0, 1000, 1) == 1000
    assert sizes.next(size, 9.0, 1000, 1) == 1000
