"""Turns at CPU-heavy work: one at a time, round-robin between peers, with other work in between."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

import pytest

from unspool.server.turns import Turns


def always_busy() -> Turns:
    """Return turns in a process that only uses the processor."""
    seconds = count()
    return Turns(lambda: float(next(seconds)))


class Stream:
    """Takes turns.

    Args:
        turns: the queue.
        peer: the peer that takes the turns.
        log: records the peer at each turn.
        holding: what a turn waits for, if it does not end at once.
    """

    def __init__(self, turns: Turns, peer: str, log: list[str], holding: asyncio.Event | None = None) -> None:
        self._turns, self._peer, self._log, self._holding = turns, peer, log, holding

    async def run(self, times: int) -> None:
        """Take a number of turns, one after another."""
        for _ in range(times):
            async with self._turns.turn(self._peer):
                self._log.append(self._peer)
                if self._holding is not None:
                    await self._holding.wait()


async def rounds(times: int) -> None:
    """Let the event loop run a number of rounds."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_one_turn_at_a_time() -> None:
    """While one stream has a turn no other has one; the next one gets its turn soon after."""
    turns, log, over = always_busy(), list[str](), asyncio.Event()
    first = asyncio.ensure_future(Stream(turns, "a", log, over).run(1))
    await rounds(1)
    second = asyncio.ensure_future(Stream(turns, "b", log).run(1))
    await rounds(100)
    assert log == ["a"]
    assert turns.crowded
    over.set()
    await asyncio.gather(first, second)
    assert log == ["a", "b"]
    assert not turns.crowded


async def test_the_loop_comes_round_between_two_turns() -> None:
    """Light work runs several times between two turns, even if many streams wait for one."""
    turns, log = always_busy(), list[str]()
    streams = asyncio.gather(*(Stream(turns, "a", log).run(5) for _ in range(10)))
    while not streams.done():
        had = len(log)
        await rounds(4)
        assert len(log) - had <= 1
    assert len(log) == 50


async def test_a_peer_with_one_stream_has_every_other_turn_beside_one_with_ninety() -> None:
    """Many streams of one peer do not delay the stream of another."""
    turns, log = always_busy(), list[str]()
    greedy = [asyncio.ensure_future(Stream(turns, "greedy", log).run(10)) for _ in range(90)]
    await rounds(1)
    await Stream(turns, "modest", log).run(10)
    assert log.count("greedy") <= 12
    await asyncio.gather(*greedy)
    assert log.count("greedy") == 900


async def test_the_streams_of_a_peer_come_round_as_well() -> None:
    """No stream gets a second turn before each other stream of its peer has had one."""
    turns, log = always_busy(), list[int]()

    async def take(number: int) -> None:
        for _ in range(5):
            async with turns.turn("peer"):
                log.append(number)

    await asyncio.gather(*map(take, range(20)))
    assert log[0] == 0  # before the others were waiting
    assert log[1:81] == [*range(20)] * 4


async def test_who_waits_for_a_disk_keeps_nobody_waiting() -> None:
    """A turn that leaves the processor idle is passed on before it ends, repeatedly if necessary."""
    turns, log, stuck = Turns(processor=lambda: 0.0), list[str](), asyncio.Event()
    waiting = [asyncio.ensure_future(Stream(turns, f"stuck {number}", log, stuck).run(1)) for number in range(5)]
    await rounds(1)
    await Stream(turns, "free", log).run(1)
    assert len(log) == 6
    stuck.set()
    await asyncio.gather(*waiting)
    await Stream(turns, "free", log).run(1)


async def test_a_turn_ends_for_others_in_any_case() -> None:
    """A turn that does not end does not block the others for ever, whatever else uses the processor."""
    turns, log, stuck = always_busy(), list[str](), asyncio.Event()
    waiting = asyncio.ensure_future(Stream(turns, "stuck", log, stuck).run(1))
    await rounds(1)
    await Stream(turns, "free", log).run(1)
    assert log == ["stuck", "free"]
    stuck.set()
    await waiting


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("when", range(30))
async def test_a_cancel_at_any_moment_costs_nobody_a_turn(when: int, *, first: bool) -> None:
    """If a stream is cancelled while it waits for a turn or has one, at any place in its round, all others get theirs."""
    turns, log = always_busy(), list[str]()
    tasks: list[asyncio.Task[None]] = []
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def cancel() -> None:
        await rounds(when)
        tasks[0].cancel()

    cancelling = [asyncio.ensure_future(cancel())] if first else []
    before = asyncio.ensure_future(Stream(turns, "before", log).run(2))
    cancelled = asyncio.ensure_future(Stream(turns, "cancelled", log).run(2))
    after = asyncio.ensure_future(Stream(turns, "after", log).run(2))
    tasks.append(cancelled)
    if not first:
        cancelling = [asyncio.ensure_future(cancel())]
    async with asyncio.timeout(5):
        await asyncio.gather(before, after, *cancelling)
    with suppress(asyncio.CancelledError):
        await cancelled
    assert not complaints
    assert log.count("before") == log.count("after") == 2
    assert not turns.crowded
    await Stream(turns, "later", log).run(1)
