"""Ranges: however streams take ranges, advance and return them, every missing byte is fetched, by exactly one stream."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.served import Served
from unspool.core.ranges import Range, Ranges

SEGMENT = 8

gaps = st.lists(st.integers(1, 60), max_size=8).map(
    lambda lengths: [(sum(lengths[:at]), sum(lengths[: at + 1])) for at in range(0, len(lengths), 2)]
)
"""Missing spans with other bytes between them."""


def the_bytes(of: Range) -> set[int]:
    """Return the bytes that a range has yet to fetch."""
    assert of.stop is not None
    return set(range(of.position, of.stop))


@settings(max_examples=3 * settings().max_examples)
@given(gaps, st.data())
def test_every_missing_byte_is_fetched_once(missing: list[tuple[int, int]], data: st.DataObject) -> None:
    """Ranges never overlap, none is lost, and in the end each missing byte was fetched by exactly one stream."""
    ranges = Ranges(list(missing), SEGMENT)
    wanted = {at for start, stop in missing for at in range(start, stop)}
    fetched: list[int] = []
    running: list[Range] = []
    for _ in range(200):
        assert ranges.left == len(wanted) - len(fetched)
        step = data.draw(st.sampled_from(["take", "advance", "advance", "leave"])) if running else "take"
        if step == "take":
            taken = ranges.take()
            if taken is None and not running:
                break
            running += [taken] if taken is not None else []
        else:
            one = data.draw(st.sampled_from(running))
            assert one.stop is not None
            if step == "advance":
                stop = min(one.position + data.draw(st.integers(1, 20)), one.stop)
                fetched += range(one.position, stop)
                one.position = stop
            if step == "leave" or one.done:
                running.remove(one)
                ranges.give_back(one)
        left = [the_bytes(each) for each in running]
        assert sum(map(len, left)) == len(set().union(*left)), "no byte belongs to two streams"
    for one in running:
        fetched += sorted(the_bytes(one))
        ranges.give_back(one)
        one.position = one.stop or 0
    while (rest := ranges.take()) is not None:
        fetched += sorted(the_bytes(rest))
        rest.position = rest.stop or 0
        ranges.give_back(rest)
    assert sorted(fetched) == sorted(wanted)


@given(st.integers(0, 100), st.integers(0, 200))
def test_a_range_is_divided_at_a_segment(position: int, length: int) -> None:
    """A range is divided at a segment's edge, and only if both halves are at least a segment long."""
    ranges = Ranges([(position, position + length)], SEGMENT)
    first = ranges.take()
    assert first is not None
    second = ranges.take()
    if second is None:
        assert length < 3 * SEGMENT
        assert first.stop == position + length
    else:
        assert first.stop == second.position
        assert second.stop == position + length
        assert second.position % SEGMENT == 0
        assert min(second.position - position, position + length - second.position) >= SEGMENT
        assert abs(second.position - (position + length / 2)) <= SEGMENT


def test_gaps_are_taken_in_order_before_any_is_divided() -> None:
    """Waiting ranges are taken first, from the front, so that a single stream reads the file forwards."""
    ranges = Ranges([(0, 8), (16, 24), (40, 200)], SEGMENT)
    assert [taken.position for taken in (ranges.take(), ranges.take(), ranges.take()) if taken] == [0, 16, 40]
    half = ranges.take()
    assert half is not None
    assert half.stop == 200


def test_a_file_of_unknown_size_is_for_one_stream() -> None:
    """Ranges are divided only once the size of the file is known, and then at segments."""
    ranges = Ranges([(0, None)], 1)
    first = ranges.take()
    assert first is not None
    assert (first.stop, ranges.left, ranges.take()) == (None, None, None)
    ranges.known_to_end_at(100, SEGMENT)
    assert (first.stop, ranges.left) == (100, 100)
    second = ranges.take()
    assert second is not None
    assert (first.stop, second.position, second.stop) == (48, 48, 100)


@given(gaps, st.integers(1, 200))
def test_a_size_that_is_learned_late_makes_no_difference(missing: list[tuple[int, int]], rest: int) -> None:
    """When the size of the file becomes known, the open range ends there, and the other gaps keep their ends."""
    start = missing[-1][1] + 1 if missing else 0
    size = start + rest
    late, early = Ranges([*missing, (start, None)], 1), Ranges([*missing, (start, size)], SEGMENT)
    begun = late.take(), early.take()
    late.known_to_end_at(size, SEGMENT)
    for _ in range(20):
        one, other = begun
        assert (one and (one.position, one.stop)) == (other and (other.position, other.stop))
        assert late.left == early.left
        begun = late.take(), early.take()


def test_a_block_over_the_end_is_cut_and_summed_again() -> None:
    """Bytes beyond the new end of a shortened range are cut off the block, and the rest gets its own checksum."""
    file = Served(bytes(range(100)))
    one = Range(0, 30)
    assert one.cut(file.block(10, 40)) == file.block(10, 30)
    assert one.cut(file.block(10, 30)) == file.block(10, 30)
    assert Range(0, None).cut(file.block(10, 40)) == file.block(10, 40)
