"""Turns for work that needs much CPU time: a page of a listing, a message of many small files.

Rule 1: one turn at a time, whether the work runs in a thread or on the event loop. Between two turns the event loop runs
        several iterations, in which short work (a small read, a stat, gRPC's own events) is done. Short work needs no turn.
Rule 2: turns rotate between peers. Among the streams of one peer, the one that has waited longest is next.
Rule 3: a turn that leaves the CPU idle, because it waits for a disk, is passed on before it is over. So a slow disk delays its
        own stream only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from unspool.core.turns import Queue

_ROUNDS = 8
"""Iterations of the event loop between two turns. gRPC delivers one event in each; a small request takes about six, a sent
message one."""

_LOOK = 0.005
"""Seconds between checks whether the current turn uses the CPU. Most turns are over in 10 ms."""

_LONGEST = 0.25
"""Seconds after which a turn is passed on in any case. The check cannot tell whether the turn or other work uses the CPU."""


class Turns:
    """The turns of a server's streams.

    Args:
        processor: returns the CPU seconds that this process has used.
    """

    def __init__(self, processor: Callable[[], float] = time.process_time) -> None:
        self._processor = processor
        self._waiting: Queue[asyncio.Future[None]] = Queue()
        self._taken = False  # still true during the iterations between two turns
        self._current: asyncio.Future[None] | None = None

    @property
    def crowded(self) -> bool:
        """Whether a stream waits for a turn."""
        return bool(self._waiting)

    @asynccontextmanager
    async def turn(self, peer: str) -> AsyncIterator[None]:
        """Wait for a turn on behalf of a peer. It ends after the `with` block, at the next await."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.add(peer, mine)
        if not self._taken:
            self._give()
        try:
            await mine
            now = loop.time()
            loop.call_later(_LOOK, self._look, mine, now + _LONGEST, now, self._processor())
            yield
        finally:
            self._waiting.remove(peer, mine)
            self._pass_on(mine)

    def _give(self) -> None:
        """Give the turn to the next stream in the queue, if there is one."""
        self._taken = False
        while self._waiting and not self._taken:
            given = self._waiting.next()
            if not given.done():  # cancelled, but not yet removed from the queue
                given.set_result(None)
                self._current, self._taken = given, True

    def _look(self, turn: asyncio.Future[None], latest: float, then: float, used_then: float) -> None:
        """Pass a turn on if the CPU was used for less than half of the time since `then`, or if the turn lasts too long."""
        if turn is not self._current:
            return
        loop = asyncio.get_running_loop()
        now, used = loop.time(), self._processor()
        if now >= latest or used - used_then < (now - then) / 2:
            self._pass_on(turn)
        else:
            loop.call_later(_LOOK, self._look, turn, latest, now, used)

    def _pass_on(self, turn: asyncio.Future[None]) -> None:
        """End a turn, unless it has been passed on already."""
        if turn is self._current:
            self._current = None
            self._come_round(_ROUNDS)

    def _come_round(self, times: int) -> None:
        """Give the next turn after this many iterations of the event loop."""
        if times:
            asyncio.get_running_loop().call_soon(self._come_round, times - 1)
        else:
            self._give()
