"""Turns at what takes the processor for long: a page of a listing, a message of many small files.

Rule 1: one at a time, in a thread or on the event loop, and between two of them the event loop comes round several times. So
        what is small (a small read, a look at a file, whatever gRPC has to say) takes no turn, and gets in between.
Rule 2: turns go round between peers, and of one peer's streams the one that has waited longest is next.
Rule 3: who waits for a disk keeps nobody else waiting: a turn that leaves the processor idle is passed on before it is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from unspool.core.turns import Queue

_ROUNDS = 8
"""How often the event loop comes round between two turns. gRPC hands over one event in each round; a small request takes about
six, and a message that was sent one."""

_LOOK = 0.005
"""Seconds after which it is looked, again and again, whether a turn uses the processor. Most turns are over in 10 ms."""

_LONGEST = 0.25
"""Seconds after which a turn is passed on in any case: what uses the processor may be something else."""


class Turns:
    """The turns of a server's streams.

    Args:
        processor: tells how many seconds of a processor this process has used.
    """

    def __init__(self, processor: Callable[[], float] = time.process_time) -> None:
        self._processor = processor
        self._waiting: Queue[asyncio.Future[None]] = Queue()
        self._taken = False  # also while the event loop comes round
        self._current: asyncio.Future[None] | None = None

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._waiting)

    @asynccontextmanager
    async def turn(self, peer: str) -> AsyncIterator[None]:
        """Wait for a turn of a peer's, which is over when this is left, and what follows without an await is done."""
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
        """Give the turn to the next who waits, if there is one."""
        self._taken = False
        while self._waiting and not self._taken:
            given = self._waiting.next()
            if not given.done():  # cancelled, and has not had the time to leave
                given.set_result(None)
                self._current, self._taken = given, True

    def _look(self, turn: asyncio.Future[None], latest: float, then: float, used_then: float) -> None:
        """Pass a turn on if it has not used the processor for half of the time since `then`, or if it is late."""
        if turn is not self._current:
            return
        loop = asyncio.get_running_loop()
        now, used = loop.time(), self._processor()
        if now >= latest or used - used_then < (now - then) / 2:
            self._pass_on(turn)
        else:
            loop.call_later(_LOOK, self._look, turn, latest, now, used)

    def _pass_on(self, turn: asyncio.Future[None]) -> None:
        """Let the next have a turn's place, unless that has been done."""
        if turn is self._current:
            self._current = None
            self._come_round(_ROUNDS)

    def _come_round(self, times: int) -> None:
        """Give the next turn when the event loop has come round so many times."""
        if times:
            asyncio.get_running_loop().call_soon(self._come_round, times - 1)
        else:
            self._give()
