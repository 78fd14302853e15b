"""The rate of a bar, and the text in its place during a stall: computed only from bytes that have arrived."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.cli.meter import STALL, STALL_MOST, WINDOW, Amounts, Files, Meter

MIB = 1 << 20
TOTAL = 1 << 40


class Flow:
    """A download with a clock that the test sets; the bar looks at it five times a second."""

    def __init__(self, start: int = 0) -> None:
        self.now = 0.0
        self.here = start
        self.start = start
        self.meter = Meter(self.now)
        self.meter.begin(self.now, self.amounts)

    @property
    def amounts(self) -> Amounts:
        """The progress so far."""
        return Amounts(self.here, self.start, TOTAL)

    def go_on(self, seconds: float, per_second: float, *, block: int = 1) -> None:
        """Let bytes arrive for a time, in blocks."""
        here, began = self.here, self.now
        for tick in range(1, round(seconds * 5) + 1):
            self.now = began + tick / 5
            self.here = here + int(per_second * (self.now - began)) // block * block
            self.meter.note(self.now, self.amounts)

    @property
    def rate(self) -> float | None:
        """The rate on the bar."""
        return self.meter.rate(self.now)

    @property
    def status(self) -> str:
        """The text in place of a rate."""
        return next(iter(self.meter.status(self.now)), "")


def test_a_steady_flow_has_its_rate() -> None:
    """Bytes that arrive evenly are shown at their rate."""
    flow = Flow()
    flow.go_on(3, 10 * MIB)
    assert flow.rate == pytest.approx(10 * MIB, rel=0.01)
    assert flow.status == ""


def test_before_anything_has_come_there_is_no_rate() -> None:
    """A download that resumes at 40 MiB has no rate until more bytes arrive, and then their rate."""
    flow = Flow(40 * MIB)
    assert flow.rate is None
    flow.go_on(1, 0)
    assert flow.rate is None
    flow.go_on(2, MIB)
    assert flow.rate == pytest.approx(MIB, rel=0.3)


@pytest.mark.parametrize("silence", [0.6, 2.8, 5, 12, 3600])
def test_a_rate_recovers_within_two_seconds(silence: float) -> None:
    """Two seconds after a pause of any length, the rate is that of the bytes since the pause."""
    flow = Flow()
    flow.go_on(3, 50 * MIB)
    flow.go_on(silence, 0)
    flow.go_on(2, 10 * MIB)
    assert flow.rate == pytest.approx(10 * MIB, rel=0.01)


def test_after_a_stall_a_rate_is_back_at_once() -> None:
    """After a stall, two looks with new bytes are enough for a rate."""
    flow = Flow()
    flow.go_on(3, 50 * MIB)
    flow.go_on(12, 0)
    flow.go_on(0.4, 10 * MIB)
    assert flow.rate == pytest.approx(10 * MIB, rel=0.01)


def test_a_stall_is_said_with_its_length_and_no_rate() -> None:
    """When nothing has arrived for three seconds, the bar shows for how long, and no rate."""
    flow = Flow()
    flow.go_on(3, 10 * MIB)
    flow.go_on(2, 0)
    assert (flow.rate, flow.status) == (None, "")
    flow.go_on(1, 0)
    assert (flow.rate, flow.status) == (None, "stalled for 3 s")
    flow.go_on(9, 0)
    assert (flow.rate, flow.status) == (None, "stalled for 12 s")


def test_a_slow_link_is_no_stall() -> None:
    """If a block takes nearly four seconds, the rate is right after the first one, and no stall is shown."""
    flow = Flow()
    flow.go_on(8, 70_000, block=250_000)
    for _ in range(100):
        flow.go_on(0.2, 0)
        if flow.now % 3.6 < 0.2:
            flow.here += 250_000
        flow.meter.note(flow.now, flow.amounts)
        assert flow.status == ""
        assert flow.rate == pytest.approx(70_000, rel=0.3)


def test_a_gone_server_is_said_until_bytes_come_again() -> None:
    """A failed attempt is shown with the time until the next one; after that it is shown without, until bytes arrive."""
    flow = Flow()
    flow.go_on(2, 10 * MIB)
    flow.meter.broke("server gone", flow.now + 2.5)
    assert flow.meter.status(flow.now) == (
        *("server gone, trying again in 3 s", "server gone, retry in 3 s"),
        "retry in 3 s",
    )
    assert flow.rate is None
    flow.go_on(2, 0)
    assert flow.status == "server gone, trying again in 1 s"
    flow.go_on(9, 0)
    assert flow.meter.status(flow.now) == ("server gone, trying again", "server gone, retrying", "retrying")
    flow.go_on(2, MIB)
    assert flow.rate == pytest.approx(MIB, rel=0.01)
    assert flow.status == ""


def test_a_failure_without_a_name_says_when_it_goes_on() -> None:
    """A failure without a text of its own is shown as the time until the next attempt."""
    meter = Meter(0)
    meter.broke("", 3)
    assert meter.status(0) == ("trying again in 3 s", "retry in 3 s")
    assert meter.status(3) == ("trying again", "retrying")


def test_what_was_kept_is_no_rate() -> None:
    """Files of a tree that are here already do not count as arriving bytes, and not as a stall."""
    meter = Meter(0)
    for tick in range(100):
        meter.note(tick / 5, Amounts(tick * MIB, tick * MIB, None, Files(tick, 1000, listed_all=False)))
        assert (meter.rate(tick / 5), meter.status(tick / 5)) == (None, ())


def test_files_without_bytes_are_no_stall() -> None:
    """A tree of empty files makes progress."""
    meter = Meter(0)
    for tick in range(100):
        meter.note(tick / 5, Amounts(0, 0, 0, Files(tick, 1000, listed_all=True)))
        assert meter.status(tick / 5) == ()


def test_when_all_is_here_nothing_is_called_a_stall() -> None:
    """The work after the last byte (verifying, syncing) may take long, and is shown as such."""
    meter = Meter(0)
    meter.note(1, Amounts(MIB, 0, MIB))
    assert meter.status(60) == ("finishing",)
    assert meter.rate(1) is None
    meter.note(61, Amounts(MIB, 0, MIB, Files(1, 2, listed_all=True)))
    assert meter.status(61) == ()


def test_reading_again_what_is_here_is_no_rate() -> None:
    """While the bytes of an earlier run are read again, this is shown, and not counted as the network's rate."""
    meter = Meter(0)
    meter.note(1, Amounts(MIB, MIB, None, checking=True))
    meter.note(2, Amounts(2 * MIB, 2 * MIB, None, checking=True))
    assert (meter.rate(2), meter.status(9)) == (None, ("checking what is here", "checking"))


def test_beginning_again_from_zero_is_no_negative_rate() -> None:
    """When a download begins again, the rate begins again."""
    flow = Flow()
    flow.go_on(3, 10 * MIB)
    flow.here = 0
    flow.go_on(0.2, 0)
    assert flow.rate is None
    flow.go_on(2, 5 * MIB)
    assert flow.rate == pytest.approx(5 * MIB, rel=0.01)


STEPS = st.lists(st.tuples(st.floats(0, 20), st.integers(-MIB, MIB)), max_size=40)


@given(STEPS, st.floats(0, 100))
def test_a_rate_is_never_made_up(steps: list[tuple[float, int]], after: float) -> None:
    """For any sequence of events a rate is positive, at most the fastest real rate, and not shown during a stall."""
    meter, now, here = Meter(0), 0.0, 0
    seen = [(0.0, 0)]
    for seconds, count in steps:
        now, here = now + seconds, max(here + count, 0)
        meter.note(now, Amounts(here, 0, TOTAL))
        seen.append((now, here))
    fastest = max(
        (b - a) / (t - s) if t > s else (float("inf") if b > a else 0.0) for (s, a), (t, b) in pairwise([*seen, seen[-1]])
    )
    rate = meter.rate(now + after)
    if rate is not None:
        assert 0 < rate <= fastest * (1 + 1e-9)
        assert not meter.status(now + after)
        assert after < STALL_MOST
    if after >= STALL_MOST:
        assert meter.status(now + after)


def test_the_numbers_fit_together() -> None:
    """A rate is right again within two seconds, and is not shown once a stall is."""
    assert WINDOW + 0.2 < 2
    assert WINDOW < STALL < STALL_MOST
