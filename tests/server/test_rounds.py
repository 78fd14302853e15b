"""How many messages are made in one round of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from unspool.server.outlet import Outlet
from unspool.server.rounds import MOST, Rounds


async def test_few_messages_are_made_in_a_round() -> None:
    """Many streams make a few messages in each round, in turn, so that a new call waits for no more than these."""
    rounds, sent = Rounds(), list[int]()

    async def stream(number: int) -> None:
        async def write(_: bytes) -> None:
            sent.append(number)
            await asyncio.sleep(0)

        outlet = Outlet(write, None, 60.0, rounds=rounds)
        for _ in range(4):
            await outlet.send(b"")

    streams = [asyncio.ensure_future(stream(number)) for number in range(20)]
    in_each: list[int] = []
    while not all(one.done() for one in streams):
        before = len(sent)
        await asyncio.sleep(0)
        in_each.append(len(sent) - before)
    assert in_each[0] <= 20 + MOST  # what a stream sends first waits for nothing
    assert max(in_each[1:]) <= MOST
    for number in range(20):
        assert sent.count(number) == 4
    last = {number: len(sent) - sent[::-1].index(number) for number in range(20)}
    assert min(last.values()) > 40  # none was done long before the others


async def test_a_stream_that_ended_takes_no_place() -> None:
    """Streams that end while they wait are passed over."""
    rounds = Rounds()
    waiting = [asyncio.ensure_future(rounds.wait()) for _ in range(3 * MOST)]
    await asyncio.sleep(0)
    for one in waiting[MOST : 2 * MOST]:
        one.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert all(one.done() for one in waiting)
    assert [one.cancelled() for one in waiting] == [False] * MOST + [True] * MOST + [False] * MOST


async def test_a_few_streams_wait_for_nothing() -> None:
    """As long as few messages are made, none is held up, not even for a round."""
    rounds = Rounds()
    for _ in range(3):
        for _ in range(MOST):
            with pytest.raises(StopIteration):
                rounds.wait().send(None)
        await asyncio.sleep(0)
