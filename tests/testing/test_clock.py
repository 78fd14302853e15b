"""The clock that never waits."""

from __future__ import annotations

import asyncio
import math

import pytest

from unspool.testing import FakeClock


async def test_a_timeout_ends_a_longer_sleep_and_a_stall() -> None:
    """A sleep that is longer than the timeout around it ends with the timeout, and the time is that of the timeout."""
    clock = FakeClock()
    for seconds in (7.0, math.inf):
        with pytest.raises(TimeoutError):
            async with clock.timeout(5):
                await clock.sleep(seconds)
    assert (clock.now, clock.slept) == (10, [5, 5])


async def test_the_inner_of_two_timeouts_comes_first() -> None:
    """Of two timeouts around a stall the shorter one ends it, whichever is inside."""
    clock = FakeClock()
    async with clock.timeout(9):
        with pytest.raises(TimeoutError):
            async with clock.timeout(2):
                await clock.sleep(math.inf)
    assert clock.now == 2


async def test_a_timeout_is_for_its_own_task() -> None:
    """While one task sleeps, the timeout of another does not expire; it expires as soon as that task sleeps."""
    clock = FakeClock()
    slept, go_on = asyncio.Event(), asyncio.Event()

    async def other() -> None:
        async with clock.timeout(5):
            slept.set()
            await go_on.wait()
            await clock.sleep(1)

    task = asyncio.create_task(other())
    await slept.wait()
    await clock.sleep(30)
    go_on.set()
    with pytest.raises(TimeoutError):
        await task
    assert (clock.now, clock.slept) == (30, [30, 0])


async def test_a_stall_without_a_timeout_is_a_defect_of_the_code_under_test() -> None:
    """A sleep that would never end raises an error instead."""
    with pytest.raises(AssertionError, match="hang"):
        await FakeClock().sleep(math.inf)


async def test_what_is_to_come_later_comes_when_that_much_was_slept() -> None:
    """Scheduled calls are made in the order of their times during a sleep; cancelled ones are not."""
    clock = FakeClock()
    called: list[str] = []
    clock.call_later(3, lambda: called.append("later"))
    clock.call_later(2, lambda: called.append("first"))
    clock.call_later(1, lambda: called.append("never")).cancel()
    await clock.sleep(1.5)
    assert called == []
    await clock.sleep(1.5)
    assert called == ["first", "later"]
