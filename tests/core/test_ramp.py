"""The number of streams of a download, on links of known bandwidth."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unspool.core.ramp import MOST_STREAMS, Ramp

MB = 1_000_000


def streams_on(rate: Callable[[int], float], size: int, wanted: int | None = None) -> tuple[int, int]:
    """Download `size` bytes over a link that carries rate(streams) bytes a second; return the most streams, and the last."""
    now, received, most = 0.0, 0.0, 0
    ramp = Ramp(wanted, now)
    while received < size:
        now += 0.05
        received += rate(ramp.streams) * 0.05
        ramp.advance(now, int(received), int(size - received))
        most = max(most, ramp.streams)
    return most, ramp.streams


def test_a_link_that_one_stream_fills_gets_no_more() -> None:
    """If a second stream brings nothing, it is tried once and ended."""
    assert streams_on(lambda _: 100 * MB, 10_000 * MB) == (2, 1)


def test_streams_are_added_as_long_as_they_help() -> None:
    """If four streams fill the link, a fifth is tried and ended."""
    assert streams_on(lambda streams: min(streams, 4) * 25 * MB, 10_000 * MB) == (5, 4)


def test_there_is_an_end_to_it() -> None:
    """However much each stream brings, there are never more than the limit."""
    most, _ = streams_on(lambda streams: streams * 25 * MB, 100_000 * MB)
    assert most == MOST_STREAMS


def test_what_is_over_soon_is_left_alone() -> None:
    """A download that takes some seconds in all is not worth a trial."""
    assert streams_on(lambda streams: streams * 100 * MB, 1500 * MB) == (1, 1)


@pytest.mark.parametrize("wanted", [1, 2, 30])
def test_a_wish_is_kept_to(wanted: int) -> None:
    """A number that the user gave is neither tried nor changed."""
    assert streams_on(lambda _: 100 * MB, 10_000 * MB, wanted) == (wanted, wanted)


def test_an_unknown_size_is_for_one_stream() -> None:
    """While the size is unknown, no other stream is tried."""
    ramp = Ramp(None, 0.0)
    for second in range(1, 10):
        ramp.advance(float(second), second * MB, None)
    assert ramp.streams == 1
